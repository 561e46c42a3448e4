package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
	"github.com/gatehouse-io/gatehouse/audit/queryapi"
)

func newAuditTimeline() *cobra.Command {
	var source eventFlags
	var filter filterFlags
	var around, by, output string
	var window time.Duration
	var limit int
	cmd := &cobra.Command{
		Use:   "timeline [KIND/NAME]",
		Short: "Show what happened, in a lane for each object or user, with the gaps",
		Long: `Show what happened, in a lane for each object, user or namespace, the oldest first, with
the times in which events are missing. With KIND/NAME it is the object's story and that of
those that stand behind it: a pod's, its ReplicaSet's and its Deployment's.
` + filterHelp + eventSourceHelp + exitCodesHelp,
		Example: `  gatehouse audit timeline pod/web-5d4f8c7b9-x7k2p -n shop
  gatehouse audit timeline --user jane --since 1h
  gatehouse audit timeline -n shop --around 2026-03-04T05:00:00Z --window 10m --by user`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &hintError{problem: "want at most one KIND/NAME", hint: "gatehouse audit timeline pod/web-1 -n shop"}
			}
			if limit < 1 {
				return errors.New("--limit is below 1")
			}
			return checkOutput(output, "table", "wide", "json")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			now := time.Now()
			if _, err := filter.parse(now); err != nil {
				return err
			}
			if around != "" {
				if filter.since != "" || filter.upTo != "" {
					return coded(exitUsage, errors.New("--around has its own time: leave out --since and --until"))
				}
				at, err := query.ParseTime(around, now)
				if err != nil {
					return coded(exitUsage, fmt.Errorf("--around: %w", err))
				}
				filter.filter.From, filter.filter.To = at.Add(-window), at.Add(window)
			}
			o := query.TimelineOptions{Filter: filter.filter, By: by, Limit: limit}
			if by != query.ByObject && by != query.ByUser && by != query.ByNamespace {
				return coded(exitUsage, fmt.Errorf("--by: %q is neither object, user nor namespace", by))
			}
			var object *query.Object
			if len(args) == 1 {
				found, err := objectOf(args[0], source.namespace)
				if err != nil {
					return err
				}
				object = &found
			}
			s, err := source.open(cmd, false)
			if err != nil {
				return err
			}
			return s.done(s.timeline(cmd.Context(), object, o, output))
		},
	}
	source.add(cmd)
	filter.add(cmd)
	f := cmd.Flags()
	f.StringVar(&around, "around", "", "a time in the middle: 2h, 2006-01-02T15:04, RFC 3339")
	f.DurationVar(&window, "window", 15*time.Minute, "how much before and after --around")
	f.StringVar(&by, "by", query.ByObject, "what a lane is of: object, user or namespace")
	f.IntVar(&limit, "limit", query.DefaultTimeline, "most events, the newest")
	f.StringVarP(&output, "output", "o", "table", "table, wide or json")
	return cmd
}

func (s *events) timeline(ctx context.Context, object *query.Object, o query.TimelineOptions, output string) error {
	if object != nil {
		o.Objects = []query.Object{*object}
		actor, err := query.FindActor(ctx, s.Reader, *object, query.ActorOptions{At: o.Filter.To})
		if err != nil {
			return err
		}
		for _, hop := range actor.Hops {
			if hop.Object.String() != object.String() {
				o.Objects = append(o.Objects, hop.Object)
			}
			if e := hop.Event; e != nil && e.Name == "" && !e.Time.Before(o.Filter.From) {
				o.Events = append(o.Events, e)
			}
		}
	}
	t, err := query.TimelineOf(ctx, s.Reader, o)
	if err != nil {
		return err
	}
	if output == "json" {
		return printObject(s.cmd.OutOrStdout(), "json", queryapi.TimelineOf(queryapi.ServeGroup, t))
	}
	if t.More {
		s.note("there was more before %s: --limit shows as many, --until ends earlier", clockTime(t.From))
	}
	found := 0
	p := &printed{w: s.cmd.OutOrStdout()}
	for i, lane := range t.Lanes {
		if i > 0 {
			p.line("", "")
		}
		name := lane.Name
		if name == "" {
			name = "(in no namespace)"
		}
		p.line("", name)
		gaps := t.Gaps
		for _, e := range lane.Events {
			found++
			for len(gaps) > 0 && gaps[0].Start.Before(e.Time) {
				printGap(p, gaps[0])
				gaps = gaps[1:]
			}
			text := shortWho(e) + "  " + e.Verb
			switch o.By {
			case query.ByUser:
				text = e.Verb + "  " + objectText(e)
			case query.ByNamespace:
				text += "  " + objectText(e)
			default:
				if e.Subresource != "" {
					text += " /" + e.Subresource
				}
			}
			text += "  " + codeText(e)
			if output == "wide" {
				text += "  " + query.SourceIP(e) + "  " + e.ID
			}
			p.line("  "+clockTime(e.Time)+"  ", text)
		}
		for _, g := range gaps {
			printGap(p, g)
		}
	}
	if found == 0 {
		p.line("", "no events")
		s.tellGaps(t.Gaps)
	}
	if p.err != nil {
		return coded(exitInternal, p.err)
	}
	return s.tellSpan(ctx, o.Filter.From, o.Filter.To, found)
}

func printGap(p *printed, g audit.Gap) { p.line("  ~~~~  ", gapText(g)) }
