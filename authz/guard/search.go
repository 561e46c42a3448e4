package guard

import "math/bits"

// fewCandidates is how many rules are asked one by one; where every dimension
// leaves more, bitmaps are intersected first.
const fewCandidates = 16

// candidates are what one dimension leaves of the rules: those in wild and in
// hits[from:to], size in all.
type candidates struct {
	wild     *posting
	from, to int
	size     int
}

// touching returns the rules that touch a request, in no order, and one more than
// once where several of its keys find it. It allocates nothing where there are
// none.
func (x *index) touching(q *request) []*rule {
	if x.size == 0 {
		return nil
	}
	if q.wild {
		return x.scan(q)
	}
	var room [24]*posting
	hits := room[:0]
	var found [byPath]candidates
	n, best := 0, 0
	for d := range dimensions {
		if !q.has(d) {
			continue
		}
		c := candidates{wild: x.axes[d].wild, from: len(hits)}
		hits = x.hits(hits, d, q)
		c.to = len(hits)
		c.size = c.wild.len()
		for _, p := range hits[c.from:] {
			c.size += p.size
		}
		if c.size == 0 {
			return nil
		}
		found[n] = c
		if c.size < found[best].size {
			best = n
		}
		n++
	}
	if found[best].size > fewCandidates {
		return x.intersect(q, found[:n], hits)
	}
	return x.ask(q, found[best], hits)
}

// has reports that the request is limited in a dimension.
func (q *request) has(d dimension) bool {
	switch d {
	case bySubject, byVerb:
		return true
	case byPath:
		return !q.isResource
	case byNamespace:
		return q.isResource && !q.spans
	case byName:
		return q.isResource && q.name != ""
	default:
		return q.isResource
	}
}

// hits appends what the request's keys in a dimension find.
func (x *index) hits(hits []*posting, d dimension, q *request) []*posting {
	axis := &x.axes[d]
	if axis.shards == nil {
		return hits
	}
	switch d {
	case bySubject:
		hits = x.hit(hits, axis, key{name: q.user})
		if q.account != "" {
			hits = x.hit(hits, axis, key{kind: accountKey, name: q.account})
		}
		for _, group := range q.groups {
			hits = x.hit(hits, axis, key{kind: groupKey, name: group})
		}
	case byVerb:
		hits = x.hit(hits, axis, key{name: q.verb})
	case byGroup:
		hits = x.hit(hits, axis, key{name: q.group})
	case byResource:
		hits = x.hit(hits, axis, key{name: q.resource, sub: q.sub})
		if q.sub != "" {
			hits = x.hit(hits, axis, key{name: q.resource, sub: "*"})
			hits = x.hit(hits, axis, key{name: "*", sub: q.sub})
			hits = x.hit(hits, axis, key{name: "*", sub: "*"})
		}
	case byNamespace:
		if q.namespace != "" { // a resource that is in none is for wild alone
			hits = x.hitNames(hits, axis, q.namespace)
		}
	case byName:
		hits = x.hitNames(hits, axis, q.name)
	case byPath:
		hits = x.hitNames(hits, axis, q.path)
	}
	return hits
}

func (x *index) hit(hits []*posting, axis *axis, k key) []*posting {
	if p := axis.get(x.seed, k); p != nil {
		hits = append(hits, p)
	}
	return hits
}

func (x *index) hitNames(hits []*posting, axis *axis, name string) []*posting {
	hits = x.hit(hits, axis, key{name: name})
	for _, p := range axis.prefixes {
		if p.length > len(name) {
			break
		}
		hits = x.hit(hits, axis, key{kind: prefixKey, name: name[:p.length]})
	}
	return hits
}

// scan asks every rule.
func (x *index) scan(q *request) []*rule {
	var out []*rule
	for r := range x.all {
		if r.touches(q) {
			out = append(out, r)
		}
	}
	return out
}

// ask asks the rules of one dimension.
func (x *index) ask(q *request, c candidates, hits []*posting) []*rule {
	var out []*rule
	for n := range c.wild.each {
		if r := x.rule(n); r.touches(q) {
			out = append(out, r)
		}
	}
	for _, p := range hits[c.from:c.to] {
		for n := range p.each {
			if r := x.rule(n); r.touches(q) {
				out = append(out, r)
			}
		}
	}
	return out
}

// intersect asks the rules that every dimension leaves.
func (x *index) intersect(q *request, found []candidates, hits []*posting) []*rule {
	var out []*rule
	for first := 0; first*64 < len(x.chunks)*ruleChunk; first += blockWords {
		var left block
		for i, c := range found {
			var one block
			c.wild.or(&one, first)
			for _, p := range hits[c.from:c.to] {
				p.or(&one, first)
			}
			if i == 0 {
				left = one
				continue
			}
			for w := range left {
				left[w] &= one[w]
			}
		}
		for w, word := range left {
			for ; word != 0; word &= word - 1 {
				n := uint32((first+w)*64 + bits.TrailingZeros64(word))
				if r := x.rule(n); r.touches(q) {
					out = append(out, r)
				}
			}
		}
	}
	return out
}
