package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/gatehouse-io/gatehouse/audit"
)

const (
	// packVersion is the first byte of a pack.
	packVersion = 1
	// entriesInPack is how many entries are packed together: what a merge holds of each
	// segment.
	entriesInPack = 1024
	// mostUnpacked bounds what a damaged pack can claim.
	mostUnpacked = 64 << 20
)

var errPack = errors.New("packed requests are damaged")

// packer packs entries. It is not safe for concurrent use.
type packer struct {
	encoder *zstd.Encoder
	texts   map[string]uint64
	table   []byte
	body    []byte
	// subject is what was told of the subject of the entry before, in body.
	subject struct{ from, to int }
}

func newPacker() (*packer, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithAllLitEntropyCompression(true), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, fmt.Errorf("pack requests: %w", err)
	}
	return &packer{encoder: encoder, texts: map[string]uint64{}}, nil
}

// pack makes one pack of some entries. Texts are told once, and referred to.
func (p *packer) pack(entries []Entry) []byte {
	p.begin()
	p.body = binary.AppendUvarint(p.body, uint64(len(entries)))
	var before *Entry
	for i := range entries {
		p.entry(&entries[i], before)
		before = &entries[i]
	}
	return p.end()
}

func (p *packer) begin() {
	clear(p.texts)
	p.table, p.body = p.table[:0], p.body[:0]
}

// end is the texts and what refers to them.
func (p *packer) end() []byte {
	raw := append([]byte{packVersion}, binary.AppendUvarint(nil, uint64(len(p.texts)))...)
	raw = append(append(raw, p.table...), p.body...)
	return p.encoder.EncodeAll(raw, nil)
}

func (p *packer) text(s string) {
	n, ok := p.texts[s]
	if !ok {
		n = uint64(len(p.texts))
		p.texts[s] = n
		p.table = appendText(p.table, s)
	}
	p.number(n)
}

func (p *packer) number(n uint64) { p.body = binary.AppendUvarint(p.body, n) }
func (p *packer) signed(n int64)  { p.body = binary.AppendVarint(p.body, n) }

func (p *packer) list(all []string) {
	p.number(uint64(len(all)))
	for _, s := range all {
		p.text(s)
	}
}

// Flags of an entry.
const (
	groupsUnknown = 1 << iota
	nameOmitted
	sameGroup // as the entry before: what they have in common is not told again
)

func (p *packer) entry(e, before *Entry) {
	r := e.request
	flags := uint64(0)
	if r.GroupsUnknown {
		flags |= groupsUnknown
	}
	if e.omitted {
		flags |= nameOmitted
	}
	if before != nil && before.group == e.group {
		flags |= sameGroup
	}
	p.number(flags)
	if flags&sameGroup == 0 {
		if before != nil && before.group[:before.subject] == e.group[:e.subject] {
			p.body = append(p.body, p.body[p.subject.from:p.subject.to]...)
		} else {
			p.subject.from = len(p.body)
			p.subjectOf(r)
			p.subject.to = len(p.body)
		}
		for _, s := range [...]string{r.Verb, r.APIGroup, r.APIVersion, r.Resource, r.Subresource, r.Namespace, r.Decision} {
			p.text(s)
		}
	}
	p.text(e.name)
	p.number(uint64(len(e.Hours)))
	last := int64(0)
	for _, h := range e.Hours {
		first := h.First.UnixMicro()
		p.signed(first - last)
		p.signed(h.Last.UnixMicro() - first)
		p.signed(h.Count)
		p.text(h.Reason)
		last = first
	}
}

// subjectOf tells of whom a request is.
func (p *packer) subjectOf(r *audit.Request) {
	p.text(r.User)
	p.text(r.Impersonator)
	p.list(r.Groups)
	p.number(uint64(len(r.Extra)))
	for _, k := range slices.Sorted(maps.Keys(r.Extra)) {
		p.text(k)
		p.list(r.Extra[k])
	}
}

// packCounts packs roll-ups.
func (p *packer) packCounts(counts []Count) []byte {
	p.begin()
	p.number(uint64(len(counts)))
	for i := range counts {
		n := &counts[i]
		p.signed(hourOf(n.Hour))
		for _, s := range [...]string{n.Verb, n.Resource, n.Namespace, n.Decision} {
			p.text(s)
		}
		p.signed(int64(n.Class))
		p.signed(n.Count)
	}
	return p.end()
}

// unpackCounts reads roll-ups.
func unpackCounts(decoder *zstd.Decoder, packed []byte, add func(Count)) error {
	u, err := newUnpacker(decoder, packed)
	if err != nil {
		return err
	}
	for range u.count() {
		n := Count{Hour: time.Unix(u.signed()*3600, 0).UTC(), Verb: u.text(), Resource: u.text(), Namespace: u.text(), Decision: u.text()}
		n.Class, n.Count = int(u.signed()), u.signed()
		if u.bad {
			return errPack
		}
		add(n)
	}
	if u.bad || u.at != len(u.s) {
		return errPack
	}
	return nil
}

// newDecoder makes what unpacks. It is safe for concurrent use.
func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(mostUnpacked), zstd.WithDecoderLowmem(true))
}

// newUnpacker reads the texts of a pack.
func newUnpacker(decoder *zstd.Decoder, packed []byte) (*unpacker, error) {
	raw, err := decoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPack, err)
	}
	u := &unpacker{s: string(raw)}
	if u.byte() != packVersion {
		return nil, errPack
	}
	for range u.count() {
		n := u.number()
		if n > uint64(len(u.s)-u.at) {
			return nil, errPack
		}
		u.texts = append(u.texts, u.s[u.at:u.at+int(n)])
		u.at += int(n)
	}
	return u, nil
}

// unpack reads a pack.
func unpack(decoder *zstd.Decoder, packed []byte) (entries []Entry, err error) {
	u, err := newUnpacker(decoder, packed)
	if err != nil {
		return nil, err
	}
	n := u.count()
	entries = make([]Entry, 0, min(n, entriesInPack))
	for range n {
		entries = append(entries, u.entry())
		if u.bad {
			return nil, errPack
		}
	}
	if u.bad || u.at != len(u.s) {
		return nil, errPack
	}
	return entries, nil
}

type unpacker struct {
	s     string
	at    int
	texts []string
	bad   bool
	key   []byte
	// Of the entry before.
	request *audit.Request
	group   string
	subject int
}

func (u *unpacker) byte() byte {
	if u.at >= len(u.s) {
		u.bad = true
		return 0
	}
	u.at++
	return u.s[u.at-1]
}

func (u *unpacker) number() (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		b := u.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	u.bad = true
	return 0
}

func (u *unpacker) signed() int64 {
	n := u.number()
	return int64(n>>1) ^ -int64(n&1)
}

// count is of things that have a byte at least.
func (u *unpacker) count() int {
	n := u.number()
	if n > uint64(len(u.s)-u.at) {
		u.bad, u.at = true, len(u.s)
		return 0
	}
	return int(n)
}

func (u *unpacker) text() string {
	n := u.number()
	if n >= uint64(len(u.texts)) {
		u.bad = true
		return ""
	}
	return u.texts[n]
}

func (u *unpacker) list() []string {
	n := u.count()
	if n == 0 {
		return nil
	}
	all := make([]string, 0, min(n, 64))
	for range n {
		if all = append(all, u.text()); u.bad {
			return nil
		}
	}
	return all
}

func (u *unpacker) entry() (e Entry) {
	flags := u.number()
	if flags&sameGroup == 0 {
		u.request = u.common()
		u.request.GroupsUnknown = flags&groupsUnknown != 0
		u.key, u.subject = appendGroupKey(u.key[:0], u.request)
		u.group = string(u.key)
	} else if u.request == nil {
		u.bad = true
		return e
	}
	e.request, e.group, e.subject, e.omitted = u.request, u.group, u.subject, flags&nameOmitted != 0
	e.name = u.text()
	n := u.count()
	e.Hours = make([]Hour, 0, min(n, 64))
	first := int64(0)
	for range n {
		first += u.signed()
		h := Hour{First: time.UnixMicro(first).UTC(), Last: time.UnixMicro(first + u.signed()).UTC(), Count: u.signed(), Reason: u.text()}
		if e.Hours = append(e.Hours, h); u.bad {
			return e
		}
	}
	return e
}

// common is what the entries of a group have in common.
func (u *unpacker) common() *audit.Request {
	r := &audit.Request{User: u.text(), Impersonator: u.text(), Groups: u.list()}
	if n := u.count(); n > 0 {
		r.Extra = make(map[string][]string, min(n, 64))
		for range n {
			k := u.text()
			if r.Extra[k] = u.list(); u.bad {
				return r
			}
		}
	}
	for _, field := range [...]*string{&r.Verb, &r.APIGroup, &r.APIVersion, &r.Resource, &r.Subresource, &r.Namespace, &r.Decision} {
		*field = u.text()
	}
	return r
}

// within is the entry in the hours that have a part of a time; false where it has none.
func (e *Entry) within(from, to time.Time) (*Entry, bool) {
	outside := func(h Hour) bool {
		return !from.IsZero() && h.Last.Before(from) || !to.IsZero() && !h.First.Before(to)
	}
	if !slices.ContainsFunc(e.Hours, outside) {
		return e, true
	}
	part := *e
	part.Hours = nil
	for _, h := range e.Hours {
		if !outside(h) {
			part.Hours = append(part.Hours, h)
		}
	}
	return &part, len(part.Hours) > 0
}
