package manifest

import (
	"context"
	"fmt"
	"strings"
	gotemplate "text/template"

	"github.com/Masterminds/sprig/v3"
)

// What one chart may do.
const (
	mostSteps = 2_000_000 // turns of loops, and definitions that were used
	mostText  = 16 << 20  // bytes that one function makes
	mostItems = 1_000_000 // of a list that is counted up
)

// bounds are functions of templates that end a chart which would not end, or fill
// the memory, by itself.
func bounds(ctx context.Context) gotemplate.FuncMap {
	steps, made := 0, 0
	watched := func() (string, error) {
		if steps++; steps > mostSteps || ctx.Err() != nil {
			return "", errBusy
		}
		return "", nil
	}
	text := func(s string) (string, error) {
		if made += len(s); len(s) > mostText || made > 32*mostText {
			return "", errBusy
		}
		return s, nil
	}
	indent := func(spaces int, s string) (string, error) {
		if spaces > 10_000 || spaces < 0 || spaces*(1+strings.Count(s, "\n")) > mostText {
			return "", errBusy
		}
		pad := strings.Repeat(" ", spaces)
		return text(pad + strings.ReplaceAll(s, "\n", "\n"+pad))
	}
	funcs := gotemplate.FuncMap{
		watchName: watched,
		"print":   func(args ...any) (string, error) { return text(fmt.Sprint(args...)) },
		"println": func(args ...any) (string, error) { return text(fmt.Sprintln(args...)) },
		"printf": func(format string, args ...any) (string, error) {
			return text(fmt.Sprintf(format, args...))
		},
		"indent": indent,
		"nindent": func(spaces int, s string) (string, error) {
			s, err := indent(spaces, s)
			return "\n" + s, err
		},
	}
	library := sprig.TxtFuncMap()
	if repeat, ok := library["repeat"].(func(int, string) string); ok {
		funcs["repeat"] = func(n int, s string) (string, error) {
			if n < 0 || n*max(len(s), 1) > mostText || n > mostText {
				return "", errBusy
			}
			return text(repeat(n, s))
		}
	}
	if until, ok := library["until"].(func(int) []int); ok {
		funcs["until"] = func(n int) ([]int, error) {
			if n > mostItems || n < -mostItems {
				return nil, errBusy
			}
			return until(n), nil
		}
	}
	if until, ok := library["untilStep"].(func(int, int, int) []int); ok {
		funcs["untilStep"] = func(from, to, step int) ([]int, error) {
			if step != 0 && (to-from)/step > mostItems {
				return nil, errBusy
			}
			return until(from, to, step), nil
		}
	}
	if seq, ok := library["seq"].(func(...int) string); ok {
		funcs["seq"] = func(params ...int) (string, error) {
			for _, n := range params {
				if n > mostItems || n < -mostItems {
					return "", errBusy
				}
			}
			return text(seq(params...))
		}
	}
	for _, name := range []string{"randAlphaNum", "randAlpha", "randAscii", "randNumeric"} {
		if random, ok := library[name].(func(int) string); ok {
			funcs[name] = func(n int) (string, error) {
				if n > 1<<20 {
					return "", errBusy
				}
				return random(n), nil
			}
		}
	}
	return funcs
}
