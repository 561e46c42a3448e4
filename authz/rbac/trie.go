package rbac

import (
	"hash/maphash"
	"iter"
	"math/bits"
)

// seed makes the places of keys unforeseeable, so that nobody can choose names
// that all fall into one branch.
var seed = maphash.MakeSeed()

func hash(key string) uint64 { return maphash.String(seed, key) }

// trie is a persistent map from strings: a published one never changes, and an
// update shares all but the branch it touches with the one before. The zero value
// is an empty map.
//
// It is a hash array mapped trie of 32-fold branches in the form that keeps
// entries and children apart (Steindorff and Vinju, "Optimizing hash-array mapped
// tries for fast and lean immutable JVM collections", 2015): a lookup among a
// million keys touches four nodes.
type trie[V any] struct {
	root *node[V]
	len  int
}

// node is one branch. A bit of either map says what is in the slot of that
// number; no slot is in both.
type node[V any] struct {
	entryMap, childMap uint32
	// batch is the update that made this node, which alone may change it; see
	// trie.put.
	batch    uint64
	entries  []entry[V]
	children []*node[V]
}

type entry[V any] struct {
	key   string
	value V
}

const (
	slotBits = 5
	slotMask = 1<<slotBits - 1
	// lastShift is the shift below which hashes still tell keys apart. Keys whose
	// hashes are equal in all bits share a node there, and are told apart by
	// comparing.
	lastShift = 64 / slotBits * slotBits
)

func index(bitmap, bit uint32) int { return bits.OnesCount32(bitmap & (bit - 1)) }

// get returns the value of key, whose hash is h, or nil.
func (t *trie[V]) get(h uint64, key string) *V { return t.root.get(0, h, key) }

func (n *node[V]) get(shift int, h uint64, key string) *V {
	for ; n != nil; shift += slotBits {
		if shift > lastShift {
			for i := range n.entries {
				if n.entries[i].key == key {
					return &n.entries[i].value
				}
			}
			return nil
		}
		bit := uint32(1) << (h >> shift & slotMask)
		if n.entryMap&bit != 0 {
			if e := &n.entries[index(n.entryMap, bit)]; e.key == key {
				return &e.value
			}
			return nil
		}
		if n.childMap&bit == 0 {
			return nil
		}
		n = n.children[index(n.childMap, bit)]
	}
	return nil
}

// put sets the value of key. Nodes that this batch has made before are changed in
// place; all others are copied first, so that readers of what an earlier batch
// published see nothing of it. Batches are numbered from 1 and never twice.
func (t *trie[V]) put(batch uint64, key string, value V) {
	if t.root == nil {
		t.root = &node[V]{batch: batch}
	}
	var added bool
	t.root, added = t.root.put(batch, 0, hash(key), key, value)
	if added {
		t.len++
	}
}

func (n *node[V]) own(batch uint64) *node[V] {
	if n.batch == batch {
		return n
	}
	c := &node[V]{entryMap: n.entryMap, childMap: n.childMap, batch: batch}
	// Exactly as large as needed: most nodes never grow again.
	c.entries = append(make([]entry[V], 0, len(n.entries)), n.entries...)
	c.children = append(make([]*node[V], 0, len(n.children)), n.children...)
	return c
}

func (n *node[V]) put(batch uint64, shift int, h uint64, key string, value V) (_ *node[V], added bool) {
	n = n.own(batch)
	if shift > lastShift {
		for i := range n.entries {
			if n.entries[i].key == key {
				n.entries[i].value = value
				return n, false
			}
		}
		n.entries = append(n.entries, entry[V]{key, value})
		return n, true
	}
	bit := uint32(1) << (h >> shift & slotMask)
	switch {
	case n.childMap&bit != 0:
		i := index(n.childMap, bit)
		n.children[i], added = n.children[i].put(batch, shift+slotBits, h, key, value)
		return n, added
	case n.entryMap&bit == 0:
		n.entries = insert(n.entries, index(n.entryMap, bit), entry[V]{key, value})
		n.entryMap |= bit
		return n, true
	}
	i := index(n.entryMap, bit)
	if n.entries[i].key == key {
		n.entries[i].value = value
		return n, false
	}
	// Two keys meet in one slot: both go one branch down.
	old := n.entries[i]
	child := &node[V]{batch: batch}
	child, _ = child.put(batch, shift+slotBits, hash(old.key), old.key, old.value)
	child, _ = child.put(batch, shift+slotBits, h, key, value)
	n.entries = remove(n.entries, i)
	n.entryMap &^= bit
	n.children = insert(n.children, index(n.childMap, bit), child)
	n.childMap |= bit
	return n, true
}

// delete removes key, if it is there.
func (t *trie[V]) delete(batch uint64, key string) {
	h := hash(key)
	if t.get(h, key) == nil {
		return
	}
	t.root = t.root.delete(batch, 0, h, key)
	t.len--
	if t.root.empty() {
		t.root = nil
	}
}

func (n *node[V]) empty() bool { return len(n.entries) == 0 && len(n.children) == 0 }

// delete removes a key that is there. A child that is left with one entry gives
// it to its parent, so that a map that shrank is as flat as one that never grew.
func (n *node[V]) delete(batch uint64, shift int, h uint64, key string) *node[V] {
	n = n.own(batch)
	if shift > lastShift {
		for i := range n.entries {
			if n.entries[i].key == key {
				n.entries = remove(n.entries, i)
				break
			}
		}
		return n
	}
	bit := uint32(1) << (h >> shift & slotMask)
	if n.entryMap&bit != 0 {
		n.entries = remove(n.entries, index(n.entryMap, bit))
		n.entryMap &^= bit
		return n
	}
	i := index(n.childMap, bit)
	child := n.children[i].delete(batch, shift+slotBits, h, key)
	n.children[i] = child
	if len(child.children) == 0 && len(child.entries) <= 1 {
		n.children = remove(n.children, i)
		n.childMap &^= bit
		if len(child.entries) == 1 {
			n.entries = insert(n.entries, index(n.entryMap, bit), child.entries[0])
			n.entryMap |= bit
		}
	}
	return n
}

// insert and remove work in place: the caller owns s.
func insert[E any](s []E, i int, e E) []E {
	if len(s) == cap(s) {
		grown := make([]E, len(s)+1, len(s)+1+len(s)/4)
		copy(grown, s[:i])
		copy(grown[i+1:], s[i:])
		grown[i] = e
		return grown
	}
	s = s[:len(s)+1]
	copy(s[i+1:], s[i:])
	s[i] = e
	return s
}

func remove[E any](s []E, i int) []E {
	var zero E
	copy(s[i:], s[i+1:])
	s[len(s)-1] = zero
	return s[:len(s)-1]
}

// all goes through the map in an order of its own.
func (t *trie[V]) all() iter.Seq2[string, *V] {
	return func(yield func(string, *V) bool) {
		if t.root != nil {
			t.root.each(yield)
		}
	}
}

func (n *node[V]) each(yield func(string, *V) bool) bool {
	for i := range n.entries {
		if !yield(n.entries[i].key, &n.entries[i].value) {
			return false
		}
	}
	for _, c := range n.children {
		if !c.each(yield) {
			return false
		}
	}
	return true
}

// wide is a trie whose first level is one array: fewer steps, and so fewer cache
// misses, among a million keys. The array is copied once a batch.
type wide[V any] struct {
	first *[1 << wideBits]*node[V]
	batch uint64 // that made first
	len   int
}

// wideBits are taken from the top of a hash, and the levels below count from its
// bottom, so that neither knows of the other.
const wideBits = 12

func (w *wide[V]) get(h uint64, key string) *V {
	if w.first == nil {
		return nil
	}
	return w.first[h>>(64-wideBits)].get(0, h, key)
}

// below is the trie that key belongs to. The batch may change it.
func (w *wide[V]) below(batch uint64, key string) **node[V] {
	if w.batch != batch || w.first == nil {
		fresh := new([1 << wideBits]*node[V])
		if w.first != nil {
			*fresh = *w.first
		}
		w.first, w.batch = fresh, batch
	}
	return &w.first[hash(key)>>(64-wideBits)]
}

func (w *wide[V]) put(batch uint64, key string, value V) {
	at := w.below(batch, key)
	t := trie[V]{root: *at}
	t.put(batch, key, value)
	*at = t.root
	w.len += t.len
}

func (w *wide[V]) delete(batch uint64, key string) {
	at := w.below(batch, key)
	t := trie[V]{root: *at}
	t.delete(batch, key)
	*at = t.root
	w.len += t.len
}
