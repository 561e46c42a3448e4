package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// What the files of this package say that they are.
const (
	APIVersion = "gatehouse.io/v1alpha1"
	KindLink   = "AuditSegmentLink"
	KindHead   = "AuditChainHead"
	// LinkSuffix is what the name of a link has behind that of its segment.
	LinkSuffix = ".link.json"
	// HeadName is the name of the head.
	HeadName = "chain-head.json"
)

// Link seals one segment. It lies beside it as JSON, named as the segment and LinkSuffix.
type Link struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`

	// Sequence counts the segments of a chain from 1. Of a segment that replaces others
	// it is that of the last, and FirstSequence that of the first; of any other, they
	// are the same.
	Sequence      uint64 `json:"sequence"`
	FirstSequence uint64 `json:"firstSequence"`
	// Segment is the file's name, without folders, and what it is.
	Segment string         `json:"segment"`
	SHA256  segment.Digest `json:"sha256"`
	Bytes   int64          `json:"bytes"`
	Rows    int64          `json:"rows"`
	First   time.Time      `json:"first"`
	Last    time.Time      `json:"last"`

	// Previous is the Digest of the link before, zero for the first of a chain.
	Previous segment.Digest `json:"previous"`
	// Replaces are the digests of the links that this one stands for, in order.
	Replaces []segment.Digest `json:"replaces,omitempty"`
	// Names are the digests by which the link behind this one may name it, besides its
	// own: that of the last it replaces, and the Names of that.
	Names []segment.Digest `json:"names,omitempty"`

	// Key is the ID of the key, and Signature is made with it over all fields above.
	Key       string `json:"key"`
	Signature []byte `json:"signature"`
}

// Head is where a chain begins and ends. It is signed anew with each change; the zero
// Head is that of an empty chain.
type Head struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`

	// Start is the FirstSequence of the oldest segment that is kept, and Before the
	// digest of the link before it, which retention has removed; zero where nothing was.
	Start  uint64         `json:"start"`
	Before segment.Digest `json:"before"`
	// Sequence and Link are those of the newest link, also where it is not kept any more.
	Sequence uint64         `json:"sequence"`
	Link     segment.Digest `json:"link"`
	// Time is when this was signed.
	Time time.Time `json:"time"`

	Key       string `json:"key"`
	Signature []byte `json:"signature"`
}

// Info is what a link says of its segment.
func (l *Link) Info() segment.Info {
	return segment.Info{Rows: l.Rows, Bytes: l.Bytes, First: l.First, Last: l.Last, SHA256: l.SHA256}
}

// Digest identifies a link, its signature included.
func (l *Link) Digest() segment.Digest { return sha256.Sum256(marshal(l)) }

// goesBy reports whether a link may be named so by the one behind it.
func (l *Link) goesBy(name segment.Digest) bool {
	return l.Digest() == name || slices.Contains(l.Names, name)
}

// signed is what is signed of a link.
func (l Link) signed() []byte {
	l.Signature = nil
	return append([]byte("gatehouse audit link\n"), marshal(&l)...)
}

func (h Head) signed() []byte {
	h.Signature = nil
	return append([]byte("gatehouse audit head\n"), marshal(&h)...)
}

// Marshal is a link as its file has it.
func (l *Link) Marshal() []byte { return indent(marshal(l)) }

// Marshal is a head as its file has it.
func (h *Head) Marshal() []byte { return indent(marshal(h)) }

// ParseLink reads the file of a link. It does not look at the signature.
func ParseLink(data []byte) (*Link, error) {
	l := &Link{}
	if err := unmarshal(data, l); err != nil {
		return nil, fmt.Errorf("read link: %w", err)
	}
	if l.APIVersion != APIVersion || l.Kind != KindLink {
		return nil, fmt.Errorf("read link: it is a %s of %s, not a %s of %s", l.Kind, l.APIVersion, KindLink, APIVersion)
	}
	if l.FirstSequence == 0 || l.Sequence < l.FirstSequence {
		return nil, fmt.Errorf("read link: it is of segments %d to %d", l.FirstSequence, l.Sequence)
	}
	return l, nil
}

// ParseHead reads the file of a head. It does not look at the signature.
func ParseHead(data []byte) (*Head, error) {
	h := &Head{}
	if err := unmarshal(data, h); err != nil {
		return nil, fmt.Errorf("read head of chain: %w", err)
	}
	if h.APIVersion != APIVersion || h.Kind != KindHead {
		return nil, fmt.Errorf("read head of chain: it is a %s of %s, not a %s of %s", h.Kind, h.APIVersion, KindHead, APIVersion)
	}
	return h, nil
}

// marshal is deterministic: fields in their order, times in UTC.
func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // of a year beyond 9999 alone, which sealing refuses
	}
	return data
}

func indent(data []byte) []byte {
	var b bytes.Buffer
	json.Indent(&b, data, "", "  ")
	b.WriteByte('\n')
	return b.Bytes()
}

// unmarshal refuses fields that are not known: they would not be signed.
func unmarshal(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("something comes behind it")
	}
	return nil
}
