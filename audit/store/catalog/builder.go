package catalog

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/internal/lexicon"
)

// Builder gathers what the catalog keeps of one segment. Events are counted by numbers
// (package lexicon), and what they stand for is looked at when their lexicon ends.
type Builder struct {
	names  int
	counts map[countKey]int64
	groups map[string]*group
	key    []byte
	facts  [facts]gathering

	// words are what the numbers stand for, of the Builder itself where it is given events
	// alone (own, which has so many).
	words *lexicon.Lexicon
	own   *lexicon.Lexicon
	added int
	kinds kinds
}

// countKey is what one roll-up counts.
type countKey struct {
	hour                      int64 // since 1970
	verb, resource, namespace string
	class                     int32 // of the status: 2 for 2xx; 0 for none
	decision, group, sub      string
}

// group is requests that differ in their name alone.
type group struct {
	key     string
	subject int           // how much of the key is that of the subject
	request audit.Request // without name, times and count
	first   *named        // most groups have one name
	names   map[string]*named
	omitted *named
}

// named is how often a request was made, by the hour.
type named struct {
	name  string // or path
	hours []Hour
}

// Hour is how often a request was made in an hour.
type Hour struct {
	First, Last time.Time
	Count       int64
	Reason      string
}

// Summary is what a Builder has gathered.
type Summary struct {
	Facts    Facts
	Counts   []Count
	Requests []Entry // by key
}

// Count is a roll-up: how many events of a kind there were in an hour.
type Count struct {
	Hour time.Time
	// Resource is RESOURCE.GROUP/SUBRESOURCE, or empty.
	Verb, Resource, Namespace string
	// Class is the first digit of the status; 0 where there is none.
	Class    int
	Decision string
	Count    int64
}

// Entry is a distinct request, by the hour.
type Entry struct {
	Hours   []Hour
	request *audit.Request // that of the group, without a name, times and a count
	group   string         // key of the group, which begins with that of the subject
	subject int            // and so long is that
	name    string         // or path
	omitted bool           // it stands for the names that are not told apart
}

// compare is the order of entries: by group, then by name, with what was omitted behind.
func compare(a, b *Entry) int {
	if c := strings.Compare(a.group, b.group); c != 0 {
		return c
	}
	if a.omitted != b.omitted {
		if b.omitted {
			return -1
		}
		return 1
	}
	return strings.Compare(a.name, b.name)
}

// Request is the entry with its times and its count.
func (e *Entry) Request() *audit.Request {
	r := *e.request
	r.NameOmitted = e.omitted
	if r.Resource == "" {
		r.Path = e.name
	} else {
		r.Name = e.name
	}
	if len(e.Hours) > 0 {
		sum := e.Hours[0]
		for _, h := range e.Hours[1:] {
			sum.merge(h)
		}
		r.First, r.Last, r.Count, r.Reason = sum.First, sum.Last, sum.Count, sum.Reason
	}
	return &r
}

// NewBuilder makes one that tells so many names apart. With 0, it gathers no requests:
// those of a segment that replaces others are merged from theirs.
func NewBuilder(names int) *Builder {
	return &Builder{names: names, counts: map[countKey]int64{}, groups: map[string]*group{}}
}

// mostOwn is how many events share a lexicon of the Builder itself.
const mostOwn = 1 << 16

// Add adds an event. It is not kept; its lists and maps may be, and do not change.
func (b *Builder) Add(e *audit.Event) {
	if b.own == nil || b.added == mostOwn {
		b.own, b.added = lexicon.New(), 0
	}
	b.added++
	b.AddRow(b.own, b.own.Row(e), e.Time)
}

// AddRow adds an event in numbers. When other words come, those before are not asked any
// more.
func (b *Builder) AddRow(words *lexicon.Lexicon, row *lexicon.Row, at time.Time) {
	if b.words != words {
		b.fold()
		b.words, b.kinds = words, newKinds()
	}
	b.kinds.add(words, row, at, b.names > 0)
}

func hourOf(t time.Time) int64 {
	s := t.Unix()
	if h := s / 3600; s < 0 && s%3600 != 0 {
		return h - 1
	} else {
		return h
	}
}

// group is that of a request.
func (b *Builder) group(r *audit.Request) *group {
	var subject int
	b.key, subject = appendGroupKey(b.key[:0], r)
	g := b.groups[string(b.key)]
	if g == nil {
		g = &group{key: string(b.key), subject: subject, request: *r}
		g.request.Name, g.request.Path, g.request.Reason = "", "", ""
		b.groups[g.key] = g
	}
	return g
}

func (g *group) named(name string) *named {
	switch {
	case g.first != nil && g.first.name == name:
		return g.first
	case g.first == nil && g.names == nil:
		g.first = &named{name: name}
		return g.first
	case g.names == nil:
		g.names = map[string]*named{g.first.name: g.first}
		g.first = nil
	}
	n := g.names[name]
	if n == nil {
		n = &named{name: name}
		g.names[name] = n
	}
	return n
}

// all are the names there are, in order.
func (g *group) all() []*named {
	if g.first != nil {
		return []*named{g.first}
	}
	return slices.SortedFunc(maps.Values(g.names), func(a, b *named) int { return strings.Compare(a.name, b.name) })
}

// count adds to an hour. Requests come in the order of time, or nearly.
func (n *named) count(h Hour) {
	hour := hourOf(h.First)
	for i := len(n.hours) - 1; i >= 0; i-- {
		if hourOf(n.hours[i].First) == hour {
			n.hours[i].merge(h)
			return
		}
	}
	n.hours = append(n.hours, h)
}

func (h *Hour) merge(other Hour) {
	if other.First.Before(h.First) {
		h.First = other.First
	}
	if !other.Last.Before(h.Last) {
		h.Last, h.Reason = other.Last, other.Reason
	}
	h.Count += other.Count
}

// prune keeps the first names, and counts the others together: one that is not among the
// first now never will be.
func (g *group) prune(keep int) {
	all := g.all()
	for _, n := range all[min(keep, len(all)):] {
		if g.omitted == nil {
			g.omitted = &named{}
		}
		for _, h := range n.hours {
			g.omitted.count(h)
		}
		delete(g.names, n.name)
	}
}

// Finish is what was gathered. The Builder is not used again.
func (b *Builder) Finish() *Summary {
	b.fold()
	s := &Summary{}
	for i, set := range s.Facts.sets() {
		*set = b.facts[i].set()
	}
	for k, n := range b.counts {
		s.Counts = append(s.Counts, Count{
			Hour: time.Unix(k.hour*3600, 0).UTC(), Verb: k.verb, Resource: resourceText(k.group, k.resource, k.sub),
			Namespace: k.namespace, Class: int(k.class), Decision: k.decision, Count: n,
		})
	}
	s.Requests = b.entries()
	return s
}

func (b *Builder) entries() (entries []Entry) {
	groups := slices.SortedFunc(maps.Values(b.groups), func(x, y *group) int { return strings.Compare(x.key, y.key) })
	b.groups = nil
	for _, g := range groups {
		g.prune(b.names)
		for _, n := range g.all() {
			entries = append(entries, g.entry(n, false))
		}
		if g.omitted != nil {
			entries = append(entries, g.entry(g.omitted, true))
		}
	}
	return entries
}

func (g *group) entry(n *named, omitted bool) Entry {
	slices.SortFunc(n.hours, func(a, b Hour) int { return a.First.Compare(b.First) })
	return Entry{Hours: n.hours, request: &g.request, group: g.key, subject: g.subject, name: n.name, omitted: omitted}
}

func resourceText(group, resource, sub string) string {
	if group != "" {
		resource += "." + group
	}
	if sub != "" {
		resource += "/" + sub
	}
	return resource
}

// appendGroupKey makes what requests of one group have in common, and tells how much of it
// is about who made them.
func appendGroupKey(to []byte, r *audit.Request) (key []byte, subject int) {
	to = appendText(to, r.User)
	to = appendText(to, r.Impersonator)
	unknown := byte(0)
	if r.GroupsUnknown {
		unknown = 1
	}
	to = append(to, unknown)
	to = appendTexts(to, r.Groups)
	to = binary.AppendUvarint(to, uint64(len(r.Extra)))
	if len(r.Extra) > 0 {
		var room [8]string
		keys := room[:0]
		for k := range r.Extra {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			to = appendTexts(appendText(to, k), r.Extra[k])
		}
	}
	subject = len(to)
	to = appendText(to, r.Verb)
	to = appendText(to, r.APIGroup)
	to = appendText(to, r.APIVersion)
	to = appendText(to, r.Resource)
	to = appendText(to, r.Subresource)
	to = appendText(to, r.Namespace)
	return appendText(to, r.Decision), subject
}

func appendText(to []byte, s string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(s))), s...)
}

func appendTexts(to []byte, all []string) []byte {
	to = binary.AppendUvarint(to, uint64(len(all)))
	for _, s := range all {
		to = appendText(to, s)
	}
	return to
}
