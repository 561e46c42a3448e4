package guard

import (
	"hash/maphash"
	"maps"
	"slices"
	"sort"
)

// dimension is one thing a Guard may limit itself by, and a request has.
type dimension int

const (
	bySubject dimension = iota
	byVerb
	byGroup
	byResource
	byNamespace
	byName
	byPath
	dimensions // how many there are
)

// keyKind keeps keys of one dimension apart that are found in different ways.
type keyKind uint8

const (
	exactKey   keyKind = iota // the name itself; of a resource, with its subresource
	prefixKey                 // what the name begins with
	groupKey                  // a group the user is in
	accountKey                // the namespace of a service account
)

// key is where in a dimension a rule stands.
type key struct {
	kind keyKind
	name string

	// sub is the subresource.
	sub string
}

// shardCount is how many parts a dimension's table has. A change copies the
// table (8 bytes a part) and the parts it writes to.
const shardCount = 256

// axis is the rules by their keys in one dimension. It never changes once it is
// published.
type axis struct {
	// wild are the rules that no key finds: those that the dimension does not
	// limit, or in a way that keys cannot say (a pattern that begins with a star).
	wild *posting

	// shards are nil where there are no keys.
	shards *[shardCount]map[key]*posting

	// prefixes are the lengths of the prefix keys, each with how many there are,
	// in order.
	prefixes []prefixLength
}

type prefixLength struct{ length, keys int }

func (a *axis) get(seed maphash.Seed, k key) *posting {
	if a.shards == nil {
		return nil
	}
	return a.shards[k.shard(seed)][k]
}

func (k key) shard(seed maphash.Seed) uint64 {
	h := maphash.String(seed, k.name)
	if k.sub != "" {
		h ^= maphash.String(seed, k.sub) << 1
	}
	return (h + uint64(k.kind)) % shardCount
}

// axisEditor changes an axis that nobody else has seen, copying each part that
// is shared with a published one when it is first written to.
type axisEditor struct {
	*axis
	ownsTable bool
	owns      [shardCount]bool
}

// shard is the part of a key, writable.
func (e *axisEditor) shard(seed maphash.Seed, k key) map[key]*posting {
	if !e.ownsTable {
		table := new([shardCount]map[key]*posting)
		if e.shards != nil {
			*table = *e.shards
		}
		e.shards, e.ownsTable = table, true
	}
	i := k.shard(seed)
	if !e.owns[i] {
		if e.shards[i] = maps.Clone(e.shards[i]); e.shards[i] == nil {
			e.shards[i] = map[key]*posting{}
		}
		e.owns[i] = true
	}
	return e.shards[i]
}

func (e *axisEditor) add(seed maphash.Seed, k key, n uint32) {
	shard := e.shard(seed, k)
	before := shard[k]
	shard[k] = before.with(n)
	if before == nil && k.kind == prefixKey {
		e.countPrefix(len(k.name), 1)
	}
}

func (e *axisEditor) remove(seed maphash.Seed, k key, n uint32) {
	shard := e.shard(seed, k)
	if after := shard[k].without(n); after != nil {
		shard[k] = after
		return
	}
	delete(shard, k)
	if k.kind == prefixKey {
		e.countPrefix(len(k.name), -1)
	}
}

func (e *axisEditor) countPrefix(length, change int) {
	next := slices.Clone(e.prefixes)
	at := sort.Search(len(next), func(i int) bool { return next[i].length >= length })
	if at == len(next) || next[at].length != length {
		next = slices.Insert(next, at, prefixLength{length: length})
	}
	if next[at].keys += change; next[at].keys == 0 {
		next = slices.Delete(next, at, at+1)
	}
	e.prefixes = next
}
