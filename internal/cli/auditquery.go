package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/celevent"
	"github.com/gatehouse-io/gatehouse/audit/query"
	"github.com/gatehouse-io/gatehouse/audit/queryapi"
)

// defaultEvents is how many events are shown where nobody says.
const defaultEvents = 100

func newAuditQuery() *cobra.Command {
	var source eventFlags
	var filter filterFlags
	var countBy []string
	var limit int
	var oldest, newest, bodies bool
	var output string
	cmd := &cobra.Command{
		Use:   "query",
		Short: "List audit events, or count them",
		Long: `List audit events, the newest first, or count them by what they have in common.
` + filterHelp + eventSourceHelp + exitCodesHelp,
		Example: `  gatehouse audit query --store audit/ --user jane -n shop --since 2h
  gatehouse audit query --verb delete --resource pods --name 'web-*' -o wide
  gatehouse audit query --resource secrets --verb get,list --count-by user,ip
  gatehouse audit query --where 'event.responseStatus.code == 403 && event.user.groups.exists(g, g == "ci")'
  gatehouse audit query --audit audit.log --uri fieldManager=kubectl --limit 0 -o jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output, "table", "wide", "json", "jsonl", "csv"); err != nil {
				return err
			}
			if limit < 0 {
				return coded(exitUsage, errors.New("--limit is negative"))
			}
			fields, err := query.ParseFields(countBy)
			if err != nil {
				return coded(exitUsage, fmt.Errorf("--count-by: %w", err))
			}
			where, err := filter.parse(time.Now())
			if err != nil {
				return err
			}
			s, err := source.open(cmd, false)
			if err != nil {
				return err
			}
			ask := queryapi.Ask{Filter: filter.filter, Where: filter.where, Limit: limit, CountBy: countBy, Order: audit.NewestFirst, Bodies: bodies}
			if oldest {
				ask.Order = audit.OldestFirst
			}
			if len(fields) > 0 {
				return s.done(s.count(cmd.Context(), ask, where, fields, output))
			}
			return s.done(s.list(cmd.Context(), ask, where, output))
		},
	}
	source.add(cmd)
	filter.add(cmd)
	filter.addWhere(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&countBy, "count-by", nil, "count by these: user, group, verb, resource, namespace, name, code, decision, ip, useragent, hour, day, …")
	f.IntVar(&limit, "limit", defaultEvents, "most events or groups; 0 is all")
	f.BoolVar(&newest, "newest", false, "the newest first, which is the default")
	f.BoolVar(&oldest, "oldest", false, "the oldest first")
	f.BoolVar(&bodies, "bodies", false, "request and response bodies too, in JSON")
	f.StringVarP(&output, "output", "o", "table", "table, wide, json, jsonl or csv")
	cmd.MarkFlagsMutuallyExclusive("newest", "oldest")
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "wide", "json", "jsonl", "csv"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("count-by", cobra.FixedCompletions(query.FieldNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// list prints events.
func (s *events) list(ctx context.Context, a queryapi.Ask, where *celevent.Program, output string) error {
	limit := a.Limit
	if limit > 0 {
		a.Limit++ // one more tells that there are more
	}
	p := newEventPrinter(s.cmd.OutOrStdout(), output, a.Bodies)
	var unjudged query.Unjudged
	found, more := 0, false
	for e, err := range s.run(ctx, a, where, &unjudged) {
		if err != nil {
			return err
		}
		if more = limit > 0 && found == limit; more {
			break
		}
		found++
		if err := p.print(e); err != nil {
			return coded(exitInternal, err)
		}
	}
	gaps, err := s.Gaps(ctx, a.Filter.From, a.Filter.To)
	if err != nil {
		return err
	}
	if err := p.end(gaps, &unjudged, more); err != nil {
		return coded(exitInternal, err)
	}
	if output != "json" {
		s.tellGaps(gaps)
		s.tellUnjudged(&unjudged)
	}
	if more {
		s.note("there are more: --limit %d shows as many, 0 all", limit*10)
		return nil
	}
	return s.tellSpan(ctx, a.Filter.From, a.Filter.To, found)
}

func (s *events) tellUnjudged(u *query.Unjudged) {
	if u.Count > 0 {
		s.note("--where could not be judged for %d events, which are left out (the first: %v); has(…) asks whether a field is there", u.Count, u.First)
	}
}

// count prints counts.
func (s *events) count(ctx context.Context, a queryapi.Ask, where *celevent.Program, fields []query.Field, output string) error {
	var counts *queryapi.EventCounts
	if s.client != nil {
		var err error
		if counts, err = s.client.Counts(ctx, a); err != nil {
			return err
		}
	} else {
		counter := query.NewCounter(fields, 0)
		q := query.Query{Filter: a.Filter, Where: where}
		var unjudged query.Unjudged
		for e, err := range q.Run(ctx, s.Reader, &unjudged) {
			if err != nil {
				return err
			}
			counter.Add(e)
		}
		gaps, err := s.Gaps(ctx, a.Filter.From, a.Filter.To)
		if err != nil {
			return err
		}
		counts = queryapi.CountsOf(queryapi.ServeGroup, counter.Counts(a.Limit))
		counts.Gaps, counts.Unjudged = queryapi.GapsOf(gaps), queryapi.UnjudgedOf(&unjudged)
	}
	if err := printCounts(s.cmd.OutOrStdout(), output, counts); err != nil {
		return err
	}
	if output != "json" {
		s.tellGaps(queryapi.GapsFrom(counts.Gaps))
		if u := counts.Unjudged; u != nil {
			s.tellUnjudged(&query.Unjudged{Count: u.Count, First: errors.New(u.First)})
		}
		if !counts.Exact {
			s.note("there are more groups than are counted by themselves: counts marked ~ may be too large, and groups of at most %d events may be missing", counts.Threshold)
		}
	}
	if more := counts.Distinct - int64(len(counts.Groups)); more > 0 {
		s.note("there are %d groups more: --limit 0 shows all", more)
	}
	return s.tellSpan(ctx, a.Filter.From, a.Filter.To, int(counts.Events))
}

// countText is how often, with a mark where it may be less.
func countText(g queryapi.Group) string {
	if g.Excess > 0 {
		return "~" + strconv.FormatInt(g.Count, 10)
	}
	return strconv.FormatInt(g.Count, 10)
}
