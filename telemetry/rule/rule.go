package rule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Severity is how bad an alert is, as a label of it.
type Severity string

// Severities: critical wakes somebody, warning is for the day, info is for the curious.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
	Info     Severity = "info"
)

// Alert is a condition under which somebody is told.
type Alert struct {
	// Name begins with Gatehouse, and is the name of the page.
	Name string
	// Condition is PromQL, with {$} for the selector.
	Condition string
	// For is how long it must hold. Default: not at all.
	For string
	Severity
	// Says is the sentence, with Prometheus's templates for labels.
	Says string
	// Means, Check and Mend are the page.
	Means, Check, Mend string
}

// Recording is a query that is answered beforehand.
type Recording struct {
	Name   string
	Labels map[string]string
	Query  string
}

// Group is what is evaluated together, recordings first.
type Group struct {
	Name       string
	Recordings []Recording
	Alerts     []Alert
}

const (
	defaultSelector = `job=~"gatehouse.*"`
	defaultRunbooks = "https://github.com/gatehouse-io/gatehouse/blob/main/docs/runbooks/"
)

// Options say what is watched. The zero value is ready.
type Options struct {
	// Selector are the matchers of the series of Gatehouse. Default: job=~"gatehouse.*".
	Selector string
	// Runbooks is the URL that the names of pages are put behind. Default: that of the
	// repository.
	Runbooks string
}

func (o *Options) setDefaults() error {
	if o.Selector == "" {
		o.Selector = defaultSelector
	}
	if o.Runbooks == "" {
		o.Runbooks = defaultRunbooks
	}
	if strings.ContainsAny(o.Selector, "{}\n") {
		return errors.New(`option Selector: are matchers without braces, such as job="gatehouse"`)
	}
	if !strings.HasSuffix(o.Runbooks, "/") {
		o.Runbooks += "/"
	}
	return nil
}

// Select puts the selector into a query.
func (o Options) Select(query string) string {
	return strings.ReplaceAll(query, "{$", "{"+o.Selector)
}

// Groups are all rules, with the selector in them.
func Groups(o Options) ([]Group, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	groups := all()
	for i := range groups {
		for j := range groups[i].Recordings {
			groups[i].Recordings[j].Query = o.Select(groups[i].Recordings[j].Query)
		}
		for j := range groups[i].Alerts {
			groups[i].Alerts[j].Condition = o.Select(groups[i].Alerts[j].Condition)
		}
	}
	return groups, nil
}

// Names are those of all alerts, in order.
func Names() (names []string) {
	for _, g := range all() {
		for i := range g.Alerts {
			names = append(names, g.Alerts[i].Name)
		}
	}
	slices.Sort(names)
	return names
}

// all are the rules as they are written here. Groups that record are named so that they
// come first.
func all() []Group {
	groups := []Group{recordings()}
	for _, g := range []Group{burning(), server(), gates(), auditing(), keys(), detection()} {
		g.Name = "gatehouse." + g.Name
		groups = append(groups, g)
	}
	return groups
}

// appeared is a condition on a counter that is not there before it first counts: it has
// grown within window, or it is new while its server is not.
func appeared(counter, window string) string {
	return fmt.Sprintf("(increase(%[1]s[%[2]s]) > 0) or ((%[1]s unless %[1]s offset %[2]s) > 0 and on (job, instance) (up{$} offset %[2]s == 1))", counter, window)
}
