package dashboard

import (
	"errors"
	"slices"
	"strings"
)

const defaultSelector = `job=~"gatehouse.*"`

// Options say what is shown. The zero value is ready.
type Options struct {
	// Selector are the matchers of the series of Gatehouse. Default: job=~"gatehouse.*".
	Selector string
}

// Dashboard is one page.
type Dashboard struct {
	// ID names the file, and the page for Grafana.
	ID, Title, About string
	Rows             []Row

	selector string
}

// Row is panels side by side, under a title.
type Row struct {
	Title  string
	Panels []Panel
}

// Panel is a picture of some queries.
type Panel struct {
	Title, About string
	// Stat shows the last number of each query, large. Default: lines over time.
	Stat bool
	// Unit is one of Grafana's: reqps, s, bytes, percentunit, short. Default: short.
	Unit string
	// Stack puts lines on top of each other.
	Stack   bool
	Queries []Query
	// BadAbove colours numbers above it red; nil colours nothing.
	BadAbove *float64
}

// Query is PromQL, with {$} for the selector and $rate for the window of a rate.
type Query struct {
	Expr, Legend string
}

// window is Grafana's: four scrapes, or what a pixel is worth.
const window = "$__rate_interval"

// All are the dashboards, with the selector in their queries.
func All(o Options) ([]Dashboard, error) {
	if o.Selector == "" {
		o.Selector = defaultSelector
	}
	if strings.ContainsAny(o.Selector, "{}\n") {
		return nil, errors.New(`option Selector: are matchers without braces, such as job="gatehouse"`)
	}
	all := []Dashboard{overview(), authentication(), authorization(), admission(), auditing(), secrets(), server()}
	put := strings.NewReplacer("{$", "{"+o.Selector+`,instance=~"$instance"`, "$rate", window)
	for i := range all {
		all[i].selector = o.Selector
		for j := range all[i].Rows {
			panels := all[i].Rows[j].Panels
			for k := range panels {
				for l := range panels[k].Queries {
					panels[k].Queries[l].Expr = put.Replace(panels[k].Queries[l].Expr)
				}
			}
		}
	}
	return all, nil
}

// Queries are those of all panels, each once.
func (d *Dashboard) Queries() (all []string) {
	for _, r := range d.Rows {
		for _, p := range r.Panels {
			for _, q := range p.Queries {
				all = append(all, q.Expr)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// lines is a panel of one query for each pair of legend and expression.
func lines(title, unit string, pairs ...string) Panel {
	p := Panel{Title: title, Unit: unit}
	for i := 0; i+1 < len(pairs); i += 2 {
		p.Queries = append(p.Queries, Query{Legend: pairs[i], Expr: pairs[i+1]})
	}
	return p
}

// stat is a number.
func stat(title, unit, expr string) Panel {
	return Panel{Title: title, Unit: unit, Stat: true, Queries: []Query{{Expr: expr, Legend: title}}}
}

// bad colours numbers above limit red.
func (p Panel) bad(limit float64) Panel {
	p.BadAbove = &limit
	return p
}

func (p Panel) about(text string) Panel {
	p.About = text
	return p
}

func (p Panel) stacked() Panel {
	p.Stack = true
	return p
}

// orNone is a sum that is 0 where there is no series.
func orNone(sum string) string { return sum + " or vector(0)" }

// quantiles are lines of a histogram: half, and all but one in a hundred.
func quantiles(title, histogram, matchers string, by ...string) Panel {
	labels, legend := strings.Join(append([]string{"le"}, by...), ", "), ""
	for _, label := range by {
		legend += " {{" + label + "}}"
	}
	of := "sum by (" + labels + ") (rate(" + histogram + "_bucket{$" + matchers + "}[$rate]))"
	return lines(title, "s", "p50"+legend, "histogram_quantile(0.5, "+of+")", "p99"+legend, "histogram_quantile(0.99, "+of+")")
}
