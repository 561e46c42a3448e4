// Command prometheus judges rules and queries with Prometheus's own code: its parser of
// rule files (rulefmt), its engine, its storage and its alerting (promqltest, rules).
//
//	prometheus -rules FILE < cases.json
//
// It prints {"errors": [...], "cases": [...]}: what is wrong with the file or with a
// query, and for each case the alerts that fire at its end, as lists of labels with their
// annotations. A case is {"series": {NAME{LABELS}: VALUES}, "interval": "1m", "at": "2h"},
// with values as promqltest writes them, and the "groups" that matter. Queries to be parsed alone are in "queries".
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

// input is what is asked.
type input struct {
	Queries []string   `json:"queries"`
	Cases   []scenario `json:"cases"`
}

// scenario is a past, and the moment that is asked about.
type scenario struct {
	Series   map[string]string `json:"series"`
	Interval string            `json:"interval"`
	At       string            `json:"at"`
	// Groups are those that are evaluated, in this order. Default: all, by their names.
	Groups []string `json:"groups"`
}

// alert is one that fires.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// output is what is answered.
type output struct {
	Errors []string  `json:"errors"`
	Cases  [][]alert `json:"cases"`
}

func main() {
	file := flag.String("rules", "", "the rule file")
	flag.Parse()
	if err := run(*file); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(file string) error {
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return fmt.Errorf("read cases: %w", err)
	}
	p := parser.NewParser(parser.Options{})
	out := output{Errors: []string{}, Cases: [][]alert{}}
	_, errs := rulefmt.ParseFile(file, false, model.UTF8Validation, p, promslog.NewNopLogger())
	for _, err := range errs {
		out.Errors = append(out.Errors, err.Error())
	}
	for _, query := range in.Queries {
		if _, err := p.ParseExpr(query); err != nil {
			out.Errors = append(out.Errors, fmt.Sprintf("%s: %v", query, err))
		}
	}
	if len(out.Errors) == 0 {
		for i, c := range in.Cases {
			firing, err := c.fire(file, p)
			if err != nil {
				return fmt.Errorf("case %d: %w", i, err)
			}
			out.Cases = append(out.Cases, firing)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// fire evaluates the rules at each interval up to the end, as a server would.
func (c *scenario) fire(file string, p parser.Parser) ([]alert, error) {
	interval, err := model.ParseDuration(c.Interval)
	if err != nil {
		return nil, err
	}
	at, err := model.ParseDuration(c.At)
	if err != nil {
		return nil, err
	}
	var load strings.Builder
	fmt.Fprintf(&load, "load %s\n", interval)
	for series, values := range c.Series {
		fmt.Fprintf(&load, "  %s %s\n", series, values)
	}
	past, err := promqltest.NewLazyLoader(load.String(), promqltest.LazyLoaderOpts{EnableAtModifier: true, Parser: p})
	if err != nil {
		return nil, err
	}
	defer past.Close()
	past.SubqueryInterval = time.Duration(interval)
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:    rules.EngineQueryFunc(past.QueryEngine(), past.Storage()),
		AppendableV2: past.Storage(), Context: context.Background(), Parser: p,
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Logger: promslog.NewNopLogger(),
	})
	loaded, errs := manager.LoadGroups(time.Duration(interval), labels.EmptyLabels(), "", nil, false, file)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	groups := make([]*rules.Group, 0, len(loaded))
	for _, g := range loaded {
		if len(c.Groups) > 0 && !slices.Contains(c.Groups, g.Name()) {
			continue
		}
		groups = append(groups, g)
		for _, r := range g.Rules() {
			if a, ok := r.(*rules.AlertingRule); ok {
				a.SetRestored(true)
			}
		}
	}
	// What a rule records, another reads: those that record come first by their names.
	slices.SortFunc(groups, func(a, b *rules.Group) int { return strings.Compare(a.Name(), b.Name()) })
	start := time.Unix(0, 0).UTC()
	for now := start; !now.After(start.Add(time.Duration(at))); now = now.Add(time.Duration(interval)) {
		var failed error
		past.WithSamplesTill(now, func(err error) {
			if failed = err; err != nil {
				return
			}
			for _, g := range groups {
				g.Eval(past.Context(), now)
				for _, r := range g.Rules() {
					if err := r.LastError(); err != nil && failed == nil {
						failed = fmt.Errorf("rule %s at %s: %w", r.Name(), now.Sub(start), err)
					}
				}
			}
		})
		if failed != nil {
			return nil, failed
		}
	}
	firing := []alert{}
	for _, g := range groups {
		for _, r := range g.Rules() {
			a, ok := r.(*rules.AlertingRule)
			if !ok {
				continue
			}
			for _, active := range a.ActiveAlerts() {
				if active.State == rules.StateFiring {
					firing = append(firing, alert{active.Labels.Map(), active.Annotations.Map()})
				}
			}
		}
	}
	return firing, nil
}
