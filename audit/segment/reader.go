package segment

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync"

	"github.com/parquet-go/parquet-go/format"
)

// maxHeld bounds what a scan holds unpacked, so that a small file cannot make it hold a
// large one.
const maxHeld = 512 << 20

// rowGroup reads one row group for one scan: a reader for each column, made when it is
// needed.
type rowGroup struct {
	of      *group
	index   int
	readers [columns]*reader
	before  [columns]*reader // of the row group before, which is not read any more
	raw     []byte           // room for what is read of the file
	held    int              // bytes unpacked
	key     []byte           // room for that of a list
	sign    []byte           // and of a map
	// decided are annotations that say no more than what was decided and why.
	decided map[[2]uint32]map[string]string
}

// shared are values that were made, by what they were made of. When there are many they
// are forgotten.
type shared[V any] map[string]V

// mostShared is how many values are remembered.
const mostShared = 4096

func (s *shared[V]) keep(key []byte, v V) V {
	if *s == nil || len(*s) >= mostShared {
		*s = shared[V]{}
	}
	(*s)[string(key)] = v
	return v
}

// reader reads one column of a row group: one page of it at a time, and its dictionary.
type reader struct {
	*chunk
	group      *rowGroup
	locations  []pageRef
	bounds     *columnIndex
	dictionary *dictionary
	// What events share that are the same in it: its lists, and the maps it has the keys of.
	lists  shared[[]string]
	extras shared[map[string][]string]

	// The page that is unpacked.
	page        int // -1 for none
	first, rows int
	values      values
	body        []byte
	// The levels of the entries of the page, where the column has them: an entry has a
	// value where its definition level is the greatest, and begins a row where its
	// repetition level is 0.
	definitions, repetitions runs
	// starts are where the rows of a repeated column begin among the entries, found when
	// first asked for; whole says that every entry has a value.
	starts []int32
	whole  bool
}

// dictionary are the distinct values of a column in a row group.
type dictionary struct {
	values values
	n      int
	texts  []string // made when they are asked for, and shared by all events
	made   []bool
	room   *[]byte // what the values lie in
}

// text is an entry as a text of its own.
func (d *dictionary) text(i uint32) string {
	if !d.made[i] {
		d.texts[i], d.made[i] = string(d.values.text(int(i))), true
	}
	return d.texts[i]
}

func newRowGroup(g *group, index int) *rowGroup { return &rowGroup{of: g, index: index} }

// rooms are what dictionaries were unpacked into, for the next ones.
var rooms = sync.Pool{New: func() any { return new([]byte) }}

// largestRoom is where room is not kept for the next dictionary.
const largestRoom = 4 << 20

// done hands on the room of the dictionaries. Nothing of the row group is read any more;
// texts that were made are of their own.
func (g *rowGroup) done() {
	for _, r := range g.readers {
		if r == nil || r.dictionary == nil {
			continue
		}
		if room := r.dictionary.room; room != nil && cap(*room) <= largestRoom {
			rooms.Put(room)
		}
		r.dictionary = nil
	}
}

// column is the reader of a column. Damage panics, and is rescued where a scan begins.
func (g *rowGroup) column(leaf int) *reader {
	if r := g.readers[leaf]; r != nil {
		return r
	}
	r := &reader{chunk: &g.of.chunks[leaf], group: g, page: -1}
	var err error
	if r.locations, err = r.chunk.locations(); err != nil {
		panic(damage{err})
	}
	if r.bounds, err = r.chunk.bounds(); err != nil {
		panic(damage{err})
	}
	g.readers[leaf] = r
	r.takeRoom(g.before[leaf])
	return r
}

// takeRoom uses the room again of the same column in the row group before.
func (r *reader) takeRoom(before *reader) {
	if before == nil {
		return
	}
	v := &before.values
	r.values = values{packed: runs{list: v.packed.list}, indexes: v.indexes[:0], ends: v.ends[:0], numbers: v.numbers[:0]}
	r.definitions.list, r.repetitions.list = before.definitions.list, before.repetitions.list
	r.starts, r.body = before.starts[:0], before.body[:0]
	r.group.held += cap(r.body)
}

func (r *reader) fail(page int, err error) {
	what := fmt.Sprintf("page %d", page)
	if page < 0 {
		what = "dictionary"
	}
	panic(damage{fmt.Errorf("row group %d, column %s: %s: %w", r.group.index, r.name(), what, err)})
}

// hold counts what is unpacked in place of what was.
func (r *reader) hold(page, before, now int) {
	if r.group.held += now - before; r.group.held > maxHeld {
		r.fail(page, fmt.Errorf("the row group needs more than %d bytes at once", maxHeld))
	}
}

// dict is the dictionary, which a column has whose pages have indexes. It is empty where
// there is none.
func (r *reader) dict() *dictionary {
	if r.dictionary != nil {
		return r.dictionary
	}
	d := &dictionary{}
	if r.meta.DictionaryPageOffset != 0 && len(r.locations) > 0 {
		length := r.locations[0].offset - r.meta.DictionaryPageOffset
		data, err := r.of.read(r.group.raw, r.meta.DictionaryPageOffset, length)
		if err != nil {
			r.fail(-1, err)
		}
		r.group.raw = data
		d.room = rooms.Get().(*[]byte)
		h, body, err := unpackPage(*d.room, data, r.meta.Codec)
		if err != nil {
			r.fail(-1, err)
		}
		*d.room = body
		if h.kind != 2 {
			r.fail(-1, fmt.Errorf("it is a page of kind %d", h.kind))
		}
		r.hold(-1, 0, len(body)+28*int(h.values))
		if err := d.values.decode(body, int(h.values), h.encoding, r.meta.Type, 0); err != nil {
			r.fail(-1, err)
		}
		d.n = int(h.values)
		if r.meta.Type == format.ByteArray {
			d.texts, d.made = make([]string, d.n), make([]bool, d.n)
		}
	}
	r.dictionary = d
	return d
}

// pageOf is the page that a row is in.
func (r *reader) pageOf(row int) int {
	if r.page >= 0 && row >= r.first && row < r.first+r.rows {
		return r.page
	}
	low, high := 0, len(r.locations)
	for low+1 < high {
		middle := (low + high) / 2
		if r.locations[middle].first <= row {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// load unpacks the page that a row is in.
func (r *reader) load(row int) {
	if r.page >= 0 && row >= r.first && row < r.first+r.rows {
		return
	}
	page := r.pageOf(row)
	at := r.locations[page]
	data, err := r.of.read(r.group.raw, at.offset, at.length)
	if err != nil {
		r.fail(page, err)
	}
	r.group.raw = data
	before := cap(r.body)
	h, body, err := unpackPage(r.body, data, r.meta.Codec)
	if err != nil {
		r.fail(page, err)
	}
	if h.kind != 0 {
		r.fail(page, fmt.Errorf("it is of kind %d; only data pages of version 1 are read", h.kind))
	}
	r.page, r.starts = -1, r.starts[:0]
	r.body = body
	r.hold(page, before, cap(body))
	if err := r.decode(h, body, at.rows); err != nil {
		r.fail(page, err)
	}
	r.page, r.first, r.rows = page, at.first, at.rows
}

func (r *reader) decode(h pageHeader, body []byte, rows int) error {
	levels, n := maxLevels[r.leaf], int(h.values)
	var err error
	if levels.repetition == 0 && n != rows {
		return fmt.Errorf("it has %d values for %d rows", n, rows)
	}
	if levels.repetition > 0 {
		if body, err = readLevels(&r.repetitions, body, levels.repetition, n, 0); err != nil {
			return err
		}
		if got := r.repetitions.rank(n); got != rows || n == 0 || r.repetitions.get(0) != 0 {
			return fmt.Errorf("it has %d rows, and should have %d", got, rows)
		}
	}
	if levels.definition > 0 {
		if body, err = readLevels(&r.definitions, body, levels.definition, n, uint32(levels.definition)); err != nil {
			return err
		}
		n = r.definitions.rank(n)
	}
	entries := 0
	if format.Encoding(h.encoding) == format.RLEDictionary {
		entries = r.dict().n
	}
	return r.values.decode(body, n, h.encoding, r.meta.Type, entries)
}

func readLevels(to *runs, body []byte, most byte, n int, target uint32) ([]byte, error) {
	if len(body) < 4 {
		return body, errCut
	}
	length := binary.LittleEndian.Uint32(body)
	body = body[4:]
	if uint64(length) > uint64(len(body)) {
		return body, errCut
	}
	return body[length:], to.parse(body[:length], bits.Len8(most), n, target)
}

// at is which value of the page a row of a flat column has, or -1 for NULL. The page is
// loaded.
func (r *reader) at(row int) int {
	i := row - r.first
	if maxLevels[r.leaf].definition == 0 {
		return i
	}
	if r.definitions.get(i) != r.definitions.target {
		return -1
	}
	return r.definitions.rank(i)
}

// entries are the entries of a row of a repeated column, from and to, and which value is
// the first of them. The page is loaded.
func (r *reader) entries(row int) (from, to, value int) {
	if len(r.starts) == 0 {
		r.starts = r.repetitions.places(r.starts)
		r.whole = r.definitions.rank(r.definitions.n) == r.definitions.n
	}
	i := row - r.first
	from, to = int(r.starts[i]), r.repetitions.n
	if i+1 < len(r.starts) {
		to = int(r.starts[i+1])
	}
	if r.whole {
		return from, to, from
	}
	return from, to, r.definitions.rank(from)
}

// has reports whether an entry of a repeated column has a value. Its row was asked for.
func (r *reader) has(entry int) bool {
	return r.whole || r.definitions.get(entry) == r.definitions.target
}

// bytesOf is value i of the page.
func (r *reader) bytesOf(i int) []byte {
	if r.values.indexed {
		return r.dict().values.text(int(r.values.index(i)))
	}
	return r.values.text(i)
}

// stringOf is value i of the page as a text of its own.
func (r *reader) stringOf(i int) string {
	if r.values.indexed {
		return r.dict().text(r.values.index(i))
	}
	return string(r.values.text(i))
}

// text is a row of a flat column of texts, and whether it is there.
func (r *reader) text(row int) (string, bool) {
	if same, ok := r.same(row); ok {
		return same, true
	}
	if r.bounds.allNull(r.pageOf(row)) {
		return "", false
	}
	r.load(row)
	i := r.at(row)
	if i < 0 {
		return "", false
	}
	return r.stringOf(i), true
}

// entry is which entry of the dictionary a row of a flat column has, and 1 more; 0 for NULL.
// It is false where the column has no dictionary.
func (r *reader) entry(row int) (uint32, bool) {
	if r.bounds.allNull(r.pageOf(row)) {
		return 0, true
	}
	r.load(row)
	i := r.at(row)
	if i < 0 {
		return 0, true
	}
	if !r.values.indexed {
		return 0, false
	}
	return r.values.index(i) + 1, true
}

// same is the text of all rows of a row's page, where the bounds say that there is one.
func (r *reader) same(row int) (string, bool) {
	if r.page >= 0 && row >= r.first && row < r.first+r.rows {
		return "", false // it is loaded, which is cheaper to ask
	}
	if v, ok := r.bounds.constant(r.pageOf(row)); ok {
		if len(v) == 0 {
			return "", true
		}
		return strings.Clone(string(v)), true
	}
	return "", false
}

// number is a row of a flat column of numbers, and whether it is there.
func (r *reader) number(row int) (int64, bool) {
	if r.meta.Type == format.Boolean { // nearly always the same one
		if v, ok := r.bounds.constant(r.pageOf(row)); ok && len(v) == 1 {
			return int64(v[0]), true
		}
	}
	if r.bounds.allNull(r.pageOf(row)) {
		return 0, false
	}
	r.load(row)
	i := r.at(row)
	if i < 0 {
		return 0, false
	}
	if r.values.indexed {
		return r.dict().values.numbers[r.values.index(i)], true
	}
	return r.values.numbers[i], true
}

// list is a row of a column of lists.
func (r *reader) list(row int) []string {
	if r.bounds.allNull(r.pageOf(row)) {
		return nil
	}
	key := r.appendKey(r.group.key[:0], row)
	r.group.key = key
	if len(key) > 0 {
		if list, ok := r.lists[string(key)]; ok {
			return list
		}
	}
	from, to, value := r.entries(row)
	var all []string
	for e := from; e < to; e++ {
		if r.has(e) {
			if all == nil {
				all = make([]string, 0, to-from)
			}
			all = append(all, r.stringOf(value))
			value++
		}
	}
	if len(key) > 0 {
		all = r.lists.keep(key, slices.Clip(all))
	}
	return all
}

// appendKey appends what a row of a repeated column has as entries of the dictionary, and
// as levels where they tell more than where the row ends; nothing where it has no
// dictionary. It loads the page.
func (r *reader) appendKey(key []byte, row int) []byte {
	r.load(row)
	if !r.values.indexed {
		return key
	}
	from, to, value := r.entries(row)
	nested := maxLevels[r.leaf].repetition > 1
	for e := from; e < to; e++ {
		if r.has(e) {
			key = binary.LittleEndian.AppendUint32(key, r.values.index(value))
			value++
		} else {
			key = binary.LittleEndian.AppendUint32(key, ^r.definitions.get(e))
		}
		if nested {
			key = append(key, byte(r.repetitions.get(e)))
		}
	}
	return key
}

// listsOf is a row of the values of a map of lists, a list for each of n keys.
func (r *reader) listsOf(row, n int) [][]string {
	all := make([][]string, 0, n)
	if r.bounds.allNull(r.pageOf(row)) {
		return append(all, make([][]string, n)...)
	}
	r.load(row)
	from, to, value := r.entries(row)
	for e := from; e < to; e++ {
		definition := r.definitions.get(e)
		if r.repetitions.get(e) < 2 && definition >= 1 {
			all = append(all, nil)
		}
		if definition == r.definitions.target && len(all) > 0 {
			all[len(all)-1] = append(all[len(all)-1], r.stringOf(value))
			value++
		}
	}
	return all
}
