package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit/query"
	"github.com/gatehouse-io/gatehouse/detect"
)

func newDetectRun() *cobra.Command {
	var source eventFlags
	var since, until, output, failOn string
	var by string
	cmd := &cobra.Command{
		Use:   "run [PATH...]",
		Short: "Ask detection rules what they would have found in what is recorded",
		Long: `Ask detection rules what they would have found in what is recorded, as if they had been
in force then. Rules that learn what is usual look at the time before --since as well. What
a controller did is put down to who began it, where the events say so.

Mutes among the PATHs keep their findings out. The exit code is 1 where there is a finding
at or above --fail-on.
` + ruleSourceHelp + eventSourceHelp + exitCodesHelp,
		Example: `  gatehouse detect run --store audit/ --since 30d
  gatehouse detect run --audit audit.log --by hour
  gatehouse detect run --since 7d my-rules/ -o json`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			if err := checkOutput(output, "table", "wide", "json"); err != nil {
				return err
			}
			if by != "finding" && by != "rule" && by != "hour" {
				return coded(exitUsage, &hintError{problem: fmt.Sprintf("--by %q is not known", by), hint: "known: finding, rule, hour"})
			}
			least := detect.SeverityRank(v1alpha1.DetectionSeverity(failOn))
			if least < 0 && failOn != "never" {
				return coded(exitUsage, &hintError{problem: fmt.Sprintf("--fail-on %q is not known", failOn), hint: "known: info, low, medium, high, critical, never"})
			}
			o := detect.BacktestOptions{Attribute: true}
			for _, flag := range []struct {
				name, text string
				into       *time.Time
			}{{"--since", since, &o.From}, {"--until", until, &o.To}} {
				var err error
				if flag.text == "" {
					continue
				}
				if *flag.into, err = query.ParseTime(flag.text, time.Now()); err != nil {
					return coded(exitUsage, fmt.Errorf("%s: %w", flag.name, err))
				}
			}
			r, err := readRules(cmd.Context(), paths, cmd.InOrStdin())
			if err != nil {
				return err
			}
			if r.wrong != nil {
				return r.wrong
			}
			o.Mutes = r.files.Mutes
			s, err := source.open(cmd, false)
			if err != nil {
				return err
			}
			found, err := runRules(cmd, s, r.set, o, output, by)
			if err := s.done(err); err != nil {
				return err
			}
			if failOn != "never" && slices.ContainsFunc(found, func(f detect.Finding) bool { return detect.SeverityRank(f.Severity) >= least && f.Muted == "" }) {
				return errDenied
			}
			return nil
		},
	}
	source.add(cmd)
	f := cmd.Flags()
	f.StringVar(&since, "since", "", "no findings before: 30d, 12h, 2006-01-02, or a time as in RFC 3339 (default: all there are)")
	f.StringVar(&until, "until", "", "no events from then on (default: now)")
	f.StringVar(&by, "by", "finding", "show each finding, or how many by rule or by hour")
	f.StringVar(&failOn, "fail-on", "info", "exit 1 at findings of this severity and above; never for not at all")
	f.StringVarP(&output, "output", "o", "table", "table, wide or json")
	return cmd
}

func runRules(cmd *cobra.Command, s *events, set *detect.Set, o detect.BacktestOptions, output, by string) ([]detect.Finding, error) {
	done := progress(cmd.ErrOrStderr(), "asking the rules")
	b, err := detect.Run(cmd.Context(), s, set, o)
	done()
	if err != nil {
		return nil, err
	}
	if output == "json" {
		err := printObject(cmd.OutOrStdout(), output, struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			*detect.Backtest
		}{v1alpha1.SchemeGroupVersion.String(), "DetectionBacktest", b})
		return b.Findings, err
	}
	if err := printBacktest(cmd.OutOrStdout(), b, output, by); err != nil {
		return nil, err
	}
	s.tellGaps(b.Gaps)
	for _, rule := range set.Rules() {
		if one := b.Stats.Rules[rule.Name]; one.Failed > 0 {
			s.note("%s could not judge %d events (the last: %s)", rule.Name, one.Failed, one.Last)
		}
		if one := b.Stats.Rules[rule.Name]; one.Evicted > 0 {
			s.note("%s had to forget %d keys: it may have missed something", rule.Name, one.Evicted)
		}
	}
	if b.Dropped > 0 {
		s.note("%d more findings are not shown", b.Dropped)
	}
	return b.Findings, nil
}

func printBacktest(w io.Writer, b *detect.Backtest, output, by string) error {
	t := table{}
	switch by {
	case "hour":
		t.head = []string{"HOUR", "RULE", "FINDINGS"}
		hours := slices.Clone(b.Hours)
		slices.SortStableFunc(hours, func(x, y detect.Hour) int { return x.Hour.Compare(y.Hour) })
		for _, h := range hours {
			t.add(h.Hour.UTC().Format("2006-01-02T15:04Z"), h.Rule, fmt.Sprint(h.Count))
		}
	case "rule":
		t.head = []string{"RULE", "FINDINGS"}
		counts := map[string]int64{}
		var names []string
		for _, h := range b.Hours {
			if counts[h.Rule] == 0 {
				names = append(names, h.Rule)
			}
			counts[h.Rule] += h.Count
		}
		slices.SortStableFunc(names, func(x, y string) int { return cmp.Or(cmp.Compare(counts[y], counts[x]), cmp.Compare(x, y)) })
		for _, name := range names {
			t.add(name, fmt.Sprint(counts[name]))
		}
	default:
		t.head = []string{"FIRST", "SEVERITY", "RULE", "COUNT", "MESSAGE"}
		if output == "wide" {
			t.head = append(t.head, "FINGERPRINT", "LAST", "EVENT")
		}
		for _, f := range b.Findings {
			message := f.Message
			if f.Began != nil {
				message += fmt.Sprintf(" It was begun by %s (%s).", f.Began.User, f.Began.Certainty)
			}
			if f.Muted != "" {
				message += fmt.Sprintf(" (muted by %s)", f.Muted)
			}
			row := []string{f.First.UTC().Format(time.RFC3339), string(f.Severity), f.Rule, fmt.Sprint(f.Count), message}
			if output == "wide" {
				event := ""
				if len(f.Events) > 0 {
					event = f.Events[0]
				}
				row = append(row, f.Fingerprint, f.Last.UTC().Format(time.RFC3339), orNone(event))
			}
			t.rows = append(t.rows, row)
		}
	}
	if len(t.rows) > 0 {
		if err := t.print(w, findingWidth(output)); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprintf(w, "%s in %s\n", numbered(int64(len(b.Findings))+b.Dropped, "finding"), numbered(int64(b.Events), "event"))
	return coded(exitInternal, err)
}

// numbered is a number of things, in words.
func numbered(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// findingWidth is wider than other tables, since findings are sentences.
func findingWidth(output string) int {
	if output == "wide" {
		return 0
	}
	return 120
}
