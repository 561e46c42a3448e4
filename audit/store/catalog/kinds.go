package catalog

import (
	"strconv"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/internal/lexicon"
)

// kinds counts the events of one lexicon by kind, and those of a kind by name.
type kinds struct {
	by    map[kind]uint32
	all   []counted
	cells map[cellKey]uint32 // of kinds that have more than a few names
	named []cell             // by the numbers of cells, from 1
	// decisions are annotations by the number of the decision, and 1 more.
	decisions map[uint32]map[string]string
}

// kind is all that events have in common that are counted together, in numbers.
type kind struct {
	hour                                               int64 // since 1970
	stage, verb, group, version, resource, sub         uint32
	namespace, code, decision                          uint32
	user, asUser, groups, asGroups, extra, asExtra, un uint32
}

// counted is how many events there are of a kind.
type counted struct {
	kind
	count       int64
	request     bool   // they stand for a distinct request
	first, last uint32 // cells, and how many
	names       int
}

// fewNames is how many names of a kind are looked through one by one. Most kinds have one.
const fewNames = 4

// cellKey is a name of a kind: that of an object, or a URI.
type cellKey struct{ kind, name uint32 }

// cell is how often a name comes in an hour.
type cell struct {
	name        uint32
	reason      uint32 // of the last event, and 1 more
	next        uint32 // cell of the kind
	first, last time.Time
	count       int64
}

func newKinds() kinds {
	return kinds{by: map[kind]uint32{}, cells: map[cellKey]uint32{}, named: make([]cell, 1), decisions: map[uint32]map[string]string{}}
}

func (k *kinds) add(words *lexicon.Lexicon, r *lexicon.Row, at time.Time, requests bool) {
	t := &r.Texts
	key := kind{
		hour: hourOf(at), stage: t[lexicon.Stage], verb: t[lexicon.Verb], group: t[lexicon.APIGroup], version: t[lexicon.APIVersion],
		resource: t[lexicon.Resource], sub: t[lexicon.Subresource], namespace: t[lexicon.Namespace], code: r.Code, decision: r.Decision,
		user: t[lexicon.User], asUser: t[lexicon.AsUser], groups: r.Groups, asGroups: r.AsGroups, extra: r.Extra, asExtra: r.AsExtra, un: r.Unknown,
	}
	n, ok := k.by[key]
	if !ok {
		n = uint32(len(k.all))
		k.by[key] = n
		k.all = append(k.all, counted{kind: key})
		if requests { // who asked, and how far it came, say whether it is one
			_, k.all[n].request = audit.RequestOf(&audit.Event{Stage: words.Texts(lexicon.Stage)[key.stage], User: words.Texts(lexicon.User)[key.user]})
		}
	}
	of := &k.all[n]
	of.count++
	if !of.request {
		return
	}
	name := t[lexicon.Name]
	if words.Texts(lexicon.Resource)[key.resource] == "" {
		name = t[lexicon.URI]
	}
	i := k.cell(n, name)
	if i == 0 {
		i = k.newCell(n, cell{name: name, first: at, last: at, reason: r.Reason})
	}
	c := &k.named[i]
	c.count++
	if at.Before(c.first) {
		c.first = at
	}
	if !at.Before(c.last) {
		c.last, c.reason = at, r.Reason
	}
}

// cell is that of a name of a kind; 0 where there is none yet.
func (k *kinds) cell(of, name uint32) uint32 {
	if k.all[of].names > fewNames {
		return k.cells[cellKey{of, name}]
	}
	i := k.all[of].first
	for i != 0 && k.named[i].name != name {
		i = k.named[i].next
	}
	return i
}

func (k *kinds) newCell(of uint32, c cell) uint32 {
	i, kind := uint32(len(k.named)), &k.all[of]
	k.named = append(k.named, c)
	if kind.names++; kind.names == 1 {
		kind.first = i
	} else {
		k.named[kind.last].next = i
	}
	kind.last = i
	switch {
	case kind.names == fewNames+1:
		for at := kind.first; at != 0; at = k.named[at].next {
			k.cells[cellKey{of, k.named[at].name}] = at
		}
	case kind.names > fewNames:
		k.cells[cellKey{of, c.name}] = i
	}
	return i
}

// event is one of a kind, without what others of it have not.
func (k *kinds) event(words *lexicon.Lexicon, of *kind) audit.Event {
	text := func(f lexicon.Field, n uint32) string { return words.Texts(f)[n] }
	return audit.Event{
		Stage: text(lexicon.Stage, of.stage), Verb: text(lexicon.Verb, of.verb), APIGroup: text(lexicon.APIGroup, of.group),
		APIVersion: text(lexicon.APIVersion, of.version), Resource: text(lexicon.Resource, of.resource), Subresource: text(lexicon.Subresource, of.sub),
		Namespace: text(lexicon.Namespace, of.namespace), Code: words.Codes()[of.code], Annotations: k.decided(words, of.decision),
		User: text(lexicon.User, of.user), Groups: words.Groups(of.groups).Texts, Extra: words.Extra(of.extra).Texts,
		AsUser: text(lexicon.AsUser, of.asUser), AsGroups: words.AsGroups(of.asGroups).Texts, AsExtra: words.AsExtra(of.asExtra).Texts,
		Unknown: words.Unknown(of.un).Texts,
	}
}

// decided are the annotations of a decision.
func (k *kinds) decided(words *lexicon.Lexicon, decision uint32) map[string]string {
	if decision == 0 {
		return nil
	}
	if k.decisions[decision] == nil {
		k.decisions[decision] = map[string]string{audit.AnnotationDecision: words.Texts(lexicon.Decision)[decision-1]}
	}
	return k.decisions[decision]
}

// learned are the facts that are all texts of a field.
var learned = map[lexicon.Field]Fact{
	lexicon.User: Users, lexicon.AsUser: Users, lexicon.GroupItems: Groups, lexicon.AsGroupItems: Groups, lexicon.Verb: Verbs,
	lexicon.Namespace: Namespaces, lexicon.Stage: Stages, lexicon.Source: Sources, lexicon.UserAgent: UserAgents, lexicon.IPItems: IPs,
}

// fold adds what was counted by numbers to what is known by texts.
func (b *Builder) fold() {
	if b.words == nil {
		return
	}
	for field, fact := range learned {
		for _, s := range b.words.Texts(field) {
			if s != "" || field != lexicon.AsUser { // nobody was
				b.facts[fact].add(s)
			}
		}
	}
	for _, code := range b.words.Codes() {
		b.facts[Codes].add(strconv.Itoa(int(code)))
	}
	for i := range b.kinds.all {
		k := &b.kinds.all[i]
		e := b.kinds.event(b.words, &k.kind)
		b.facts[Resources].add(ResourceFact(e.APIGroup, e.Resource, e.Subresource))
		b.facts[Decisions].add(e.Decision())
		b.counts[countKey{
			hour: k.hour, verb: e.Verb, group: e.APIGroup, resource: e.Resource, sub: e.Subresource,
			namespace: e.Namespace, class: max(e.Code, 0) / 100, decision: e.Decision(),
		}] += k.count
		if k.request {
			b.foldRequests(&e, k)
		}
	}
	b.words, b.kinds = nil, kinds{}
}

// foldRequests adds the requests of a kind.
func (b *Builder) foldRequests(e *audit.Event, k *counted) {
	r, _ := audit.RequestOf(e)
	g := b.group(&r)
	for at := k.first; at != 0; at = b.kinds.named[at].next {
		c := &b.kinds.named[at]
		name, reason := "", ""
		if c.reason > 0 {
			reason = b.words.Texts(lexicon.Reason)[c.reason-1]
		}
		if e.Resource != "" {
			name = b.words.Texts(lexicon.Name)[c.name]
		} else {
			e.URI = b.words.Texts(lexicon.URI)[c.name]
			other, _ := audit.RequestOf(e)
			name = other.Path
		}
		g.named(name).count(Hour{c.first, c.last, c.count * r.Count, reason})
		if len(g.names) > 4*b.names+16 {
			g.prune(b.names)
		}
	}
}
