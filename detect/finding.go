package detect

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
)

// Finding is something that a rule noticed. Its texts were written by clients.
type Finding struct {
	// Fingerprint is made of the rule and the key: what happens again has the same.
	Fingerprint string                     `json:"fingerprint"`
	Rule        string                     `json:"rule"`
	Title       string                     `json:"title"`
	Severity    v1alpha1.DetectionSeverity `json:"severity"`
	Attack      v1alpha1.DetectionAttack   `json:"attack,omitzero"`
	Runbook     string                     `json:"runbook,omitempty"`
	// Message is the sentence for the newest event.
	Message string `json:"message"`
	// First and Last are when the oldest and the newest event were.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Count is how many requests, or values, there were.
	Count int64 `json:"count"`
	// Events are auditIDs behind it: the first ten, and the last forty.
	Events []string `json:"events,omitempty"`
	// Key are the values of the rule's keys.
	Key []string `json:"key,omitempty"`
	// Subject and Object are those of the newest event.
	Subject Subject `json:"subject,omitzero"`
	Object  Object  `json:"object,omitzero"`
	// Began is who began what a controller did, where that is known.
	Began *Began `json:"began,omitempty"`
	// Response is what was done about it, or would have been, in a sentence; empty where
	// nobody asked for a response.
	Response string `json:"response,omitempty"`
	// Muted is the name of the Mute that keeps it quiet.
	Muted string `json:"muted,omitempty"`
	// Quiet is how long nothing must happen until it is over.
	Quiet time.Duration `json:"quiet"`
}

// Subject is who made a request.
type Subject struct {
	User string `json:"user,omitempty"`
	// As is who was impersonated.
	As        string   `json:"as,omitempty"`
	Groups    []string `json:"groups,omitempty"`
	Address   string   `json:"address,omitempty"`
	UserAgent string   `json:"userAgent,omitempty"`
}

// Object is what a request was for.
type Object struct {
	Verb        string `json:"verb,omitempty"`
	APIGroup    string `json:"apiGroup,omitempty"`
	Resource    string `json:"resource,omitempty"`
	Subresource string `json:"subresource,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
	Name        string `json:"name,omitempty"`
	// Path is set where it was for no resource.
	Path string `json:"path,omitempty"`
}

// Began is who began what a controller did.
type Began struct {
	User string `json:"user"`
	// Certainty is sure, likely or guess.
	Certainty string `json:"certainty"`
	// Evidence is what that stands on, in sentences.
	Evidence []string `json:"evidence,omitempty"`
}

const (
	maxFirst  = 10
	maxEvents = 50
	maxText   = 512
	maxGroups = 32
)

func bounded(text string) string {
	if len(text) > maxText {
		return text[:maxText]
	}
	return text
}

func subjectOf(e *audit.Event) Subject {
	s := Subject{User: bounded(e.User), As: bounded(e.AsUser), UserAgent: bounded(e.UserAgent), Groups: slices.Clone(e.Groups[:min(len(e.Groups), maxGroups)])}
	if n := len(e.SourceIPs); n > 0 {
		s.Address = bounded(e.SourceIPs[n-1])
	}
	return s
}

func objectOf(e *audit.Event) Object {
	o := Object{Verb: e.Verb, APIGroup: bounded(e.APIGroup), Resource: bounded(e.Resource), Subresource: bounded(e.Subresource), Namespace: bounded(e.Namespace), Name: bounded(e.Name)}
	if e.Resource == "" {
		o.Path = bounded(e.URI)
	}
	return o
}

// What is a change of a Finding.
type What string

// Changes of a Finding.
const (
	// New: it was not there, or was over.
	New What = "new"
	// Again: there is more of it.
	Again What = "again"
	// Over: nothing has happened for as long as its rule says.
	Over What = "over"
)

// Change is a change of a Finding. The Finding is a copy.
type Change struct {
	What    What
	Finding Finding
}

// ledger holds the Findings that are not over.
type ledger struct {
	most    int
	open    map[string]*Finding // by fingerprint
	evicted int64
	// next is no later than when the first of them is over; zero where there is none.
	next time.Time
}

// add adds something that happened to a Finding, or begins one. fill is called for what
// the newest event says.
func (l *ledger) add(fingerprint string, at, since time.Time, count int64, sum bool, ids []string, fill func(f *Finding)) Change {
	f, ok := l.open[fingerprint]
	what := Again
	if !ok {
		if len(l.open) >= l.most {
			l.drop()
		}
		f = &Finding{Fingerprint: fingerprint, First: since, Last: at}
		l.open[fingerprint] = f
		what = New
	}
	switch {
	case !ok:
		f.Count = count
	case sum:
		f.Count++
	default:
		f.Count = max(f.Count, count)
	}
	if since.Before(f.First) {
		f.First = since
	}
	if !at.Before(f.Last) {
		f.Last = at
		fill(f)
	}
	for _, id := range ids {
		if slices.Contains(f.Events, id) {
			continue
		}
		if len(f.Events) == maxEvents {
			f.Events = slices.Delete(f.Events, maxFirst, maxFirst+1)
		}
		f.Events = append(f.Events, id)
	}
	if over := f.Last.Add(f.Quiet); l.next.IsZero() || over.Before(l.next) {
		l.next = over
	}
	return Change{what, f.copied()}
}

func (f *Finding) copied() Finding {
	c := *f
	c.Events = slices.Clone(f.Events)
	return c
}

// drop forgets the Findings that were quiet for longest: a tenth of all, so that a flood of
// new ones does not look for the oldest each time.
func (l *ledger) drop() {
	all := slices.SortedFunc(maps.Values(l.open), func(a, b *Finding) int {
		return cmp.Or(a.Last.Compare(b.Last), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	for _, f := range all[:len(all)/10+1] {
		delete(l.open, f.Fingerprint)
		l.evicted++
	}
}

// advance tells what is over, the oldest first.
func (l *ledger) advance(now time.Time) (changes []Change) {
	if l.next.IsZero() || now.Before(l.next) {
		return nil
	}
	l.next = time.Time{}
	for fingerprint, f := range l.open {
		over := f.Last.Add(f.Quiet)
		if !now.Before(over) {
			delete(l.open, fingerprint)
			changes = append(changes, Change{Over, *f})
		} else if l.next.IsZero() || over.Before(l.next) {
			l.next = over
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return compareFindings(&a.Finding, &b.Finding) })
	return changes
}

// compareFindings orders them by when they began.
func compareFindings(a, b *Finding) int {
	return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.Fingerprint, b.Fingerprint))
}
