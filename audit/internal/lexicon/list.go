package lexicon

import (
	"encoding/binary"
	"reflect"
	"slices"
	"unsafe"
)

// recentPlaces is how many lists and maps of a field are remembered by where they lie: the
// tokens of a cluster are some thousand.
const recentPlaces = 2048

// lists gives numbers to the lists of one field; 0 is the empty list.
type lists struct {
	items  Field
	recent [recentPlaces]recentList
	by     map[string]uint32 // by the numbers of the items
	all    []List
}

// List is a list, and the numbers of its items.
type List struct {
	Texts []string
	Items []uint32
}

// recentList is a list by where it lies: events share lists, and most have one of a few.
type recentList struct {
	first  *string
	n      int
	number uint32
}

func (w *Lexicon) list(l *lists, texts []string) uint32 {
	if len(texts) == 0 {
		return 0
	}
	first := &texts[0]
	slot := &l.recent[uintptr(unsafe.Pointer(first))>>4%uintptr(len(l.recent))]
	if slot.first == first && slot.n == len(texts) {
		return slot.number
	}
	*slot = recentList{first, len(texts), l.number(w, texts)}
	return slot.number
}

func (l *lists) number(w *Lexicon, texts []string) uint32 {
	w.key = w.key[:0]
	for _, s := range texts {
		w.key = binary.LittleEndian.AppendUint32(w.key, w.text(l.items, s))
	}
	if n, ok := l.by[string(w.key)]; ok {
		return n
	}
	n := uint32(len(l.all))
	l.all = append(l.all, List{Texts: texts, Items: numbers(w.key)})
	l.by[string(w.key)] = n
	return n
}

// numbers are the numbers of a key.
func numbers(key []byte) []uint32 {
	all := make([]uint32, 0, len(key)/4)
	for ; len(key) > 0; key = key[4:] {
		all = append(all, binary.LittleEndian.Uint32(key))
	}
	return all
}

// extras gives numbers to the maps of one field; 0 is the empty map.
type extras struct {
	keys, values Field
	recent       [recentPlaces]recentMap[map[string][]string]
	by           map[string]uint32 // by the numbers of keys and values
	all          []Extra
}

// Extra is a map, and the numbers of its keys, in the order of their texts, and of their
// values.
type Extra struct {
	Texts  map[string][]string
	Keys   []uint32
	Values [][]uint32
}

// recentMap is a map by where it lies.
type recentMap[M any] struct {
	texts  M
	at     uintptr
	number uint32
}

// placeOf is where a map lies, and which slot of recent ones it has.
func placeOf(m any) (at, slot uintptr) {
	at = reflect.ValueOf(m).Pointer()
	return at, at >> 4 % recentPlaces
}

func (w *Lexicon) extra(x *extras, texts map[string][]string) uint32 {
	if len(texts) == 0 {
		return 0
	}
	at, slot := placeOf(texts)
	if x.recent[slot].at != at {
		x.recent[slot] = recentMap[map[string][]string]{texts, at, x.number(w, texts)}
	}
	return x.recent[slot].number
}

func (x *extras) number(w *Lexicon, texts map[string][]string) uint32 {
	var room [8]string
	keys := room[:0]
	for k := range texts {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	w.key = w.key[:0]
	for _, k := range keys {
		w.key = binary.LittleEndian.AppendUint32(w.key, w.text(x.keys, k))
		w.key = binary.LittleEndian.AppendUint32(w.key, uint32(len(texts[k])))
		for _, v := range texts[k] {
			w.key = binary.LittleEndian.AppendUint32(w.key, w.text(x.values, v))
		}
	}
	if n, ok := x.by[string(w.key)]; ok {
		return n
	}
	e := Extra{Texts: texts}
	for rest := numbers(w.key); len(rest) > 0; {
		n := rest[1]
		e.Keys, e.Values = append(e.Keys, rest[0]), append(e.Values, rest[2:2+n])
		rest = rest[2+n:]
	}
	n := uint32(len(x.all))
	x.all = append(x.all, e)
	x.by[string(w.key)] = n
	return n
}
