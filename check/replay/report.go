package replay

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
)

// Window is the time that was looked at, and what is known to be missing in it.
type Window struct {
	// From and To are what was asked for; nil where nothing bounds it.
	From *time.Time `json:"from,omitempty"`
	To   *time.Time `json:"to,omitempty"`
	// Oldest and Newest are when the first and the last event were that there is; nil
	// where there is none. Nothing is known of the time before Oldest.
	Oldest *time.Time `json:"oldest,omitempty"`
	Newest *time.Time `json:"newest,omitempty"`
	// Seconds is how long the observation was: what of the time that was asked for lies
	// between Oldest and Newest, or Now where To is open.
	Seconds int64 `json:"seconds"`
	// Gaps are the times in it in which events were lost.
	Gaps []Gap `json:"gaps,omitempty"`
}

// Gap is a time in which events were lost.
type Gap struct {
	Start time.Time `json:"start"`
	// End is nil while it lasts.
	End *time.Time `json:"end,omitempty"`
	// Count is how many were lost; -1 where nobody counted.
	Count  int64  `json:"count"`
	Reason string `json:"reason"`
}

// WindowOf asks a Reader what it has of a time.
func WindowOf(ctx context.Context, reader audit.Reader, from, to time.Time) (Window, error) {
	w := Window{From: pointer(from), To: pointer(to)}
	oldest, newest, err := reader.Span(ctx)
	if err != nil {
		return w, err
	}
	w.Oldest, w.Newest = pointer(oldest), pointer(newest)
	begin, end := oldest, newest
	if from.After(begin) {
		begin = from
	}
	if !to.IsZero() && to.Before(end) {
		end = to
	}
	if !oldest.IsZero() && end.After(begin) {
		w.Seconds = int64(end.Sub(begin) / time.Second)
	}
	gaps, err := reader.Gaps(ctx, from, to)
	for _, g := range gaps {
		w.Gaps = append(w.Gaps, Gap{Start: g.Start, End: pointer(g.End), Count: g.Count, Reason: g.Reason})
	}
	return w, err
}

func pointer(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Report is what a change would do to the requests of the past.
type Report struct {
	Window Window `json:"window"`
	// Seen are all requests there are, and Judged those that were judged.
	Seen   Tally `json:"seen"`
	Judged Tally `json:"judged"`
	// Refused are those that are allowed now and would be refused, and Allowed those
	// that are refused now and would be allowed, whether Flips has room for them or not.
	Refused Tally `json:"refused"`
	Allowed Tally `json:"allowed"`
	// Flips are what is behind the two, those that would be refused first.
	Flips []Flip `json:"flips"`
	// More are the flips that Flips has no room for.
	More Tally `json:"more"`
	// Unjudged are the requests that could not be judged, by cause.
	Unjudged []Unjudged `json:"unjudged,omitempty"`
	// Consistency is how far the objects of today explain what was decided.
	Consistency Consistency `json:"consistency"`
	// Impersonated are requests of somebody who acted as another: they were judged as
	// the other's, and whether they may act so was not.
	Impersonated Tally `json:"impersonated"`
	// Policies is what the change would do to recorded objects; nil where nobody asked.
	Policies *PolicyReport `json:"policies,omitempty"`
	// NotRecorded is what the audit policy leaves out; nil where nobody gave it.
	NotRecorded *Unrecorded `json:"notRecorded,omitempty"`
	Notes       []string    `json:"notes,omitempty"`
}

// Directions of a flip.
const (
	WouldRefuse = "refuse"
	WouldAllow  = "allow"
)

// Flip is a set of requests that a change decides otherwise, of one user, verb,
// resource and namespace, for one reason.
type Flip struct {
	// Change is refuse or allow: what would become of them.
	Change string `json:"change"`
	// Unsure says that it may not come to that, and why; empty where it would.
	Unsure string `json:"unsure,omitempty"`

	User        string   `json:"user"`
	Groups      []string `json:"groups,omitempty"`
	Verb        string   `json:"verb"`
	APIGroup    string   `json:"apiGroup,omitempty"`
	Resource    string   `json:"resource,omitempty"`
	Subresource string   `json:"subresource,omitempty"`
	Namespace   string   `json:"namespace,omitempty"`
	Path        string   `json:"path,omitempty"`
	// Names are those of the objects, in order, up to a bound; Tally says how many
	// there are.
	Names []string `json:"names,omitempty"`

	Tally
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`

	// Before and After are what decides now, and what would.
	Before Cause `json:"before"`
	After  Cause `json:"after"`
	// Recorded is what was decided then: allow, forbid, or empty.
	Recorded string `json:"recorded,omitempty"`
}

// Cause is why a request is decided so.
type Cause struct {
	// Part is the authorizer that decides: Guard, ABAC or RBAC; empty where none allows.
	Part   string `json:"part,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Sources said so, the most specific first: the binding, then the role's rule.
	Sources []v1alpha1.TraceSource `json:"sources,omitempty"`
}

// Causes of what could not be judged.
const (
	// UnknownGroups: the log does not say which groups the user was in.
	UnknownGroups = "groups unknown"
	// OtherAuthorizer: it was allowed, and neither RBAC nor ABAC of today says why. The
	// Detail is the reason that was recorded.
	OtherAuthorizer = "allowed by another authorizer"
	// OmittedNames: so many names were asked for that they were not kept, and rules or
	// Guards are about some names alone.
	OmittedNames = "names omitted"
	// UnknownLabels: a Guard's say depends on labels or selectors that are not known.
	UnknownLabels = "labels unknown"
)

// Unjudged counts requests that could not be judged for one cause.
type Unjudged struct {
	Cause  string `json:"cause"`
	Detail string `json:"detail,omitempty"`
	Tally
}

// Consistency compares what was decided with what the objects of today decide.
type Consistency struct {
	// Recorded are the judged requests of which the log says the decision.
	Recorded Tally `json:"recorded"`
	// Reproduced are those of them that are decided in the same way today.
	Reproduced Tally `json:"reproduced"`
	// Lost were allowed and are refused today; Gained were refused and are allowed.
	Lost   Tally `json:"lost"`
	Gained Tally `json:"gained"`
}

// Share is the part of the recorded decisions, between 0 and 1, that is reproduced; 1
// where none is recorded.
func (c *Consistency) Share() float64 {
	if c.Recorded.Requests == 0 {
		return 1
	}
	return float64(c.Reproduced.Requests) / float64(c.Recorded.Requests)
}

func (f *Flip) compare(other *Flip) int {
	return cmp.Or(-cmp.Compare(f.Change, other.Change), cmp.Compare(f.User, other.User), cmp.Compare(f.Namespace, other.Namespace),
		cmp.Compare(f.Resource, other.Resource), cmp.Compare(f.APIGroup, other.APIGroup), cmp.Compare(f.Subresource, other.Subresource),
		cmp.Compare(f.Path, other.Path), cmp.Compare(f.Verb, other.Verb), slices.Compare(f.Names, other.Names),
		slices.Compare(f.Groups, other.Groups), f.Last.Compare(other.Last), cmp.Compare(f.Before.Reason, other.Before.Reason),
		cmp.Compare(f.After.Reason, other.After.Reason), cmp.Compare(f.Recorded, other.Recorded), cmp.Compare(f.Unsure, other.Unsure))
}
