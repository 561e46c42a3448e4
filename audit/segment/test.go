package segment

import (
	"bytes"
	"slices"
	"sort"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/gatehouse-io/gatehouse/audit"
)

// test is one condition of a filter, over one row group.
type test interface {
	// never reports whether no row of the row group can pass, as far as can be told
	// without its pages.
	never() bool
	// keep removes the rows that do not pass. Rows ascend.
	keep(rows []int32) []int32
}

// tests are the conditions of a filter other than time, those first that are likely to
// leave few rows.
func tests(g *rowGroup, f *audit.Filter) []test {
	var all []test
	text := func(leaf int, patterns []string) {
		if len(patterns) > 0 {
			all = append(all, newTextTest(g, leaf, patterns))
		}
	}
	text(colID, f.IDs)
	text(colName, f.Names)
	if len(f.Users) > 0 {
		as := newTextTest(g, colAsUser, f.Users)
		as.needed = true
		all = append(all, &eitherTest{a: newTextTest(g, colUser, f.Users), b: as})
	}
	text(colNamespace, f.Namespaces)
	if len(f.Resources) > 0 {
		all = append(all, newResourceTest(g, f.Resources))
	}
	text(colVerb, f.Verbs)
	if len(f.Codes) > 0 {
		all = append(all, &codeTest{reader: g.column(colCode), patterns: f.Codes})
	}
	text(colDecision, f.Decisions)
	if len(f.Groups) > 0 {
		all = append(all, &eitherTest{a: newListTest(g, colGroups, f.Groups), b: newListTest(g, colAsGroups, f.Groups)})
	}
	if len(f.IPs) > 0 {
		all = append(all, newListTest(g, colIPs, f.IPs))
	}
	text(colUserAgent, f.UserAgents)
	text(colStage, f.Stages)
	text(colSource, f.Sources)
	if f.URIContains != "" {
		all = append(all, &partTest{reader: g.column(colURI), part: []byte(f.URIContains)})
	}
	return all
}

// textTest holds a column of texts against patterns. NULL is as empty.
type textTest struct {
	*reader
	patterns []string
	needed   bool // an empty text does not pass, whatever the patterns say
	known    []int8
}

func newTextTest(g *rowGroup, leaf int, patterns []string) *textTest {
	return &textTest{reader: g.column(leaf), patterns: patterns}
}

func (t *textTest) passes(value string) bool {
	return (value != "" || !t.needed) && slices.ContainsFunc(t.patterns, func(p string) bool { return audit.MatchesText(p, value) })
}

// entry reports whether an entry of the dictionary passes, and remembers it.
func (t *textTest) entry(i uint32) bool {
	if t.known == nil {
		t.known = make([]int8, t.dict().n)
	}
	if t.known[i] == 0 {
		t.known[i] = -1
		if t.passes(view(t.dict().values.text(int(i)))) {
			t.known[i] = 1
		}
	}
	return t.known[i] > 0
}

func (t *textTest) never() bool {
	if bloomExcludes(t.reader, t.patterns) {
		return true
	}
	return t.wholeDictionary() && !t.anyEntry() && (maxLevels[t.leaf].definition == 0 || !t.passes(""))
}

func (t *textTest) anyEntry() bool {
	for i := range t.dict().n {
		if t.entry(uint32(i)) {
			return true
		}
	}
	return false
}

// wholeDictionary reports whether every value of a column is in its dictionary.
func (r *reader) wholeDictionary() bool {
	stats := r.meta.EncodingStats
	for _, s := range stats {
		if s.PageType != format.DictionaryPage && s.Encoding != format.RLEDictionary {
			return false
		}
	}
	return len(stats) > 0 && r.meta.DictionaryPageOffset != 0
}

// bloomExcludes reports whether a column has none of the values, which are exact.
func bloomExcludes(r *reader, patterns []string) bool {
	if r.meta.BloomFilterOffset == 0 || slices.ContainsFunc(patterns, func(p string) bool { return strings.HasPrefix(p, "*") || strings.HasSuffix(p, "*") }) {
		return false
	}
	filter := r.file.BloomFilter()
	if filter == nil {
		return false
	}
	for _, p := range patterns {
		if found, err := filter.Check(parquet.ByteArrayValue([]byte(p))); found || err != nil {
			return false // a damaged filter hides nothing
		}
	}
	return true
}

func (t *textTest) keep(rows []int32) []int32 {
	kept := rows[:0]
	for len(rows) > 0 {
		page := t.pageOf(int(rows[0]))
		end := int32(t.locations[page].first + t.locations[page].rows)
		n := sort.Search(len(rows), func(i int) bool { return rows[i] >= end })
		here := rows[:n]
		rows = rows[n:]
		if t.bounds.allNull(page) {
			if t.passes("") {
				kept = append(kept, here...)
			}
			continue
		}
		if t.page != page {
			if same, ok := t.bounds.constant(page); ok {
				if t.passes(string(same)) {
					kept = append(kept, here...)
				}
				continue
			}
		}
		t.load(int(here[0]))
		kept = t.keepLoaded(kept, here)
	}
	return kept
}

func (t *textTest) keepLoaded(kept, rows []int32) []int32 {
	if t.values.indexed && maxLevels[t.leaf].definition == 0 && len(rows) > t.rows/16 {
		first, indexes := int32(t.first), t.values.unpacked()
		for _, row := range rows {
			if t.entry(indexes[row-first]) {
				kept = append(kept, row)
			}
		}
		return kept
	}
	empty := t.passes("")
	for _, row := range rows {
		i := t.at(int(row))
		passes := empty
		if i >= 0 {
			if t.values.indexed {
				passes = t.entry(t.values.index(i))
			} else {
				passes = t.passes(view(t.values.text(i)))
			}
		}
		if passes {
			kept = append(kept, row)
		}
	}
	return kept
}

// listTest passes where an item of a list does.
type listTest struct{ textTest }

func newListTest(g *rowGroup, leaf int, patterns []string) *listTest {
	return &listTest{textTest{reader: g.column(leaf), patterns: patterns}}
}

func (t *listTest) never() bool { return t.wholeDictionary() && !t.anyEntry() }

func (t *listTest) keep(rows []int32) []int32 {
	kept := rows[:0]
	for _, row := range rows {
		if t.bounds.allNull(t.pageOf(int(row))) {
			continue
		}
		t.load(int(row))
		from, to, value := t.entries(int(row))
		for e := from; e < to; e++ {
			if !t.has(e) {
				continue
			}
			if t.item(value) {
				kept = append(kept, row)
				break
			}
			value++
		}
	}
	return kept
}

func (t *listTest) item(i int) bool {
	if t.values.indexed {
		return t.entry(t.values.index(i))
	}
	return t.passes(view(t.values.text(i)))
}

// eitherTest passes where one of two does.
type eitherTest struct {
	a, b           test
	neverA, neverB bool // as never has found them
}

func (t *eitherTest) never() bool {
	t.neverA, t.neverB = t.a.never(), t.b.never()
	return t.neverA && t.neverB
}

func (t *eitherTest) keep(rows []int32) []int32 {
	if t.neverB {
		return t.a.keep(rows)
	}
	if t.neverA {
		return t.b.keep(rows)
	}
	a := t.a.keep(slices.Clone(rows))
	// b is asked for those that a did not keep.
	left := make([]int32, 0, len(rows)-len(a))
	at := 0
	for _, row := range rows {
		if at < len(a) && a[at] == row {
			at++
			continue
		}
		left = append(left, row)
	}
	b := t.b.keep(left)
	if len(b) == 0 {
		return append(rows[:0], a...)
	}
	kept := append(append(rows[:0], a...), b...)
	slices.Sort(kept)
	return kept
}

// codeTest holds the status against patterns.
type codeTest struct {
	*reader
	patterns []string
}

func (t *codeTest) passes(code int64) bool {
	return slices.ContainsFunc(t.patterns, func(p string) bool { return audit.MatchesCode(p, int32(code)) })
}

func (t *codeTest) never() bool {
	return t.wholeDictionary() && !slices.ContainsFunc(t.dict().values.numbers, t.passes)
}

func (t *codeTest) keep(rows []int32) []int32 {
	kept := rows[:0]
	for _, row := range rows {
		if code, _ := t.number(int(row)); t.passes(code) {
			kept = append(kept, row)
		}
	}
	return kept
}

// resourceTest holds group, resource and subresource against patterns.
type resourceTest struct {
	name            *textTest
	group, sub      *reader
	patterns        []string
	resource        *reader
	lastG, lastR    string // of the row before, and what was said of it
	lastS           string
	lastPass, asked bool
}

func newResourceTest(g *rowGroup, patterns []string) *resourceTest {
	var names []string
	for _, p := range patterns {
		name, _, _ := strings.Cut(p, "/")
		name, _, _ = strings.Cut(name, ".")
		names = append(names, name)
	}
	return &resourceTest{name: newTextTest(g, colResource, names), group: g.column(colAPIGroup), sub: g.column(colSubresource), resource: g.column(colResource), patterns: patterns}
}

func (t *resourceTest) never() bool { return t.name.never() }

func (t *resourceTest) keep(rows []int32) []int32 {
	rows = t.name.keep(rows)
	kept := rows[:0]
	for _, row := range rows {
		group, _ := t.group.text(int(row))
		resource, _ := t.resource.text(int(row))
		sub, _ := t.sub.text(int(row))
		if !t.asked || group != t.lastG || resource != t.lastR || sub != t.lastS {
			t.asked, t.lastG, t.lastR, t.lastS = true, group, resource, sub
			t.lastPass = slices.ContainsFunc(t.patterns, func(p string) bool { return audit.MatchesResource(p, group, resource, sub) })
		}
		if t.lastPass {
			kept = append(kept, row)
		}
	}
	return kept
}

// partTest finds a part of texts.
type partTest struct {
	*reader
	part []byte
	has  []bool // by entry of the dictionary, once it was looked at
	none bool   // no entry has it
}

// look finds the entries of the dictionary that have the part.
func (t *partTest) look() {
	if t.has != nil {
		return
	}
	d := t.dict()
	t.has, t.none = make([]bool, d.n), true
	d.values.search(t.part, func(i int) { t.has[i], t.none = true, false })
}

func (t *partTest) never() bool {
	if !t.wholeDictionary() {
		return false
	}
	t.look()
	return t.none
}

func (t *partTest) keep(rows []int32) []int32 {
	kept := rows[:0]
	for len(rows) > 0 {
		t.load(int(rows[0]))
		end := int32(t.first + t.rows)
		n := sort.Search(len(rows), func(i int) bool { return rows[i] >= end })
		here := rows[:n]
		rows = rows[n:]
		switch {
		case t.values.indexed:
			t.look()
			indexes := t.values.unpacked()
			for _, row := range here {
				if t.has[indexes[int(row)-t.first]] {
					kept = append(kept, row)
				}
			}
		case len(here) < t.rows/4:
			for _, row := range here {
				if bytes.Contains(t.values.text(int(row)-t.first), t.part) {
					kept = append(kept, row)
				}
			}
		default:
			kept = t.search(kept, here)
		}
	}
	return kept
}

// search keeps the rows of the page that have the part.
func (t *partTest) search(kept, rows []int32) []int32 {
	next := 0
	t.values.search(t.part, func(i int) {
		row := int32(t.first + i)
		for next < len(rows) && rows[next] < row {
			next++
		}
		if next < len(rows) && rows[next] == row {
			kept = append(kept, row)
			next++
		}
	})
	return kept
}

// search looks through all texts at once, and then whose text a place is in.
func (v *values) search(part []byte, found func(i int)) {
	for at := 0; ; {
		i := bytes.Index(v.data[at:], part)
		if i < 0 {
			return
		}
		at += i
		text := sort.Search(len(v.ends), func(j int) bool { return int(v.ends[j]) > at })
		if text == len(v.ends) {
			return
		}
		from, to := int(v.ends[text])-len(v.text(text)), int(v.ends[text])
		if at < from || at+len(part) > to {
			at++ // over the length of a text, or the end of one
			continue
		}
		found(text)
		at = to
	}
}
