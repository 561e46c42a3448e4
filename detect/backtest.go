package detect

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
)

// BacktestOptions of Backtest. The zero value is usable.
type BacktestOptions struct {
	// From and To bound the findings. Zero is all that is recorded.
	From, To time.Time
	// Warm is how long before From rules learn what is usual. Default: as long as the
	// rule that looks back furthest.
	Warm time.Duration
	// Findings is how many are kept. Default: 10000.
	Findings int
	// Attribute looks for who began what controllers did.
	Attribute bool
	// Mutes name the Findings they mean.
	Mutes []*v1alpha1.Mute
	// State are the options of the State.
	State StateOptions
}

// Backtest is what rules would have found.
type Backtest struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Events int64     `json:"events"`
	// Findings are the oldest first. Dropped is how many more there were.
	Findings []Finding `json:"findings"`
	Dropped  int64     `json:"dropped,omitempty"`
	// Hours are how many findings began, by rule and by hour in UTC.
	Hours []Hour `json:"hours"`
	// Gaps are times in which events are missing.
	Gaps  []audit.Gap `json:"gaps,omitempty"`
	Stats Stats       `json:"-"`
}

// Hour is how many findings of a rule began in an hour.
type Hour struct {
	Rule  string    `json:"rule"`
	Hour  time.Time `json:"hour"`
	Count int64     `json:"count"`
}

// Run asks the rules about everything that is recorded, in the order of time. Bodies are read
// only of the requests that rules with bodies are about.
func Run(ctx context.Context, r audit.Reader, set *Set, o BacktestOptions) (*Backtest, error) {
	if o.Findings <= 0 {
		o.Findings = 10000
	}
	if o.Warm <= 0 {
		for _, rule := range set.rules {
			o.Warm = max(o.Warm, rule.horizon())
		}
	}
	b := &Backtest{From: o.From, To: o.To}
	begin := o.From
	if !begin.IsZero() {
		begin = begin.Add(-o.Warm)
	}
	state := NewState(set, o.State)
	state.SetMutes(o.Mutes)
	kept, hours := map[string]*Finding{}, map[Hour]int64{}
	take := func(changes []Change) {
		for _, c := range changes {
			f := c.Finding
			id := f.Fingerprint + f.First.Format(time.RFC3339Nano)
			if c.What == New && !f.Last.Before(o.From) {
				hours[Hour{Rule: f.Rule, Hour: f.Last.UTC().Truncate(time.Hour)}]++
				if len(kept) >= o.Findings {
					b.Dropped++
					continue
				}
				kept[id] = &f
			} else if kept[id] != nil {
				kept[id] = &f
			}
		}
	}
	var last time.Time
	for e, err := range set.Scan(ctx, r, begin, o.To) {
		if err != nil {
			return nil, fmt.Errorf("read audit events: %w", err)
		}
		if !e.Time.Before(o.From) {
			b.Events++
		}
		last = e.Time
		take(state.Observe(ctx, e))
	}
	if o.To.After(last) {
		last = o.To
	}
	take(state.Advance(ctx, last))
	for _, f := range kept {
		b.Findings = append(b.Findings, *f)
	}
	slices.SortFunc(b.Findings, func(x, y Finding) int { return compareFindings(&x, &y) })
	for h, n := range hours {
		h.Count = n
		b.Hours = append(b.Hours, h)
	}
	slices.SortFunc(b.Hours, func(x, y Hour) int { return cmp.Or(cmp.Compare(x.Rule, y.Rule), x.Hour.Compare(y.Hour)) })
	b.Stats = state.Stats()
	if o.Attribute {
		for i := range b.Findings {
			if err := Attribute(ctx, r, &b.Findings[i]); err != nil {
				return nil, err
			}
		}
	}
	var err error
	if b.Gaps, err = r.Gaps(ctx, begin, o.To); err != nil {
		return nil, fmt.Errorf("read gaps of the audit events: %w", err)
	}
	return b, nil
}

// Scan reads the events of a time for the rules, in order: those that rules with bodies are
// about with them, and the others without.
func (set *Set) Scan(ctx context.Context, r audit.Reader, from, to time.Time) iter.Seq2[*audit.Event, error] {
	all := audit.Scan{Filter: audit.Filter{From: from, To: to}}
	narrow, any := set.bodied()
	if !any {
		return r.Scan(ctx, all)
	}
	narrow.From, narrow.To = from, to
	if len(narrow.Verbs) == 0 && len(narrow.Resources) == 0 {
		all.Bodies = true
		return r.Scan(ctx, all)
	}
	return func(yield func(*audit.Event, error) bool) {
		next, stop := iter.Pull2(r.Scan(ctx, audit.Scan{Filter: narrow, Bodies: true}))
		defer stop()
		full, err, more := next()
		for e, failed := range r.Scan(ctx, all) {
			if failed != nil {
				yield(nil, failed)
				return
			}
			for more && err == nil && audit.Compare(full, e) < 0 {
				full, err, more = next()
			}
			if more && err != nil {
				yield(nil, err)
				return
			}
			if more && audit.Same(full, e) {
				e = full
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// bodied is a filter of the requests that rules with bodies are about; any says that there
// are such rules. A filter that names nothing is for all.
func (s *Set) bodied() (f audit.Filter, any bool) {
	verbs, resources := map[string]bool{}, map[string]bool{}
	everyVerb, everyResource := false, false
	for _, r := range s.rules {
		if !r.bodies {
			continue
		}
		any = true
		for _, m := range r.matches {
			everyVerb = everyVerb || len(m.verbs) == 0
			everyResource = everyResource || len(m.resources) == 0 || len(m.paths) > 0
			for _, v := range m.verbs {
				verbs[v] = true
			}
			for _, res := range m.resources {
				resources[res] = true
			}
		}
	}
	if !everyVerb {
		f.Verbs = slices.Sorted(maps.Keys(verbs))
	}
	if !everyResource {
		f.Resources = slices.Sorted(maps.Keys(resources))
	}
	return f, any
}

// Attribute looks for who began what a controller did, and notes it in the Finding. A
// Finding of somebody else is left as it is.
func Attribute(ctx context.Context, r audit.Reader, f *Finding) error {
	e := &audit.Event{User: f.Subject.User, AsUser: f.Subject.As}
	if query.AccountOf(e).Kind != query.KindController || f.Object.Name == "" {
		return nil
	}
	o := query.Object{APIGroup: f.Object.APIGroup, Resource: f.Object.Resource, Namespace: f.Object.Namespace, Name: f.Object.Name}
	actor, err := query.FindActor(ctx, r, o, query.ActorOptions{At: f.Last, Deleted: f.Object.Verb == "delete"})
	if err != nil {
		return fmt.Errorf("find who began %s: %w", o, err)
	}
	if !actor.Found {
		return nil
	}
	hop := actor.Last()
	f.Began = &Began{User: hop.By.String(), Certainty: string(actor.Certainty)}
	for _, h := range actor.Hops {
		f.Began.Evidence = append(f.Began.Evidence, h.Evidence...)
	}
	return nil
}
