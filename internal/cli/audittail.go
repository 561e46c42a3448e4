package cli

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
	"github.com/gatehouse-io/gatehouse/audit/queryapi"
	"github.com/gatehouse-io/gatehouse/gate"
)

func newAuditTail() *cobra.Command {
	var source eventFlags
	var filter filterFlags
	var follow, bodies bool
	var limit int
	var output string
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show the last audit events, and with -f new ones as they come",
		Long: `Show the last audit events, the newest last, and with -f new ones as they come,
until you interrupt it. An event that comes late is shown when it comes.
` + filterHelp + eventSourceHelp + exitCodesHelp,
		Example: `  gatehouse audit tail -f --verb create,update,patch,delete -n shop
  gatehouse audit tail -f --decision forbid
  gatehouse audit tail --store audit/ --limit 5`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output, "table", "wide", "jsonl"); err != nil {
				return err
			}
			if limit < 0 {
				return coded(exitUsage, errors.New("--limit is negative"))
			}
			if follow && len(source.files) > 0 {
				return coded(exitUsage, &hintError{problem: "files are not followed", hint: "gatehouse audit import puts them into a store, which is"})
			}
			if follow && filter.upTo != "" {
				return coded(exitUsage, errors.New("--until has no meaning with -f"))
			}
			now := time.Now()
			where, err := filter.parse(now)
			if err != nil {
				return err
			}
			s, err := source.open(cmd, follow)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			ask := queryapi.Ask{Filter: filter.filter, Where: filter.where, Limit: limit, Order: audit.NewestFirst, Bodies: bodies}
			line := func(e *audit.Event) error { return printEventLine(cmd, e, output, bodies) }
			var unjudged query.Unjudged
			since := ask.Filter.From
			if limit > 0 {
				if follow {
					ask.Filter.To = now
				}
				var last []*audit.Event
				for e, err := range s.run(ctx, ask, where, &unjudged) {
					if err != nil {
						return s.done(err)
					}
					last = append(last, e)
				}
				gaps, err := s.Gaps(ctx, ask.Filter.From, ask.Filter.To)
				if err != nil {
					return s.done(err)
				}
				s.tellGaps(gaps)
				for i := len(last) - 1; i >= 0; i-- {
					if err := line(last[i]); err != nil {
						return s.done(coded(exitInternal, err))
					}
				}
				since = now
			}
			if !follow {
				s.tellUnjudged(&unjudged)
				return s.done(nil)
			}
			ask.Filter.From, ask.Filter.To, ask.Limit = since, time.Time{}, 0
			if since.IsZero() {
				ask.Filter.From = now
			}
			var news iter.Seq2[query.News, error]
			if s.client != nil {
				news = s.client.Watch(ctx, ask)
			} else {
				q := query.Query{Filter: ask.Filter, Where: where, Bodies: bodies}
				news = q.Tail(ctx, s.Reader, query.TailOptions{Since: ask.Filter.From}, &unjudged)
			}
			for n, err := range news {
				if err != nil {
					return s.done(err)
				}
				if n.Gap != nil {
					s.tellGaps([]audit.Gap{*n.Gap})
				} else if err := line(n.Event); err != nil {
					return s.done(coded(exitInternal, err))
				}
			}
			return s.done(nil)
		},
	}
	source.add(cmd)
	filter.add(cmd)
	filter.addWhere(cmd)
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "wait for new events")
	f.IntVar(&limit, "limit", 20, "how many events that are there already; 0 is none")
	f.BoolVar(&bodies, "bodies", false, "request and response bodies too, in JSON")
	f.StringVarP(&output, "output", "o", "table", "table, wide or jsonl")
	return cmd
}

// printEventLine writes an event on one line, without waiting for others.
func printEventLine(cmd *cobra.Command, e *audit.Event, output string, bodies bool) error {
	w := cmd.OutOrStdout()
	if output == "jsonl" {
		_, err := w.Write(append(escapeControls(queryapi.ItemOf(e, bodies)), '\n'))
		return err
	}
	text := fmt.Sprintf("%s  %s  %s  %s  %s", clockTime(e.Time), shortWho(e), e.Verb, objectText(e), codeText(e))
	if output == "wide" {
		text += fmt.Sprintf("  %s  %s  %s", query.SourceIP(e), e.UserAgent, e.ID)
	}
	_, err := fmt.Fprintln(w, gate.Plain(text))
	return err
}
