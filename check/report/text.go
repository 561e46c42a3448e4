package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/gatehouse-io/gatehouse/policy"
)

// text is for people at a terminal.
func text(to io.Writer, r *Report, opts Options) error {
	w := bufio.NewWriter(to)
	for i := range r.Findings {
		f := &r.Findings[i]
		fmt.Fprintf(w, "%s  %s  %s\n", opts.mark(f), orDash(f.place()), f.Rule)
		about := f.object()
		if f.Path != "" {
			about += " " + f.Path
		}
		if about != "" {
			fmt.Fprintf(w, "       %s\n", about)
		}
		fmt.Fprintf(w, "       %s\n", f.Message)
		if f.Hint != "" {
			fmt.Fprintf(w, "       hint: %s\n", f.Hint)
		}
		if f.Excepted != "" {
			fmt.Fprintf(w, "       excepted by Exception %s\n", f.Excepted)
		}
		if f.Shown != "" {
			fmt.Fprintf(w, "  %4d | %s\n", f.Line, clip(f.Shown))
			if f.Exact && f.Column > 0 && f.Column <= len(f.Shown)+1 && f.Column < 120 {
				fmt.Fprintf(w, "       | %s^\n", strings.Repeat(" ", f.Column-1))
			}
		}
		if f.Fix != "" {
			fmt.Fprintf(w, "       fix:\n       %s\n", strings.ReplaceAll(strings.TrimSuffix(f.Fix, "\n"), "\n", "\n       "))
		}
		if f.Unfixed != "" {
			fmt.Fprintf(w, "       not fixed: %s\n", f.Unfixed)
		}
		fmt.Fprintln(w)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
	fmt.Fprintln(w, r.summary())
	return w.Flush()
}

func clip(line string) string {
	const most = 160
	if runes := []rune(line); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return line
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// summary is "12 objects checked: 2 refused, 1 warning, 1 known already".
func (r *Report) summary() string {
	text := count(r.Checked, "object", "objects") + " checked: "
	var parts []string
	if n := r.Count(policy.Deny); n > 0 {
		parts = append(parts, fmt.Sprintf("%d to be refused", n))
	}
	if n := r.Count(policy.Warn); n > 0 {
		parts = append(parts, count(n, "warning", "warnings"))
	}
	if n := r.Count(policy.Audit); n > 0 {
		parts = append(parts, fmt.Sprintf("%d for the audit log", n))
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing is wrong")
	}
	known, excepted, fixed := 0, 0, 0
	for i := range r.Findings {
		switch f := &r.Findings[i]; {
		case f.Known:
			known++
		case f.Excepted != "":
			excepted++
		case f.Fixed:
			fixed++
		}
	}
	if fixed > 0 {
		parts = append(parts, fmt.Sprintf("%d fixed", fixed))
	}
	if known > 0 {
		parts = append(parts, fmt.Sprintf("%d in the baseline", known))
	}
	if excepted > 0 {
		parts = append(parts, fmt.Sprintf("%d excepted", excepted))
	}
	return text + strings.Join(parts, ", ")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// mark is the action, six characters wide.
func (o Options) mark(f *Finding) string {
	action, colour := f.Action, map[string]string{"deny": "31", "warn": "33", "audit": "36"}[f.Action]
	switch {
	case f.Known:
		action, colour = "known", "2"
	case f.Excepted != "":
		action, colour = "except", "2"
	case f.Fixed:
		action, colour = "fixed", "32"
	case action == "":
		action = "change"
	}
	padded := fmt.Sprintf("%-6s", action)
	if !o.Color || colour == "" {
		return padded
	}
	return "\x1b[" + colour + "m" + padded + "\x1b[0m"
}

// asJSON is one document, for programs.
func asJSON(w io.Writer, r *Report, _ Options) error {
	findings := r.Findings
	if findings == nil {
		findings = []Finding{}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Summary    struct {
			Checked int `json:"checked"`
			Deny    int `json:"deny"`
			Warn    int `json:"warn"`
			Audit   int `json:"audit"`
		} `json:"summary"`
		Findings []Finding `json:"findings"`
		Notes    []string  `json:"notes,omitempty"`
	}{APIVersion: "gatehouse.io/v1alpha1", Kind: "CheckReport", Findings: findings, Notes: r.Notes, Summary: struct {
		Checked int `json:"checked"`
		Deny    int `json:"deny"`
		Warn    int `json:"warn"`
		Audit   int `json:"audit"`
	}{r.Checked, r.Count(policy.Deny), r.Count(policy.Warn), r.Count(policy.Audit)}})
}

// github is GitHub's workflow commands: each finding is shown at its line of the pull
// request. What a command's values and properties may not hold is escaped as its
// runner reads it.
func github(to io.Writer, r *Report, _ Options) error {
	w := bufio.NewWriter(to)
	value := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace
	for i := range r.Findings {
		f := &r.Findings[i]
		if !f.Counts() {
			continue
		}
		command := map[string]string{"deny": "error", "warn": "warning"}[f.Action]
		if command == "" {
			command = "notice"
		}
		fmt.Fprintf(w, "::%s ", command)
		if f.File != "" && f.File != stdin {
			fmt.Fprintf(w, "file=%s,", property(f.File))
		}
		if f.Line > 0 {
			fmt.Fprintf(w, "line=%d,", f.Line)
		}
		if f.Column > 0 {
			fmt.Fprintf(w, "col=%d,", f.Column)
		}
		fmt.Fprintf(w, "title=%s::%s\n", property(f.Rule), value(strings.TrimSpace(f.object()+" "+f.Path)+": "+f.Message))
	}
	fmt.Fprintln(w, value(r.summary()))
	return w.Flush()
}
