package replay

import (
	"context"
	"errors"
	"hash/maphash"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Reduced is an audit.Reader that keeps of events the distinct requests alone, so that
// files of any size fit into bounded memory. Its zero value is ready, and it is safe for
// concurrent use.
type Reduced struct {
	// From and To bound what is taken in; zero is no bound.
	From, To time.Time
	// MaxRequests is how many distinct requests are kept with their names. Beyond it,
	// requests are kept without their names, up to as many again; what is beyond that is
	// a gap. Default: 1,000,000.
	MaxRequests int

	mu sync.Mutex
	// kept are the requests by hash; those with the same hash are linked.
	kept map[uint64]*entry
	size int
	// seen and before are the hashes of event keys: the newest few million.
	seen, before   map[uint64]struct{}
	oldest, newest time.Time
	// left are the requests there was no room for.
	left audit.Gap
	gaps []audit.Gap
	// Read and Repeated count the events that were taken in, and those of them that
	// were there already.
	read, repeated int64
}

type entry struct {
	audit.Request
	next *entry
}

const (
	defaultRequests = 1_000_000
	// mostSeen is how many keys one generation of seen has: what is delivered twice
	// comes in the same files or in files side by side.
	mostSeen = 4_000_000
)

var seed = maphash.MakeSeed()

// Add takes in events. What came before with the same Key counts once.
func (d *Reduced) Add(events ...*audit.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept == nil {
		d.kept, d.seen = map[uint64]*entry{}, map[uint64]struct{}{}
	}
	for _, e := range events {
		d.add(e)
	}
}

func (d *Reduced) add(e *audit.Event) {
	if !d.From.IsZero() && e.Time.Before(d.From) || !d.To.IsZero() && !e.Time.Before(d.To) {
		return
	}
	d.read++
	key := maphash.Comparable(seed, e.Identity())
	_, again := d.seen[key]
	if !again {
		_, again = d.before[key]
	}
	if again {
		d.repeated++
		return
	}
	if len(d.seen) >= mostSeen {
		d.seen, d.before = map[uint64]struct{}{}, d.seen
	}
	d.seen[key] = struct{}{}
	if d.oldest.IsZero() || e.Time.Before(d.oldest) {
		d.oldest = e.Time
	}
	if e.Time.After(d.newest) {
		d.newest = e.Time
	}
	r, ok := audit.RequestOf(e)
	if !ok {
		return
	}
	most := d.MaxRequests
	if most <= 0 {
		most = defaultRequests
	}
	if d.merge(&r) {
		return
	}
	if d.size >= most {
		if r.Resource != "" && r.Name != "" {
			r.Name, r.NameOmitted = "", true
		}
		if d.merge(&r) {
			return
		}
		if !r.NameOmitted || d.size >= 2*most {
			d.leave(&r)
			return
		}
	}
	d.keep(&r)
}

// merge adds a request to the one that is the same, and reports whether there is one.
func (d *Reduced) merge(r *audit.Request) bool {
	for have := d.kept[hashOf(r)]; have != nil; have = have.next {
		if !sameRequest(&have.Request, r) {
			continue
		}
		if r.First.Before(have.First) {
			have.First = r.First
		}
		if !r.Last.Before(have.Last) {
			have.Last, have.Reason = r.Last, strings.Clone(r.Reason)
		}
		have.Count += r.Count
		return true
	}
	return false
}

// keep enters a request, with texts of its own: those of the event may be parts of a
// whole file.
func (d *Reduced) keep(r *audit.Request) {
	for _, text := range []*string{&r.User, &r.Impersonator, &r.Verb, &r.APIGroup, &r.APIVersion, &r.Resource, &r.Subresource, &r.Namespace, &r.Name, &r.Path, &r.Decision, &r.Reason} {
		*text = strings.Clone(*text)
	}
	cloneAll := func(list []string) []string {
		list = slices.Clone(list)
		for i := range list {
			list[i] = strings.Clone(list[i])
		}
		return list
	}
	r.Groups = cloneAll(r.Groups)
	if len(r.Extra) > 0 {
		extra := make(map[string][]string, len(r.Extra))
		for key, values := range r.Extra {
			extra[strings.Clone(key)] = cloneAll(values)
		}
		r.Extra = extra
	}
	hash := hashOf(r)
	d.kept[hash] = &entry{Request: *r, next: d.kept[hash]}
	d.size++
}

func (d *Reduced) leave(r *audit.Request) {
	if d.left.Count == 0 || r.First.Before(d.left.Start) {
		d.left.Start = r.First
	}
	if r.Last.After(d.left.End) || d.left.Count == 0 {
		d.left.End = r.Last
	}
	d.left.Count += times(r)
	d.left.Reason = GapBound
}

// GapBound is the reason of a gap that is none of the log: there were more distinct
// requests than are kept.
const GapBound = "more distinct requests than are kept"

// hashOf is the same for requests that are. Maps are left out: they are compared.
func hashOf(r *audit.Request) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, text := range [...]string{r.User, r.Impersonator, r.Verb, r.APIGroup, r.Resource, r.Subresource, r.Namespace, r.Name, r.Path, r.Decision} {
		_, _ = h.WriteString(text)
		_ = h.WriteByte(0xff)
	}
	for _, group := range r.Groups {
		_, _ = h.WriteString(group)
		_ = h.WriteByte(0xfe)
	}
	return h.Sum64()
}

func sameRequest(a, b *audit.Request) bool {
	return a.User == b.User && a.Impersonator == b.Impersonator && a.Verb == b.Verb && a.APIGroup == b.APIGroup && a.APIVersion == b.APIVersion &&
		a.Resource == b.Resource && a.Subresource == b.Subresource && a.Namespace == b.Namespace && a.Name == b.Name && a.Path == b.Path &&
		a.Decision == b.Decision && a.NameOmitted == b.NameOmitted && a.GroupsUnknown == b.GroupsUnknown &&
		slices.Equal(a.Groups, b.Groups) && maps.EqualFunc(a.Extra, b.Extra, slices.Equal)
}

// AddGap notes that events are missing.
func (d *Reduced) AddGap(g audit.Gap) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gaps = append(d.gaps, g)
}

// Counts are how many events were taken in, and how many of them were there already.
func (d *Reduced) Counts() (read, repeated int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.read, d.repeated
}

// Requests implements audit.Reader. Events are not to be added meanwhile.
func (d *Reduced) Requests(ctx context.Context, from, to time.Time) iter.Seq2[*audit.Request, error] {
	return func(yield func(*audit.Request, error) bool) {
		n := 0
		for _, e := range d.kept {
			for ; e != nil; e = e.next {
				if n++; n%1024 == 0 && ctx.Err() != nil {
					yield(nil, ctx.Err())
					return
				}
				if !from.IsZero() && e.Last.Before(from) || !to.IsZero() && !e.First.Before(to) {
					continue
				}
				if !yield(&e.Request, nil) {
					return
				}
			}
		}
	}
}

// Gaps implements audit.Reader.
func (d *Reduced) Gaps(_ context.Context, from, to time.Time) (found []audit.Gap, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.gaps
	if d.left.Count > 0 {
		all = append(slices.Clone(all), d.left)
	}
	for _, g := range all {
		if g.Overlaps(from, to) {
			found = append(found, g)
		}
	}
	slices.SortStableFunc(found, func(a, b audit.Gap) int { return a.Start.Compare(b.Start) })
	return found, nil
}

// Span implements audit.Reader.
func (d *Reduced) Span(context.Context) (oldest, newest time.Time, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.oldest, d.newest, nil
}

var errReduced = errors.New("the events themselves are not kept")

// Scan implements audit.Reader: it is an error, for the events are not kept.
func (d *Reduced) Scan(context.Context, audit.Scan) iter.Seq2[*audit.Event, error] {
	return func(yield func(*audit.Event, error) bool) { yield(nil, errReduced) }
}
