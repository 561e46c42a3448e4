package rbac

import "slices"

// scope is what everybody holds in a namespace, or in the cluster.
type scope struct{ users, groups trie[*holder] }

// holder is what one subject holds in one scope. As a node of a trie, it is changed
// in place by the batch that made it and copied by any other.
type holder struct {
	batch  uint64
	grants []grant // one a role, in no order
}

// grant is a role that a subject holds, with the bindings that give it: one, as a
// rule.
type grant struct {
	role  *role
	first held // one without an end, if there is any
	rest  trie[held]
}

// held is a binding, and which of its subjects is meant: the first that is.
type held struct {
	*binding
	subject int
}

// inForce returns a binding of the grant that has not ended.
func (g *grant) inForce(now func() int64) (held, bool) {
	if g.first.expires == never {
		return g.first, true
	}
	at := now()
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

func (h *holder) own(batch uint64) *holder {
	if h == nil {
		return &holder{batch: batch}
	}
	if h.batch == batch {
		return h
	}
	return &holder{batch: batch, grants: slices.Clone(h.grants)}
}

func (h *holder) find(r *role) int {
	return slices.IndexFunc(h.grants, func(g grant) bool { return g.role == r })
}

// add puts a binding into a holder this batch owns.
func (h *holder) add(batch uint64, n held) {
	at := h.find(n.role)
	if at < 0 {
		h.grants = append(h.grants, grant{role: n.role, first: n})
		return
	}
	g := &h.grants[at]
	if g.first.binding == n.binding || g.rest.get(hash(n.name), n.name) != nil {
		return // a subject that is named twice
	}
	if g.first.expires != never && n.expires == never {
		g.first, n = n, g.first
	}
	g.rest.put(batch, n.name, n)
}

// drop takes a binding out of a holder this batch owns.
func (h *holder) drop(batch uint64, b *binding) {
	at := h.find(b.role)
	if at < 0 {
		return
	}
	g := &h.grants[at]
	if g.first.binding != b {
		g.rest.delete(batch, b.name)
		return
	}
	if g.rest.len == 0 {
		h.grants = slices.Delete(h.grants, at, at+1)
		return
	}
	for _, next := range g.rest.all() {
		g.first = *next
		if next.expires == never {
			break
		}
	}
	g.rest.delete(batch, g.first.name)
}

// hold adds or drops a binding for whom one of its subjects means.
func (s *scope) hold(batch uint64, who member, n held, add bool) {
	of := &s.users
	if who.group {
		of = &s.groups
	}
	var h *holder
	if found := of.get(hash(who.name), who.name); found != nil {
		h = *found
	} else if !add {
		return
	}
	owned := h.own(batch)
	if add {
		owned.add(batch, n)
	} else {
		owned.drop(batch, n.binding)
	}
	switch {
	case len(owned.grants) == 0:
		of.delete(batch, who.name)
	case owned != h:
		of.put(batch, who.name, owned)
	}
}
