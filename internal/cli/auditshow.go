package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
	"github.com/gatehouse-io/gatehouse/audit/queryapi"
	"github.com/gatehouse-io/gatehouse/gate"
)

func newAuditShow() *cobra.Command {
	var source eventFlags
	var output string
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show everything about one request: its stages, why it was allowed, what it changed",
		Long: `Show everything about one request: who made it, its stages, why it was allowed or
refused, and what it changed of its object, without managedFields, resourceVersion and
status. Values of Secrets are never shown.

ID is the auditID, which -o wide and -o json of gatehouse audit query tell. A client can
choose it, so that several requests may have the same: all are shown.
` + eventSourceHelp + exitCodesHelp,
		Example: `  gatehouse audit show 7b1c0f0e-5b0f-4c43-9f5e-0c8c0d2f6b11
  gatehouse audit show 7b1c0f0e-5b0f-4c43-9f5e-0c8c0d2f6b11 --store audit/ -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return &hintError{problem: "want ID", hint: "gatehouse audit query -o wide tells the IDs"}
			}
			return checkOutput(output, "table", "json")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := source.open(cmd, false)
			if err != nil {
				return err
			}
			return s.done(s.show(cmd.Context(), args[0], output))
		},
	}
	source.add(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func (s *events) show(ctx context.Context, id, output string) error {
	found, err := queryapi.EventsOf(ctx, s.Reader, id)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return coded(exitUnreadable, &hintError{problem: fmt.Sprintf("there is no event with the ID %q", gate.Plain(id)), hint: "gatehouse audit query -o wide tells the IDs"})
	}
	if output == "json" {
		trail, err := queryapi.TrailOf(ctx, s.Reader, queryapi.ServeGroup, id, found)
		if err != nil {
			return err
		}
		return printObject(s.cmd.OutOrStdout(), "json", trail)
	}
	out := &printed{w: s.cmd.OutOrStdout()}
	for i, stages := range byRequest(found) {
		if i > 0 {
			out.line("", "")
		}
		last := stages[len(stages)-1]
		change, err := query.ChangeOf(ctx, s.Reader, last)
		if err != nil {
			return err
		}
		showRequest(out, stages)
		showChange(out, last, change)
	}
	return coded(exitInternal, out.err)
}

// byRequest are the events of an ID, those of each request together.
func byRequest(found []*audit.Event) (all [][]*audit.Event) {
	for _, e := range found {
		i := slices.IndexFunc(all, func(of []*audit.Event) bool {
			return of[0].Verb == e.Verb && of[0].URI == e.URI && of[0].User == e.User
		})
		if i < 0 {
			all = append(all, nil)
			i = len(all) - 1
		}
		all[i] = append(all[i], e)
	}
	return all
}

// printed writes lines, at most tableWidth wide. The first error stays.
type printed struct {
	w   io.Writer
	err error
}

// line writes a text behind a head, below which it goes on.
func (p *printed) line(head, text string) {
	text = gate.Plain(text)
	for i, part := range wrap(text, max(tableWidth-utf8.RuneCountInString(head), 20)) {
		if i > 0 {
			head = strings.Repeat(" ", utf8.RuneCountInString(head))
		}
		if p.err == nil {
			_, p.err = fmt.Fprintln(p.w, strings.TrimRight(head+part, " "))
		}
	}
}

// field writes a named value; nothing where it is empty.
func (p *printed) field(name, text string) {
	if text != "" {
		p.line(fmt.Sprintf("  %-9s ", name), text)
	}
}

func showRequest(p *printed, stages []*audit.Event) {
	e := stages[len(stages)-1]
	p.line("", fmt.Sprintf("%s %s by %s: %s", e.Verb, objectText(e), whoText(e), codeText(e)))
	took := ""
	if !e.Received.IsZero() && e.Time.After(e.Received) {
		took = fmt.Sprintf(", %v after it came", e.Time.Sub(e.Received).Round(100*time.Microsecond))
	}
	p.field("time", e.Time.UTC().Format("2006-01-02 15:04:05.000000")+took)
	user := e.User
	if len(e.Groups) > 0 {
		user += " (" + strings.Join(e.Groups, ", ") + ")"
	}
	p.field("user", user)
	if e.AsUser != "" {
		as := e.AsUser
		if len(e.AsGroups) > 0 {
			as += " (" + strings.Join(e.AsGroups, ", ") + ")"
		}
		p.field("as", as)
	}
	from := query.SourceIP(e)
	if n := len(e.SourceIPs); n > 1 {
		from += " (and before that, as the client says: " + strings.Join(e.SourceIPs[:n-1], ", ") + ")"
	}
	p.field("from", from)
	p.field("client", e.UserAgent)
	p.field("uri", e.URI)
	p.field("message", strings.TrimSpace(strings.Join([]string{e.StatusReason, e.Message}, " ")))
	p.field("level", strings.TrimSuffix(e.Level+", from "+e.Source, ", from "))
	var names []string
	for _, s := range stages {
		names = append(names, s.Stage+" "+s.Time.UTC().Format("15:04:05.000"))
	}
	p.field("stages", strings.Join(names, ", "))
	p.field("unknown", strings.Join(e.Unknown, ", "))
	p.field("id", e.ID)
	if len(e.Annotations) > 0 {
		p.line("", "  why")
		for _, key := range slices.Sorted(maps.Keys(e.Annotations)) {
			p.line("    ", key+": "+e.Annotations[key])
		}
	}
}

func showChange(p *printed, e *audit.Event, c *query.Change) {
	if c == nil {
		return
	}
	switch {
	case c.Missing != "":
		p.field("change", "not known: "+c.Missing)
	case c.Compared != "" && len(c.Fields) == 0:
		p.field("change", "nothing that a person would call one; "+c.Compared)
	case c.Compared != "":
		p.field("change", c.Compared)
	}
	for _, f := range c.Fields {
		switch {
		case f.Before == nil:
			p.line("    + ", f.Path+": "+string(f.After))
		case f.After == nil:
			p.line("    - ", f.Path+": "+string(f.Before))
		default:
			p.line("    ~ ", f.Path+": "+string(f.Before)+" -> "+string(f.After))
		}
	}
	if c.Patch != nil && e.Verb == "patch" {
		p.line("  patch     ", string(c.Patch))
	}
}
