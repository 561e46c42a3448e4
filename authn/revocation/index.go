package revocation

import (
	"hash/maphash"
	"maps"
	"slices"
	"strings"
)

// shardCount is how many parts an index has. A change copies the table of parts
// (8 bytes each) and one part, so it stays cheap at any size that fits memory.
const shardCount = 1024

// index finds rules by key. It is a value that never changes: with and without
// give a new one that shares all parts but one with the old.
type index struct {
	// shards is nil where there are no rules. A shard is never written once the
	// index is published.
	shards *[shardCount]map[string][]*rule

	// size is how many rules there are.
	size int
}

// lookup returns the rules of a key, in order of their names. It allocates nothing.
func (x index) lookup(seed maphash.Seed, key string) []*rule {
	if x.shards == nil {
		return nil
	}
	return x.shards[maphash.String(seed, key)%shardCount][key]
}

// lookupBytes is lookup for a key in a buffer.
func (x index) lookupBytes(seed maphash.Seed, key []byte) []*rule {
	if x.shards == nil {
		return nil
	}
	return x.shards[maphash.Bytes(seed, key)%shardCount][string(key)]
}

// with returns the index and one rule more.
func (x index) with(seed maphash.Seed, r *rule) index {
	shards, shard := x.copied(seed, r.key)
	list := shard[r.key]
	at, _ := slices.BinarySearchFunc(list, r.name, byName)
	shard[r.key] = slices.Insert(slices.Clone(list), at, r)
	return index{shards: shards, size: x.size + 1}
}

// without returns the index less one rule, which is in it.
func (x index) without(seed maphash.Seed, r *rule) index {
	if x.size == 1 {
		return index{}
	}
	shards, shard := x.copied(seed, r.key)
	list := slices.DeleteFunc(slices.Clone(shard[r.key]), func(other *rule) bool { return other == r })
	if len(list) == 0 {
		delete(shard, r.key)
	} else {
		shard[r.key] = list
	}
	return index{shards: shards, size: x.size - 1}
}

// copied returns a new table in which the shard of key is a copy.
func (x index) copied(seed maphash.Seed, key string) (*[shardCount]map[string][]*rule, map[string][]*rule) {
	shards := new([shardCount]map[string][]*rule)
	if x.shards != nil {
		*shards = *x.shards
	}
	i := maphash.String(seed, key) % shardCount
	shard := maps.Clone(shards[i])
	if shard == nil {
		shard = map[string][]*rule{}
	}
	shards[i] = shard
	return shards, shard
}

// add puts a rule into an index that nobody else has seen yet.
func (x *index) add(seed maphash.Seed, r *rule) {
	if x.shards == nil {
		x.shards = new([shardCount]map[string][]*rule)
	}
	i := maphash.String(seed, r.key) % shardCount
	if x.shards[i] == nil {
		x.shards[i] = map[string][]*rule{}
	}
	list := x.shards[i][r.key]
	at, _ := slices.BinarySearchFunc(list, r.name, byName)
	x.shards[i][r.key] = slices.Insert(list, at, r)
	x.size++
}

func byName(r *rule, name string) int { return strings.Compare(r.name, name) }
