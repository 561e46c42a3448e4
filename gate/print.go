package gate

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Plain is text with every character that would steer a terminal, or hide or
// turn round what is beside it, replaced. Line breaks and tabs become spaces.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < 0x20, r >= 0x7f && r < 0xa0, // C0, DEL and C1
			r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff: // invisible, and bidirectional
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// PrintOptions say how a trace is printed.
type PrintOptions struct {
	// Color marks opinions with ANSI colours. Default: plain text.
	Color bool
	// Wide adds how long each step took.
	Wide bool
}

// Print writes a trace for people: the verdict on the first line, then a line a
// step, each followed by its sources and its nearest misses.
func (t *Trace) Print(w io.Writer, opts PrintOptions) error {
	who := Plain(t.Request.User)
	if len(t.Request.Groups) > 0 {
		who += " (" + Plain(strings.Join(t.Request.Groups, ", ")) + ")"
	}
	if _, err := fmt.Fprintf(w, "%s  %s %s %s\n", opts.mark(t.Verdict.Opinion), who, Plain(t.Request.Verb), Plain(t.Request.Object())); err != nil {
		return err
	}
	if t.Verdict.Reason != "" {
		if _, err := fmt.Fprintf(w, "  %s\n", Plain(t.Verdict.Reason)); err != nil {
			return err
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table)
	for _, s := range t.Steps {
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s", Plain(s.Gate), Plain(s.Part), s.Opinion, Plain(s.Reason))
		if opts.Wide {
			fmt.Fprintf(table, "\t%v", s.Took)
		}
		fmt.Fprintln(table)
		for _, source := range s.Sources {
			fmt.Fprintf(table, "  \t\tby\t%s\n", Plain(source.String()))
		}
		for _, miss := range s.Misses {
			names := make([]string, len(miss.Sources))
			for i, source := range miss.Sources {
				names[i] = source.String()
			}
			fmt.Fprintf(table, "  \t\tnear\t%s lacks %s\n", Plain(strings.Join(names, ", ")), Plain(miss.Lacks))
		}
		if len(s.Patch) > 0 {
			fmt.Fprintf(table, "  \t\tpatch\t%s\n", Plain(string(s.Patch)))
		}
	}
	return table.Flush()
}

func (o PrintOptions) mark(v Opinion) string {
	text := map[Opinion]string{Allow: "ALLOWED", Deny: "DENIED"}[v]
	if !o.Color {
		return text
	}
	if v == Allow {
		return "\x1b[32m" + text + "\x1b[0m"
	}
	return "\x1b[31m" + text + "\x1b[0m"
}
