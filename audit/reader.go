package audit

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"
)

// Order is the order of a scan.
type Order int

// Orders of a scan, both by Compare.
const (
	OldestFirst Order = iota
	NewestFirst
)

// Scan says what is read of a Reader.
type Scan struct {
	Filter Filter
	Order  Order
	// Bodies says that Request and Response are wanted; without it they may be nil.
	Bodies bool
	// Limit is how many events are wanted at most; 0 for all. A reader may stop early
	// with it, and never yields more.
	Limit int
}

// Reader is where events are read from: a store of this machine, one in a bucket, a
// running Gatehouse, or a Memory. It is safe for concurrent use, and an event that was
// acknowledged before a call is seen by it.
type Reader interface {
	// Scan yields the events that are meant, in order. After an error there is nothing
	// more. An Event that was yielded stays valid, and is not to be changed.
	Scan(ctx context.Context, s Scan) iter.Seq2[*Event, error]
	// Requests yields the distinct requests of a time, in no order. A zero bound is
	// none. What is told of a request may reach beyond the bounds by an hour. A Request
	// that was yielded stays valid, and is not to be changed.
	Requests(ctx context.Context, from, to time.Time) iter.Seq2[*Request, error]
	// Gaps are the times in which events were lost, oldest first.
	Gaps(ctx context.Context, from, to time.Time) ([]Gap, error)
	// Span is when the oldest and the newest event were; zero where there is none.
	Span(ctx context.Context) (oldest, newest time.Time, err error)
}

// Gap is a time in which events are known to be missing, or may be.
type Gap struct {
	// Start and End bound it; End is zero while it lasts.
	Start, End time.Time
	// Count is how many events were lost; -1 where nobody counted.
	Count int64
	// Reason is dropped, unreadable, stopped, … in words of the house.
	Reason string
}

// Reasons of a Gap.
const (
	// GapDropped: more came than could be written, and the setting says to drop.
	GapDropped = "dropped"
	// GapUnreadable: lines or segments that could not be read.
	GapUnreadable = "unreadable"
	// GapFull: the disk was full.
	GapFull = "disk full"
)

// Request is one distinct request, and how often it was made: what replay asks of
// authorization. It stands for all events of one actor, verb, object and outcome.
type Request struct {
	// User, Groups and Extra are those authorization was decided for (Event.Actor).
	// GroupsUnknown says that the source could not tell Groups.
	User          string
	Groups        []string
	Extra         map[string][]string
	GroupsUnknown bool
	// Impersonator is who impersonated User; empty for nobody.
	Impersonator string

	Verb string
	// APIGroup to Name are what was asked for; Path is set where it was no resource.
	APIGroup, APIVersion, Resource, Subresource string
	Namespace, Name                             string
	Path                                        string
	// NameOmitted says that so many names were asked for that this entry stands for
	// those beyond a bound, whose names were not kept.
	NameOmitted bool

	// Decision is allow, forbid, or empty where the events do not say.
	Decision string
	// Reason of the newest such event, as the authorizer said it.
	Reason string
	// First and Last are when it was made. Count is how often, counting the requests that
	// have ended: 0 while the only one is a watch that goes on.
	First, Last time.Time
	Count       int64
}

// RequestOf is the Request that one event stands for, and whether it stands for one:
// an event of authentication that failed, or of a stage that is followed by another,
// does not.
func RequestOf(e *Event) (Request, bool) {
	if e.Stage == StageReceived || e.User == "" {
		return Request{}, false
	}
	r := Request{
		Verb: e.Verb, APIGroup: e.APIGroup, APIVersion: e.APIVersion, Resource: e.Resource, Subresource: e.Subresource,
		Namespace: e.Namespace, Name: e.Name, Decision: e.Decision(), Reason: e.Reason(), First: e.Time, Last: e.Time, Count: 1,
		GroupsUnknown: !e.Knows(UnknownGroups),
	}
	if e.Stage == StageStarted {
		r.Count = 0 // its end is another event
	}
	r.User, r.Groups, r.Extra = e.Actor()
	if e.AsUser != "" {
		r.Impersonator = e.User
		r.GroupsUnknown = !e.Knows(UnknownAsGroups)
	}
	if e.Resource == "" {
		r.Path = pathOf(e.URI)
	}
	return r, true
}

// pathOf is the path of a URI without its query.
func pathOf(uri string) string {
	for i := range len(uri) {
		if uri[i] == '?' || uri[i] == '#' {
			return uri[:i]
		}
	}
	return uri
}

// Memory is a Reader over events in memory: files that were read for one question. The
// zero value is empty. It is safe for concurrent use.
type Memory struct {
	mu     sync.RWMutex
	events []*Event // sorted by Compare, each Identity once
	seen   map[Identity]bool
	gaps   []Gap
	sorted bool
}

// Add adds events. What is there already is left as it is.
func (m *Memory) Add(events ...*Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil {
		m.seen = map[Identity]bool{}
	}
	for _, e := range events {
		if !m.seen[e.Identity()] {
			m.seen[e.Identity()] = true
			m.events = append(m.events, e)
			m.sorted = false
		}
	}
}

// AddGap notes that events are missing.
func (m *Memory) AddGap(g Gap) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gaps = append(m.gaps, g)
}

// all are the events in order. They are not to be changed.
func (m *Memory) all() []*Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.sorted {
		m.events = slices.Clone(m.events) // a scan may still read the slice before
		slices.SortFunc(m.events, Compare)
		m.sorted = true
	}
	return m.events
}

// Scan implements Reader.
func (m *Memory) Scan(ctx context.Context, s Scan) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		events, found := m.all(), 0
		for i := range events {
			e := events[i]
			if s.Order == NewestFirst {
				e = events[len(events)-1-i]
			}
			if i%1024 == 0 && ctx.Err() != nil {
				yield(nil, ctx.Err())
				return
			}
			if !s.Filter.Matches(e) {
				continue
			}
			if !yield(e, nil) {
				return
			}
			if found++; found == s.Limit {
				return
			}
		}
	}
}

// Requests implements Reader: one for each event, which is right and not short.
func (m *Memory) Requests(ctx context.Context, from, to time.Time) iter.Seq2[*Request, error] {
	return func(yield func(*Request, error) bool) {
		for e, err := range m.Scan(ctx, Scan{Filter: Filter{From: from, To: to}}) {
			if err != nil {
				yield(nil, err)
				return
			}
			if r, ok := RequestOf(e); ok && !yield(&r, nil) {
				return
			}
		}
	}
}

// Gaps implements Reader.
func (m *Memory) Gaps(_ context.Context, from, to time.Time) (found []Gap, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, g := range m.gaps {
		if g.Overlaps(from, to) {
			found = append(found, g)
		}
	}
	slices.SortStableFunc(found, func(a, b Gap) int { return a.Start.Compare(b.Start) })
	return found, nil
}

// Overlaps reports whether a gap has a part of the time from from to to; a zero bound is
// none.
func (g Gap) Overlaps(from, to time.Time) bool {
	return (to.IsZero() || g.Start.Before(to)) && (from.IsZero() || g.End.IsZero() || g.End.After(from))
}

// Span implements Reader.
func (m *Memory) Span(context.Context) (oldest, newest time.Time, err error) {
	if events := m.all(); len(events) > 0 {
		return events[0].Time, events[len(events)-1].Time, nil
	}
	return time.Time{}, time.Time{}, nil
}

// Sink is where events are kept. Append returns once they are acknowledged, which means
// that a killed process loses none of them; or an error, and then none is. Events come
// redacted. It is safe for concurrent use.
type Sink interface {
	Append(ctx context.Context, events []*Event) error
}
