package rbac

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// A trie is a map, and what was published stays as it was.
func TestTrieIsAPersistentMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	type version struct {
		trie trie[int]
		want map[string]int
	}
	var published []version
	var now trie[int]
	want := map[string]int{}
	for batch := uint64(1); batch <= 400; batch++ {
		for range r.IntN(40) {
			key := fmt.Sprint(r.IntN(2000))
			if r.IntN(3) == 0 {
				now.delete(batch, key)
				delete(want, key)
			} else {
				value := r.IntN(1000)
				now.put(batch, key, value)
				want[key] = value
			}
		}
		published = append(published, version{now, maps.Clone(want)})
	}
	for i, v := range published {
		got := map[string]int{}
		for key, value := range v.trie.all() {
			got[key] = *value
		}
		if !maps.Equal(got, v.want) || v.trie.len != len(v.want) {
			t.Fatalf("version %d has changed since it was published", i)
		}
		for key := range 2000 {
			key := fmt.Sprint(key)
			found := v.trie.get(hash(key), key)
			if value, ok := v.want[key]; ok != (found != nil) || ok && *found != value {
				t.Fatalf("version %d: %s is %v, want %v, %v", i, key, found, value, ok)
			}
		}
	}
}

// Keys whose hashes are equal are told apart all the same.
func TestTrieCollision(t *testing.T) {
	root := &node[int]{batch: 1}
	const h = 0xdeadbeefdeadbeef
	for i := range 50 {
		root, _ = root.put(1, lastShift+slotBits, h, fmt.Sprint(i), i)
	}
	m := trie[int]{root: root, len: 50}
	// The node stands where all bits of the hash are used up; wrap it as deep.
	for shift := lastShift; shift >= 0; shift -= slotBits {
		m.root = &node[int]{batch: 1, childMap: 1 << (uint64(h) >> shift & slotMask), children: []*node[int]{m.root}}
	}
	for i := range 50 {
		if got := m.get(h, fmt.Sprint(i)); got == nil || *got != i {
			t.Errorf("%d is %v", i, got)
		}
	}
	if got := m.get(h, "50"); got != nil {
		t.Errorf("50 is %v, and was never put", *got)
	}
	m.root = m.root.delete(2, 0, h, "7")
	if got := m.get(h, "7"); got != nil {
		t.Errorf("7 is %v after it was deleted", *got)
	}
}
