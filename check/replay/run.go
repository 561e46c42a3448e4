package replay

import (
	"cmp"
	"context"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/authz/review"
	"github.com/gatehouse-io/gatehouse/gate"
)

// Options are what a change is, and which past it is held against.
type Options struct {
	// Current is what is in force, and Proposed what would be.
	Current, Proposed World
	// From and To bound the time; zero is no bound.
	From, To time.Time
	// Workers is how many goroutines judge. Default: as many as there are processors.
	Workers int
	// MaxFlips is how many flips are listed. Default: 10,000.
	MaxFlips int
}

const (
	defaultFlips = 10_000
	// mostKeys is how many different flips a worker tells apart.
	mostKeys = 200_000
	// mostNames is how many names of objects a flip lists.
	mostNames = 10
	// mostReasons is how many recorded reasons of other authorizers are told apart.
	mostReasons = 50
)

// Run puts the distinct requests of the past before the current and the proposed
// objects, and tells of those that are decided differently.
func Run(ctx context.Context, reader audit.Reader, opts Options) (*Report, error) {
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	if opts.MaxFlips <= 0 {
		opts.MaxFlips = defaultFlips
	}
	workers := make([]*worker, opts.Workers)
	sameGuards := opts.Current.View != nil && opts.Proposed.View != nil && sameGuards(opts.Current.View, opts.Proposed.View)
	var current, proposed *engine
	for i := range workers {
		var err error
		if i == 0 || current.at != nil { // a clock of its own
			if current, err = opts.Current.compile(); err != nil {
				return nil, err
			}
		}
		if i == 0 || proposed.at != nil {
			if proposed, err = opts.Proposed.compile(); err != nil {
				return nil, err
			}
		}
		workers[i] = &worker{current: current, proposed: proposed, sameGuards: sameGuards, flips: map[flipKey]*flipped{}, unjudged: map[[2]string]*Tally{}}
	}
	window, err := WindowOf(ctx, reader, opts.From, opts.To)
	if err != nil {
		return nil, err
	}
	if err := each(ctx, reader, opts.From, opts.To, opts.Workers, func(i int, r *audit.Request) { workers[i].take(ctx, r) }); err != nil {
		return nil, err
	}
	all := workers[0]
	for _, w := range workers[1:] {
		all.merge(w)
	}
	all.report.Window = window
	return all.finish(ctx, opts.MaxFlips), nil
}

// worker judges requests, one at a time.
type worker struct {
	current, proposed *engine
	sameGuards        bool
	q                 asked

	report   Report // without flips and unjudged
	flips    map[flipKey]*flipped
	unjudged map[[2]string]*Tally // by cause and detail
}

// flipKey is what flips have in common that are told as one.
type flipKey struct {
	user, verb, group, resource, subresource, namespace, path string
	change, unsure, recorded                                  string
	// before and after are the reasons.
	before, after string
}

// flipped are the flips of one key.
type flipped struct {
	Tally
	first, last time.Time
	// newest is the one that was made last; of several the one first by name.
	newest *audit.Request
	names  []string // the first in order
}

func (f *flipped) take(r *audit.Request) {
	f.add(r)
	if f.first.IsZero() || r.First.Before(f.first) {
		f.first = r.First
	}
	if r.Last.After(f.last) {
		f.last = r.Last
	}
	if f.newest == nil || newer(r, f.newest) {
		f.newest = r
	}
	f.names = firstNames(f.names, r.Name)
}

// newer orders requests by time, and then so that it does not matter which comes first.
func newer(a, b *audit.Request) bool {
	return cmp.Or(-a.Last.Compare(b.Last), cmp.Compare(a.Name, b.Name), slices.Compare(a.Groups, b.Groups), cmp.Compare(a.APIVersion, b.APIVersion)) < 0
}

// firstNames are the first of some names in order, and another.
func firstNames(names []string, name string) []string {
	if name == "" {
		return names
	}
	at, found := slices.BinarySearch(names, name)
	if found || at == mostNames {
		return names
	}
	if len(names) == mostNames {
		names = names[:mostNames-1]
	}
	return slices.Insert(names, at, name)
}

// decisions in audit events.
const (
	recordedAllow  = "allow"
	recordedForbid = "forbid"
)

// byRBAC begins the reason of a request that RBAC allowed (k8s.io/kubernetes,
// plugin/pkg/auth/authorizer/rbac, and package authz/rbac).
const byRBAC = "RBAC: allowed by "

const (
	unsureGroups = "the groups of the user are unknown"
	unsureOther  = "another authorizer allowed it, and may still"
	// Guards under gatehouse attach are not asked about them.
	unsureMasters = "an API server that is not gatehouse serve lets system:masters pass and asks nobody"
)

func (w *worker) take(ctx context.Context, r *audit.Request) {
	w.report.Seen.add(r)
	if r.Impersonator != "" {
		w.report.Impersonated.add(r)
	}
	q := &w.q
	q.fill(r)
	before := w.current.decide(ctx, &q.attributes, r.Last)
	after := w.proposed.decide(ctx, &q.attributes, r.Last)
	if r.NameOmitted && !w.nameless(before, after) {
		w.cannot(r, OmittedNames, "")
		return
	}
	other := r.Decision == recordedAllow && !strings.HasPrefix(r.Reason, byRBAC)
	if before.unknown && (before.allowed || other) || after.unknown && (after.allowed || other) {
		if !w.sameGuards || before.allowed != after.allowed {
			w.cannot(r, UnknownLabels, "")
			return
		}
		w.report.Judged.add(r) // whatever the Guards say, they say it as before
		return
	}
	if !q.groups {
		w.groupless(r, before, after)
		return
	}
	if other && !before.allowed && !before.denied {
		switch {
		case after.denied: // a Guard stands before every authorizer that allows
			w.report.Judged.add(r)
			before.reason = r.Reason
			unsure := ""
			if slices.Contains(r.Groups, user.SystemPrivilegedGroup) {
				unsure = unsureMasters
			}
			w.flip(r, WouldRefuse, unsure, before, after)
		case after.allowed:
			w.report.Judged.add(r)
		default:
			w.cannot(r, OtherAuthorizer, detailOf(r))
		}
		return
	}
	w.report.Judged.add(r)
	w.compare(r, before)
	if before.passes() == after.passes() {
		return
	}
	switch {
	case after.passes():
		w.flip(r, WouldAllow, "", before, after)
	case other && !before.policy && !after.denied:
		w.flip(r, WouldRefuse, unsureOther, before, after)
	default:
		w.flip(r, WouldRefuse, "", before, after)
	}
}

// groupless judges a request of somebody whose groups are not known, as far as that is
// possible: what the user is allowed without any, they are allowed with them, but for
// Guards.
func (w *worker) groupless(r *audit.Request, before, after verdict) {
	switch {
	case !w.sameGuards:
		w.cannot(r, UnknownGroups, "")
	case before.passes() && after.passes():
		w.report.Judged.add(r)
		w.compare(r, before)
	case before.passes() && !after.allowed:
		w.report.Judged.add(r)
		w.compare(r, before)
		w.flip(r, WouldRefuse, unsureGroups, before, after)
	case !before.allowed && after.passes() && r.Decision == recordedForbid:
		w.report.Judged.add(r)
		w.compare(r, before)
		w.flip(r, WouldAllow, unsureGroups, before, after)
	default:
		w.cannot(r, UnknownGroups, "")
	}
}

// nameless reports whether what was decided of a name that nobody knows holds of every
// other name too.
func (w *worker) nameless(before, after verdict) bool {
	if w.current.named || w.proposed.named {
		return false
	}
	return before.allowed && after.allowed || !w.current.namesObjects(&w.q) && !w.proposed.namesObjects(&w.q)
}

// namesObjects reports whether RBAC may allow the request for some names alone.
func (e *engine) namesObjects(q *asked) bool {
	rules, _ := e.rbac.PolicyRulesFor(&q.user, q.attributes.Namespace)
	a := &q.attributes
	return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
		return len(r.ResourceNames) > 0 && (slices.Contains(r.Verbs, a.Verb) || slices.Contains(r.Verbs, rbacv1.VerbAll)) &&
			(slices.Contains(r.APIGroups, a.APIGroup) || slices.Contains(r.APIGroups, rbacv1.APIGroupAll))
	})
}

// compare takes down whether the objects of today decide as it was decided.
func (w *worker) compare(r *audit.Request, now verdict) {
	c := &w.report.Consistency
	switch r.Decision {
	case recordedAllow:
		if c.Recorded.add(r); now.passes() {
			c.Reproduced.add(r)
		} else {
			c.Lost.add(r)
		}
	case recordedForbid:
		if c.Recorded.add(r); now.passes() {
			c.Gained.add(r)
		} else {
			c.Reproduced.add(r)
		}
	}
}

// detailOf is what the log says of a decision of another authorizer.
func detailOf(r *audit.Request) string {
	if r.Reason != "" {
		return r.Reason
	}
	for _, group := range []string{user.SystemPrivilegedGroup, user.NodesGroup} {
		if slices.Contains(r.Groups, group) {
			return "no reason recorded, group " + group
		}
	}
	return "no reason recorded"
}

func (w *worker) cannot(r *audit.Request, cause, detail string) {
	key := [2]string{cause, detail}
	t := w.unjudged[key]
	if t == nil {
		if len(w.unjudged) >= mostReasons {
			key[1] = "other reasons"
		}
		if t = w.unjudged[key]; t == nil {
			t = &Tally{}
			w.unjudged[key] = t
		}
	}
	t.add(r)
}

func (w *worker) flip(r *audit.Request, change, unsure string, before, after verdict) {
	if change == WouldRefuse {
		w.report.Refused.add(r)
	} else {
		w.report.Allowed.add(r)
	}
	key := flipKey{user: r.User, verb: r.Verb, group: r.APIGroup, resource: r.Resource, subresource: r.Subresource, namespace: r.Namespace, path: r.Path,
		change: change, unsure: unsure, recorded: r.Decision, before: before.reason, after: after.reason}
	f := w.flips[key]
	if f == nil {
		if len(w.flips) >= mostKeys {
			w.report.More.add(r)
			return
		}
		f = &flipped{}
		w.flips[key] = f
	}
	f.take(r)
}

// merge adds what another worker found.
func (w *worker) merge(other *worker) {
	a, b := &w.report, &other.report
	for _, pair := range [][2]*Tally{
		{&a.Seen, &b.Seen}, {&a.Judged, &b.Judged}, {&a.Refused, &b.Refused}, {&a.Allowed, &b.Allowed}, {&a.More, &b.More}, {&a.Impersonated, &b.Impersonated},
		{&a.Consistency.Recorded, &b.Consistency.Recorded}, {&a.Consistency.Reproduced, &b.Consistency.Reproduced},
		{&a.Consistency.Lost, &b.Consistency.Lost}, {&a.Consistency.Gained, &b.Consistency.Gained},
	} {
		pair[0].merge(*pair[1])
	}
	for key, t := range other.unjudged {
		if have := w.unjudged[key]; have != nil {
			have.merge(*t)
		} else {
			w.unjudged[key] = t
		}
	}
	for key, f := range other.flips {
		have := w.flips[key]
		if have == nil {
			w.flips[key] = f
			continue
		}
		have.merge(f.Tally)
		if f.first.Before(have.first) {
			have.first = f.first
		}
		if f.last.After(have.last) {
			have.last = f.last
		}
		if newer(f.newest, have.newest) {
			have.newest = f.newest
		}
		for _, name := range f.names {
			have.names = firstNames(have.names, name)
		}
	}
}

// finish makes the report of what was found.
func (w *worker) finish(ctx context.Context, most int) *Report {
	r := &w.report
	for key, t := range w.unjudged {
		r.Unjudged = append(r.Unjudged, Unjudged{Cause: key[0], Detail: key[1], Tally: *t})
	}
	slices.SortFunc(r.Unjudged, func(a, b Unjudged) int { return cmp.Or(cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.Detail, b.Detail)) })
	r.Flips = make([]Flip, 0, len(w.flips))
	examples := map[*flipped]flipKey{}
	for key, f := range w.flips {
		examples[f] = key
	}
	found := slices.SortedFunc(maps.Keys(examples), func(a, b *flipped) int {
		x, y := flipOf(examples[a], a), flipOf(examples[b], b)
		return x.compare(&y)
	})
	for i, f := range found {
		if i >= most {
			r.More.merge(f.Tally)
			continue
		}
		flip := flipOf(examples[f], f)
		w.q.fill(f.newest)
		flip.Before = w.current.cause(ctx, &w.q, f.newest)
		flip.After = w.proposed.cause(ctx, &w.q, f.newest)
		if flip.Before.Part == "" && flip.Change == WouldRefuse {
			flip.Before = Cause{Part: OtherPart, Reason: f.newest.Reason}
		}
		r.Flips = append(r.Flips, flip)
	}
	return r
}

// OtherPart is the part of a Cause that is an authorizer which is not asked: Node, or a
// webhook.
const OtherPart = "another authorizer"

func flipOf(key flipKey, f *flipped) Flip {
	return Flip{Change: key.change, Unsure: key.unsure, User: key.user, Groups: f.newest.Groups, Verb: key.verb, APIGroup: key.group, Resource: key.resource,
		Subresource: key.subresource, Namespace: key.namespace, Path: key.path, Names: f.names, Tally: f.Tally, First: f.first, Last: f.last,
		Before: Cause{Reason: key.before}, After: Cause{Reason: key.after}, Recorded: key.recorded}
}

// cause is what decides a request, or comes nearest to it.
func (e *engine) cause(ctx context.Context, q *asked, r *audit.Request) Cause {
	trace := e.explain(ctx, &q.attributes, r.Last)
	c := Cause{Reason: trace.Verdict.Reason}
	sources := func(list []gate.Source) {
		for _, s := range list {
			c.Sources = append(c.Sources, review.Source(e.world.locate(s)))
		}
	}
	if by := trace.Verdict.By; by != nil {
		c.Part = by.Part
		sources(by.Sources)
		return c
	}
	c.Reason = "no rule allows it"
	for i := range trace.Steps {
		if misses := trace.Steps[i].Misses; len(misses) > 0 {
			c.Reason += "; the nearest lacks " + misses[0].Lacks
			sources(misses[0].Sources)
			break
		}
	}
	return c
}
