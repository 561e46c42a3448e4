package catalog

import (
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Builder gathers what the catalog keeps of one segment.
type Builder struct {
	names  int
	counts map[countKey]int64
	groups map[string]*group
	key    []byte

	users, groupNames, verbs, namespaces, resources, codes, decisions, ips, agents, stages, sources gathering
	lastResource                                                                                    [3]string
	lastCode                                                                                        int32
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
	request audit.Request // without name, times and count
	names   map[string]*named
	omitted *named
}

// named is how often a request was made, by the hour.
type named struct {
	name, path string
	hours      []Hour
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
	Request audit.Request // its times and count are those of Hours
	Hours   []Hour
	key     string
	group   int // how many bytes of key are those of its group
}

// NewBuilder makes one that tells so many names apart.
func NewBuilder(names int) *Builder {
	return &Builder{names: max(names, 1), counts: map[countKey]int64{}, groups: map[string]*group{}}
}

// Add adds an event. It is not kept.
func (b *Builder) Add(e *audit.Event) {
	b.users.add(e.User)
	if e.AsUser != "" {
		b.users.add(e.AsUser)
	}
	for _, g := range e.Groups {
		b.groupNames.add(g)
	}
	for _, g := range e.AsGroups {
		b.groupNames.add(g)
	}
	b.verbs.add(e.Verb)
	b.namespaces.add(e.Namespace)
	b.stages.add(e.Stage)
	b.sources.add(e.Source)
	b.agents.add(e.UserAgent)
	for _, ip := range e.SourceIPs {
		b.ips.add(ip)
	}
	if r := [3]string{e.APIGroup, e.Resource, e.Subresource}; r != b.lastResource || b.resources.values == nil {
		b.resources.add(e.APIGroup + "/" + e.Resource + "/" + e.Subresource)
		b.lastResource = r
	}
	if e.Code != b.lastCode || b.codes.values == nil {
		b.codes.add(strconv.Itoa(int(e.Code)))
		b.lastCode = e.Code
	}
	decision := e.Decision()
	b.decisions.add(decision)
	b.counts[countKey{
		hour: hourOf(e.Time), verb: e.Verb, group: e.APIGroup, resource: e.Resource, sub: e.Subresource,
		namespace: e.Namespace, class: max(e.Code, 0) / 100, decision: decision,
	}]++
	if r, ok := audit.RequestOf(e); ok {
		b.add(&r)
	}
}

func hourOf(t time.Time) int64 {
	s := t.Unix()
	if h := s / 3600; s < 0 && s%3600 != 0 {
		return h - 1
	} else {
		return h
	}
}

func (b *Builder) add(r *audit.Request) {
	b.key = appendGroupKey(b.key[:0], r)
	g := b.groups[string(b.key)]
	if g == nil {
		g = &group{request: *r, names: map[string]*named{}}
		g.request.Name, g.request.Path, g.request.Reason = "", "", ""
		b.groups[string(b.key)] = g
	}
	name := r.Name
	if r.Path != "" {
		name = r.Path
	}
	n := g.names[name]
	if n == nil {
		n = &named{name: r.Name, path: r.Path}
		g.names[name] = n
	}
	n.count(r)
	if len(g.names) > 4*b.names+16 {
		g.prune(b.names)
	}
}

// count adds a request to its hour. Requests come in the order of time, or nearly.
func (n *named) count(r *audit.Request) {
	hour := hourOf(r.Last)
	for i := len(n.hours) - 1; i >= 0; i-- {
		if h := &n.hours[i]; hourOf(h.First) == hour {
			h.merge(Hour{r.First, r.Last, r.Count, r.Reason})
			return
		}
	}
	n.hours = append(n.hours, Hour{r.First, r.Last, r.Count, r.Reason})
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
	for i, name := range slices.Sorted(maps.Keys(g.names)) {
		if i < keep {
			continue
		}
		if g.omitted == nil {
			g.omitted = &named{}
		}
		for _, h := range g.names[name].hours {
			g.omitted.count(&audit.Request{First: h.First, Last: h.Last, Count: h.Count, Reason: h.Reason})
		}
		delete(g.names, name)
	}
}

// Finish is what was gathered. The Builder is not used again.
func (b *Builder) Finish() *Summary {
	s := &Summary{Facts: Facts{
		Users: b.users.set(), Groups: b.groupNames.set(), Verbs: b.verbs.set(), Namespaces: b.namespaces.set(),
		Resources: b.resources.set(), Codes: b.codes.set(), Decisions: b.decisions.set(), IPs: b.ips.set(),
		UserAgents: b.agents.set(), Stages: b.stages.set(), Sources: b.sources.set(),
	}}
	for k, n := range b.counts {
		s.Counts = append(s.Counts, Count{
			Hour: time.Unix(k.hour*3600, 0).UTC(), Verb: k.verb, Resource: resourceText(k.group, k.resource, k.sub),
			Namespace: k.namespace, Class: int(k.class), Decision: k.decision, Count: n,
		})
	}
	for key, g := range b.groups {
		g.prune(b.names)
		for _, n := range g.names {
			e := Entry{Request: g.request, Hours: n.hours, group: len(key)}
			e.Request.Name, e.Request.Path = n.name, n.path
			e.key = entryKey(key, &e.Request)
			s.Requests = append(s.Requests, e)
		}
		if g.omitted != nil {
			e := Entry{Request: g.request, Hours: g.omitted.hours, group: len(key)}
			e.Request.NameOmitted = true
			e.key = entryKey(key, &e.Request)
			s.Requests = append(s.Requests, e)
		}
	}
	for i := range s.Requests {
		slices.SortFunc(s.Requests[i].Hours, func(a, b Hour) int { return a.First.Compare(b.First) })
	}
	slices.SortFunc(s.Requests, func(a, b Entry) int { return strings.Compare(a.key, b.key) })
	return s
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

// appendGroupKey makes what requests of one group have in common.
func appendGroupKey(to []byte, r *audit.Request) []byte {
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
		for _, k := range slices.Sorted(maps.Keys(r.Extra)) {
			to = appendTexts(appendText(to, k), r.Extra[k])
		}
	}
	to = appendText(to, r.Verb)
	to = appendText(to, r.APIGroup)
	to = appendText(to, r.APIVersion)
	to = appendText(to, r.Resource)
	to = appendText(to, r.Subresource)
	to = appendText(to, r.Namespace)
	return appendText(to, r.Decision)
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

// entryKey orders the entries of a group by name, with what was omitted at the end.
func entryKey(group string, r *audit.Request) string {
	switch {
	case r.NameOmitted:
		return group + "\x02"
	case r.Path != "":
		return group + "\x01" + r.Path
	}
	return group + "\x01" + r.Name
}
