package guard

import (
	"math/bits"
	"slices"
)

// fewRules is how many numbers a posting keeps as a list; more become a bitmap.
const fewRules = 64

// posting is a set of rules by their numbers. It never changes once it is
// published; nil is empty.
type posting struct {
	// size is how many numbers there are.
	size int

	// few are the numbers, sorted, while there are at most fewRules.
	few []uint32

	// words are a bitmap of the numbers where there are more.
	words []uint64
}

func (p *posting) len() int {
	if p == nil {
		return 0
	}
	return p.size
}

// with returns the set and one number more, which is not in it.
func (p *posting) with(n uint32) *posting {
	if p == nil {
		return &posting{size: 1, few: []uint32{n}}
	}
	next := &posting{size: p.size + 1}
	if p.size < fewRules {
		at, _ := slices.BinarySearch(p.few, n)
		next.few = slices.Insert(slices.Clone(p.few), at, n)
		return next
	}
	next.words = make([]uint64, max(len(p.words), int(n)/64+1))
	copy(next.words, p.words)
	for _, m := range p.few {
		if int(m)/64 >= len(next.words) {
			next.words = append(next.words, make([]uint64, int(m)/64+1-len(next.words))...)
		}
		next.words[m/64] |= 1 << (m % 64)
	}
	next.words[n/64] |= 1 << (n % 64)
	return next
}

// without returns the set less one number, which is in it; nil where none is left.
func (p *posting) without(n uint32) *posting {
	next := &posting{size: p.size - 1}
	switch {
	case next.size == 0:
		return nil
	case p.words == nil:
		next.few = slices.DeleteFunc(slices.Clone(p.few), func(m uint32) bool { return m == n })
	case next.size <= fewRules:
		for m := range p.each {
			if m != n {
				next.few = append(next.few, m)
			}
		}
	default:
		next.words = slices.Clone(p.words)
		next.words[n/64] &^= 1 << (n % 64)
	}
	return next
}

// each yields the numbers in order.
func (p *posting) each(yield func(uint32) bool) {
	if p == nil {
		return
	}
	for _, n := range p.few {
		if !yield(n) {
			return
		}
	}
	for i, word := range p.words {
		for ; word != 0; word &= word - 1 {
			if !yield(uint32(i*64 + bits.TrailingZeros64(word))) {
				return
			}
		}
	}
}

// block is a part of a bitmap: blockWords words from a word that is a multiple of
// it. It is small enough for the stack.
type block [blockWords]uint64

const blockWords = 64

// or adds to b those numbers of the set that are in the block whose first word is first.
func (p *posting) or(b *block, first int) {
	if p == nil {
		return
	}
	for _, n := range p.few {
		if i := int(n)/64 - first; i >= 0 && i < blockWords {
			b[i] |= 1 << (n % 64)
		}
	}
	if first < len(p.words) {
		for i, word := range p.words[first:min(first+blockWords, len(p.words))] {
			b[i] |= word
		}
	}
}
