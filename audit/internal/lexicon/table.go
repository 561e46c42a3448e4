package lexicon

import (
	"fmt"
	"hash/maphash"
	"strings"
	"unicode/utf8"
)

const (
	// MaxText is the longest text that is taken, in bytes.
	MaxText = 32 << 20
	// longText is what no user agent, name or group of an honest client exceeds.
	longText = 512
)

// table gives numbers to the texts of one field.
type table struct {
	texts  []string
	hashes []uint32
	slots  []uint32 // a number and 1 more, where its hash says or behind; 0 for none
	last   uint32   // the number that was given last
}

// number is the number of a text, and whether it is new.
func (t *table) number(seed maphash.Seed, s string) (n uint32, fresh bool) {
	if len(t.texts) > 0 && t.texts[t.last] == s {
		return t.last, false
	}
	hash := uint32(maphash.String(seed, s))
	mask := uint32(len(t.slots) - 1)
	for at := hash; len(t.slots) > 0; at++ {
		n := t.slots[at&mask]
		if n == 0 {
			break
		}
		if t.hashes[n-1] == hash && t.texts[n-1] == s {
			t.last = n - 1
			return n - 1, false
		}
	}
	if !utf8.ValidString(s) {
		return t.number(seed, strings.ToValidUTF8(s, "\uFFFD"))
	}
	if len(s) > MaxText {
		panic(fmt.Sprintf("a text of %d bytes, more than %d", len(s), MaxText))
	}
	return t.add(hash, s), true
}

func (t *table) add(hash uint32, s string) uint32 {
	t.texts, t.hashes = append(t.texts, s), append(t.hashes, hash)
	if len(t.texts) > len(t.slots)/2 {
		t.slots = make([]uint32, max(2*len(t.slots), 16))
		for i, h := range t.hashes {
			t.place(h, uint32(i))
		}
	} else {
		t.place(hash, uint32(len(t.texts)-1))
	}
	t.last = uint32(len(t.texts) - 1)
	return t.last
}

// place puts a number into the first slot that is free.
func (t *table) place(hash, number uint32) {
	mask := uint32(len(t.slots) - 1)
	for at := hash; ; at++ {
		if t.slots[at&mask] == 0 {
			t.slots[at&mask] = number + 1
			return
		}
	}
}
