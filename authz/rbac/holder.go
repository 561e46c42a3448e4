package rbac

import (
	"iter"
	"slices"

	"k8s.io/utils/clock"
)

// subject is all that one user or group holds. Like a node of a trie, it and its
// holders are changed in place by the batch that made them and copied by any other.
type subject struct {
	batch uint64
	// few are the grants in every scope, where they are at most fewGrants: they lie
	// side by side. Where there are more, all of them are in many, by namespace,
	// those of the cluster under the empty one.
	few  []grant
	many trie[*holder]
}

const fewGrants = 6

// holder is what a subject holds in one scope.
type holder struct {
	batch  uint64
	grants []grant // one a role, in no order
}

// in goes through what the subject holds in a namespace, or with an empty one in
// the cluster.
func (s *subject) in(namespace string) iter.Seq[*grant] {
	return func(yield func(*grant) bool) {
		for i := range s.few {
			if s.few[i].scope == namespace && !yield(&s.few[i]) {
				return
			}
		}
		if h := s.many.get(hash(namespace), namespace); h != nil {
			for i := range (*h).grants {
				if !yield(&(*h).grants[i]) {
					return
				}
			}
		}
	}
}

// scopes goes through the namespaces that the subject holds anything in, some of
// them several times; an empty one is the cluster.
func (s *subject) scopes(yield func(string) bool) {
	for i := range s.few {
		if !yield(s.few[i].scope) {
			return
		}
	}
	for namespace := range s.many.all() {
		if !yield(namespace) {
			return
		}
	}
}

// grant is a role that a subject holds in a scope, with the bindings that give it:
// one, as a rule.
type grant struct {
	role  *role
	first held // one without an end, if there is any
	rest  trie[held]
	// scope is the namespace, which every binding here has: as itself, to be near.
	scope string
}

// held is a binding, and which of its subjects is meant: the first that is.
type held struct {
	*binding
	subject int
}

// inForce returns a binding of the grant that has not ended.
func (g *grant) inForce(now clock.PassiveClock) (held, bool) {
	if g.first.expires == never {
		return g.first, true
	}
	at := now.Now().Unix()
	if g.first.counts(at) {
		return g.first, true
	}
	for _, h := range g.rest.all() {
		if h.counts(at) {
			return *h, true
		}
	}
	return held{}, false
}

// each goes through the bindings of the grant.
func (g *grant) each(yield func(held) bool) {
	if !yield(g.first) {
		return
	}
	for _, h := range g.rest.all() {
		if !yield(*h) {
			return
		}
	}
}

// own returns s, or a copy that this batch may change.
func (s *subject) own(batch uint64) *subject {
	if s == nil {
		return &subject{batch: batch}
	}
	if s.batch == batch {
		return s
	}
	return &subject{batch: batch, few: slices.Clone(s.few), many: s.many}
}

// of returns the holder of a namespace, which the batch may change.
func (s *subject) of(batch uint64, namespace string) *holder {
	found := s.many.get(hash(namespace), namespace)
	switch {
	case found == nil:
		h := &holder{batch: batch}
		s.many.put(batch, namespace, h)
		return h
	case (*found).batch == batch:
		return *found
	}
	h := &holder{batch: batch, grants: slices.Clone((*found).grants)}
	s.many.put(batch, namespace, h)
	return h
}

func (s *subject) empty() bool { return len(s.few) == 0 && s.many.len == 0 }

// add puts a binding into a subject this batch owns.
func (s *subject) add(batch uint64, b held) {
	if s.many.len == 0 {
		if s.few = enter(s.few, batch, b); len(s.few) <= fewGrants {
			return
		}
		for _, g := range s.few {
			h := s.of(batch, g.scope)
			h.grants = append(h.grants, g)
		}
		s.few = nil
		return
	}
	h := s.of(batch, b.binding.namespace)
	h.grants = enter(h.grants, batch, b)
}

// drop takes a binding out of a subject this batch owns.
func (s *subject) drop(batch uint64, b *binding) {
	if s.many.len == 0 {
		s.few = leave(s.few, batch, b)
		return
	}
	h := s.of(batch, b.namespace)
	if h.grants = leave(h.grants, batch, b); len(h.grants) == 0 {
		s.many.delete(batch, b.namespace)
	}
}

func find(grants []grant, b *binding) int {
	return slices.IndexFunc(grants, func(g grant) bool { return g.role == b.role && g.scope == b.namespace })
}

// enter adds a binding to grants that the batch owns.
func enter(grants []grant, batch uint64, b held) []grant {
	at := find(grants, b.binding)
	if at < 0 {
		return append(grants, grant{role: b.role, first: b, scope: b.binding.namespace})
	}
	g := &grants[at]
	if g.first.binding == b.binding || g.rest.get(hash(b.name), b.name) != nil {
		return grants // a subject that is named twice
	}
	if g.first.expires != never && b.expires == never {
		g.first, b = b, g.first
	}
	g.rest.put(batch, b.name, b)
	return grants
}

// leave takes a binding out of grants that the batch owns.
func leave(grants []grant, batch uint64, b *binding) []grant {
	at := find(grants, b)
	if at < 0 {
		return grants
	}
	g := &grants[at]
	if g.first.binding != b {
		g.rest.delete(batch, b.name)
		return grants
	}
	if g.rest.len == 0 {
		return slices.Delete(grants, at, at+1)
	}
	for _, next := range g.rest.all() {
		g.first = *next
		if next.expires == never {
			break
		}
	}
	g.rest.delete(batch, g.first.name)
	return grants
}

// change adds a binding to what one of its subjects holds, or drops it.
func (s *snapshot) change(batch uint64, who member, b held, add bool) {
	of := &s.users
	if who.group {
		of = &s.groups
	}
	var have *subject
	if found := of.get(hash(who.name), who.name); found != nil {
		have = *found
	}
	owned := have.own(batch)
	if add {
		owned.add(batch, b)
	} else {
		owned.drop(batch, b.binding)
	}
	switch {
	case owned.empty():
		of.delete(batch, who.name)
	case owned != have:
		of.put(batch, who.name, owned)
	}
}
