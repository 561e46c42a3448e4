package chain

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// Source is what Verify looks at: a folder, a store, or a part of a bucket.
type Source interface {
	// Names are the names of all files of the chain, links and segments, in any order.
	Names(ctx context.Context) ([]string, error)
	// Read is the whole of a small file: a link, or the head under HeadName. It is
	// fs.ErrNotExist where there is none.
	Read(ctx context.Context, name string) ([]byte, error)
	// Open streams a segment.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
}

// VerifyOptions say what is asked of a chain.
type VerifyOptions struct {
	// Key is the public key that must have signed; nil to take Trust's word.
	Key *PublicKey
	// ExpectHead is a head that was seen before: the chain must still have its newest
	// link, or one that replaces it, unless retention has removed it.
	ExpectHead *Head
	// Expired says of which links the segment may be gone, by a rule that the chain does
	// not know of; nil for none.
	Expired func(l *Link) bool
	// LinksOnly leaves out hashing the segments.
	LinksOnly bool
	// Progress is called with each segment that was looked at; nil for nobody.
	Progress func(l *Link, done, of int)
}

// Kinds of a Fault.
const (
	Changed   = "changed"
	Removed   = "removed"
	Reordered = "reordered"
	Added     = "added"
	Unsigned  = "unsigned"
)

// Fault is the first thing that is wrong with a chain.
type Fault struct {
	Kind string `json:"kind"`
	// Sequence and Segment are of the segment. Both are empty where it is the head, and
	// one of them where it cannot be told.
	Sequence uint64 `json:"sequence,omitempty"`
	Segment  string `json:"segment,omitempty"`
	Detail   string `json:"detail"`
}

func (f *Fault) String() string {
	switch {
	case f.Segment == "" && f.Sequence == 0:
		return fmt.Sprintf("the head of the chain was %s: %s", f.Kind, f.Detail)
	case f.Segment == "":
		return fmt.Sprintf("segment %d was %s: %s", f.Sequence, f.Kind, f.Detail)
	case f.Sequence == 0:
		return fmt.Sprintf("%s was %s: %s", f.Segment, f.Kind, f.Detail)
	}
	return fmt.Sprintf("segment %d (%s) was %s: %s", f.Sequence, f.Segment, f.Kind, f.Detail)
}

// Report is what Verify found.
type Report struct {
	// Segments, Rows and Bytes are what was found to be right.
	Segments    int       `json:"segments"`
	Rows        int64     `json:"rows"`
	Bytes       int64     `json:"bytes"`
	First, Last time.Time `json:"-"`
	// Head is the head, where there is one.
	Head *Head `json:"head,omitempty"`
	// Ahead are links behind the head: those of a crash before the head was written.
	Ahead int `json:"ahead,omitempty"`
	// Replaced are segments that are still there although another stands for them.
	Replaced int `json:"replaced,omitempty"`
	// Key is the ID of the key that signed.
	Key string `json:"key,omitempty"`
	// Fault is nil where nothing is wrong.
	Fault *Fault `json:"fault,omitempty"`
}

// Verify looks at a whole chain in its order, and names the first segment that was
// changed, removed, reordered or added. The error is of what could not be read for other
// reasons. It hashes as it reads, whatever the size of a segment.
//
// Who has the signing key can make another chain; pin the public key and remember heads
// elsewhere. Who can write the files, without the key, can put back an older head and
// remove the newest segments, which looks as the store did at that time: ExpectHead finds
// that.
func Verify(ctx context.Context, source Source, options VerifyOptions) (Report, error) {
	v := &verifier{source: source, options: options}
	if options.Key == nil {
		return Report{}, fmt.Errorf("verify chain: no public key is given")
	}
	fault, err := v.all(ctx)
	if err != nil {
		return v.report, fmt.Errorf("verify chain: %w", err)
	}
	v.report.Fault = fault
	return v.report, nil
}

type verifier struct {
	source   Source
	options  VerifyOptions
	report   Report
	links    []*Link // in order, those that are replaced left out
	replaced []*Link
	segments map[string]bool // names of segments that no link has spoken of
	broken   []*Fault        // of links, which are left out of the others
	bySum    map[segment.Digest]*Link
}

func (v *verifier) all(ctx context.Context) (*Fault, error) {
	v.report.Key = v.options.Key.ID()
	if fault, err := v.head(ctx); fault != nil || err != nil {
		return fault, err
	}
	if fault, err := v.collect(ctx); fault != nil || err != nil {
		return fault, err
	}
	if fault := v.start(); fault != nil {
		return v.because(fault), nil
	}
	for i, l := range v.links {
		if fault := v.brokenBefore(l.Sequence); fault != nil {
			return fault, nil
		}
		if i > 0 {
			if fault := follows(v.links[i-1], l); fault != nil {
				return v.because(fault), nil
			}
		}
		if fault, err := v.segment(ctx, l); fault != nil || err != nil {
			return fault, err
		}
		v.report.Segments++
		v.report.Rows += l.Rows
		v.report.Bytes += l.Bytes
		if v.report.First.IsZero() || l.First.Before(v.report.First) {
			v.report.First = l.First
		}
		if l.Last.After(v.report.Last) {
			v.report.Last = l.Last
		}
		if v.options.Progress != nil {
			v.options.Progress(l, i+1, len(v.links))
		}
	}
	if len(v.broken) > 0 {
		return v.broken[0], nil
	}
	if fault := v.end(); fault != nil {
		return fault, nil
	}
	for _, name := range slices.Sorted(keysOf(v.segments)) {
		return &Fault{Kind: Added, Segment: name, Detail: "no link of the chain speaks of it"}, nil
	}
	return nil, nil
}

func (v *verifier) head(ctx context.Context) (*Fault, error) {
	data, err := v.source.Read(ctx, HeadName)
	if isNotExist(err) {
		return nil, nil // start says what that means
	}
	if err != nil {
		return nil, err
	}
	h, err := ParseHead(data)
	if err != nil {
		return &Fault{Kind: Changed, Detail: err.Error()}, nil
	}
	if !v.options.Key.HasSignedHead(h) {
		return &Fault{Kind: Changed, Detail: signatureDetail(*v.options.Key, h.Key)}, nil
	}
	v.report.Head = h
	return nil, nil
}

// brokenBefore is the first of the broken links that says it is before a sequence.
func (v *verifier) brokenBefore(sequence uint64) *Fault {
	var first *Fault
	for _, f := range v.broken {
		if f.Sequence > 0 && f.Sequence < sequence && (first == nil || f.Sequence < first.Sequence) {
			first = f
		}
	}
	return first
}

// because is the broken link that a hole in the chain comes of, where there is one that
// fits, and the hole else.
func (v *verifier) because(hole *Fault) *Fault {
	for _, f := range v.broken {
		if hole.Kind == Removed && hole.Segment == "" && (f.Sequence == 0 || f.Sequence == hole.Sequence) {
			return f
		}
	}
	return hole
}

func signatureDetail(key PublicKey, by string) string {
	if key.ID() != by {
		return fmt.Sprintf("it is signed with the key %s, not %s", by, key.ID())
	}
	return "its signature does not match"
}

// collect reads all links, and sorts out those that another replaces.
func (v *verifier) collect(ctx context.Context) (*Fault, error) {
	names, err := v.source.Names(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	v.segments, v.bySum = map[string]bool{}, map[segment.Digest]*Link{}
	var all []*Link
	for _, name := range names {
		if name == HeadName {
			continue
		}
		of, isLink := strings.CutSuffix(name, LinkSuffix)
		if !isLink {
			v.segments[name] = true
			continue
		}
		data, err := v.source.Read(ctx, name)
		if err != nil {
			return nil, err
		}
		l, err := ParseLink(data)
		switch {
		case err != nil:
			v.broken = append(v.broken, &Fault{Kind: Changed, Segment: of, Detail: "its link: " + err.Error()})
			continue
		case !v.options.Key.HasSigned(l):
			v.broken = append(v.broken, &Fault{Kind: Changed, Sequence: l.Sequence, Segment: of, Detail: "its link: " + signatureDetail(*v.options.Key, l.Key)})
			continue
		case l.Segment != of:
			v.broken = append(v.broken, &Fault{Kind: Reordered, Sequence: l.Sequence, Segment: of, Detail: "its link is that of " + l.Segment})
			continue
		}
		all = append(all, l)
		v.bySum[l.SHA256] = l
	}
	// Of links over the same sequences, the one that spans most stands for the others.
	slices.SortFunc(all, func(a, b *Link) int {
		return cmp.Or(cmp.Compare(a.FirstSequence, b.FirstSequence), cmp.Compare(b.Sequence, a.Sequence), cmp.Compare(a.Segment, b.Segment))
	})
	for _, l := range all {
		if n := len(v.links); n > 0 && l.Sequence <= v.links[n-1].Sequence {
			last := v.links[n-1]
			if len(last.Replaces) == 0 {
				return &Fault{Kind: Added, Sequence: l.Sequence, Segment: l.Segment, Detail: fmt.Sprintf("%s has the sequence %d too", last.Segment, last.Sequence)}, nil
			}
			v.replaced = append(v.replaced, l)
			delete(v.segments, l.Segment)
			continue
		}
		v.links = append(v.links, l)
	}
	v.report.Replaced = len(v.replaced)
	// What retention was removing when it was killed is before the head's start.
	if h := v.report.Head; h != nil {
		for len(v.links) > 0 && v.links[0].Sequence < h.Start {
			delete(v.segments, v.links[0].Segment)
			v.links = v.links[1:]
			v.report.Replaced++
		}
	}
	return nil, nil
}

// start holds the first link against the head's start.
func (v *verifier) start() *Fault {
	h := v.report.Head
	if h == nil {
		if len(v.links) > 0 && v.links[0].FirstSequence != 1 {
			return &Fault{Kind: Removed, Detail: "the chain begins in the middle, and there is no head to say why"}
		}
		// A chain whose first link was written, and whose head was not, has one link.
		if len(v.links) > 1 {
			return &Fault{Kind: Removed, Detail: fmt.Sprintf("there are %d links and no head", len(v.links))}
		}
		if len(v.links) == 0 && v.options.ExpectHead != nil {
			return &Fault{Kind: Removed, Detail: "there is no chain any more"}
		}
		return nil
	}
	if len(v.links) == 0 {
		if h.Start <= h.Sequence {
			return &Fault{Kind: Removed, Sequence: h.Start, Detail: "no segment is left of those that should be kept"}
		}
		return nil
	}
	first := v.links[0]
	switch {
	case first.FirstSequence > h.Start:
		return &Fault{Kind: Removed, Sequence: h.Start, Detail: fmt.Sprintf("the oldest that is left is %d (%s), and retention has removed none from %d on", first.FirstSequence, first.Segment, h.Start)}
	case first.FirstSequence < h.Start:
		return &Fault{Kind: Changed, Sequence: first.Sequence, Segment: first.Segment, Detail: "it reaches over what retention has removed"}
	case first.Previous != h.Before:
		return &Fault{Kind: Changed, Sequence: first.Sequence, Segment: first.Segment, Detail: "it does not follow what retention has removed"}
	}
	return nil
}

// follows holds a link against the one before.
func follows(before, l *Link) *Fault {
	if l.FirstSequence != before.Sequence+1 {
		return &Fault{Kind: Removed, Sequence: before.Sequence + 1, Detail: fmt.Sprintf("%s is followed by %s", before.Segment, l.Segment)}
	}
	if !before.goesBy(l.Previous) {
		return &Fault{Kind: Changed, Sequence: before.Sequence, Segment: before.Segment, Detail: "it is not the one that " + l.Segment + " follows"}
	}
	return nil
}

// end holds the newest link against the head, and what was expected.
func (v *verifier) end() *Fault {
	h := v.report.Head
	if h != nil && h.Start <= h.Sequence {
		if fault := v.holds(h, "the head"); fault != nil {
			return fault
		}
	}
	for _, l := range v.links {
		if h == nil || l.FirstSequence > h.Sequence {
			v.report.Ahead++
		}
	}
	if e := v.options.ExpectHead; e != nil && e.Sequence > 0 {
		if !v.options.Key.HasSignedHead(e) {
			return &Fault{Kind: Changed, Detail: "the head that is expected: " + signatureDetail(*v.options.Key, e.Key)}
		}
		if h != nil && e.Sequence < h.Start {
			return nil // retention has removed it since, which the head says
		}
		return v.holds(e, "the head that is expected")
	}
	return nil
}

// holds finds the newest link of a head in the chain.
func (v *verifier) holds(h *Head, what string) *Fault {
	for _, l := range v.links {
		if h.Sequence < l.FirstSequence || h.Sequence > l.Sequence {
			continue
		}
		// A link that replaces the head's in the middle of others knows it by Replaces.
		if !l.goesBy(h.Link) && !slices.Contains(l.Replaces, h.Link) {
			return &Fault{Kind: Changed, Sequence: l.Sequence, Segment: l.Segment, Detail: "it is not the link that " + what + " names"}
		}
		return nil
	}
	return &Fault{Kind: Removed, Sequence: h.Sequence, Detail: fmt.Sprintf("%s ends with %d, and the chain does not reach it", what, h.Sequence)}
}

// segment hashes a segment.
func (v *verifier) segment(ctx context.Context, l *Link) (*Fault, error) {
	if v.options.Expired != nil && v.options.Expired(l) {
		delete(v.segments, l.Segment)
		return nil, nil
	}
	if !v.segments[l.Segment] {
		return &Fault{Kind: Removed, Sequence: l.Sequence, Segment: l.Segment, Detail: "its link is there, and the file is not"}, nil
	}
	delete(v.segments, l.Segment)
	if v.options.LinksOnly {
		return nil, nil
	}
	f, err := v.source.Open(ctx, l.Segment)
	if isNotExist(err) {
		return &Fault{Kind: Removed, Sequence: l.Sequence, Segment: l.Segment, Detail: "its link is there, and the file is not"}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, contextReader{ctx, f})
	if err != nil {
		return nil, fmt.Errorf("read segment %s: %w", l.Segment, err)
	}
	var got segment.Digest
	sum.Sum(got[:0])
	if got == l.SHA256 {
		return nil, nil
	}
	if other := v.bySum[got]; other != nil {
		return &Fault{Kind: Reordered, Sequence: l.Sequence, Segment: l.Segment, Detail: fmt.Sprintf("it is what segment %d (%s) was", other.Sequence, other.Segment)}, nil
	}
	return &Fault{Kind: Changed, Sequence: l.Sequence, Segment: l.Segment, Detail: fmt.Sprintf("its %d bytes have the hash %.12s…, and were sealed as %d bytes with %.12s…", n, got, l.Bytes, l.SHA256)}, nil
}
