package chain

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// Seal makes the link of a new segment, the one behind the head. The order of writing is:
// the segment, its link, the head (Advance); after a crash, the head may be behind.
func (k *Key) Seal(head Head, name string, info segment.Info) (*Link, error) {
	l := &Link{
		Sequence: head.Sequence + 1, FirstSequence: head.Sequence + 1, Segment: name, Previous: head.Link,
	}
	l.describe(info)
	return k.sign(l)
}

// Replace makes the link of a segment that holds what neighbours held. The order of
// writing is: the segment, its link, the head where the last of them was its newest
// (Advance); and then the neighbours are removed.
func (k *Key) Replace(neighbours []*Link, name string, info segment.Info) (*Link, error) {
	if len(neighbours) == 0 {
		return nil, fmt.Errorf("replace segments: there are none")
	}
	first, last := neighbours[0], neighbours[len(neighbours)-1]
	l := &Link{FirstSequence: first.FirstSequence, Sequence: last.Sequence, Segment: name, Previous: first.Previous}
	var rows int64
	for i, n := range neighbours {
		if i > 0 && n.FirstSequence != neighbours[i-1].Sequence+1 {
			return nil, fmt.Errorf("replace segments: %s and %s are not neighbours", neighbours[i-1].Segment, n.Segment)
		}
		l.Replaces = append(l.Replaces, n.Digest())
		rows += n.Rows
	}
	if info.Rows > rows {
		return nil, fmt.Errorf("replace segments: %d events are to stand for %d", info.Rows, rows)
	}
	l.Names = append(append(l.Names, last.Digest()), last.Names...)
	l.describe(info)
	return k.sign(l)
}

func (l *Link) describe(info segment.Info) {
	l.SHA256, l.Bytes, l.Rows = info.SHA256, info.Bytes, info.Rows
	l.First, l.Last = info.First.UTC(), info.Last.UTC()
}

func (k *Key) sign(l *Link) (*Link, error) {
	if l.First.Year() > 9999 || l.Last.Year() > 9999 || l.First.Year() < 0 {
		return nil, fmt.Errorf("seal segment %s: its time %s to %s cannot be written", l.Segment, l.First, l.Last)
	}
	l.APIVersion, l.Kind, l.Key = APIVersion, KindLink, k.Public.ID()
	l.Signature = ed25519.Sign(k.private, l.signed())
	return l, nil
}

// Advance is the head whose newest link is this one: the one behind it, or one that
// replaces it.
func (k *Key) Advance(head Head, l *Link, now time.Time) Head {
	if head.Sequence == 0 {
		head.Start, head.Before = l.FirstSequence, l.Previous
	}
	head.Sequence, head.Link = l.Sequence, l.Digest()
	return k.signHead(head, now)
}

// Retain is the head of a chain whose oldest segment is this one, or which has none where
// it is nil. The order of writing is: the head, and then segments are removed with their
// links.
func (k *Key) Retain(head Head, oldest *Link, now time.Time) Head {
	head.Start, head.Before = head.Sequence+1, head.Link
	if oldest != nil {
		head.Start, head.Before = oldest.FirstSequence, oldest.Previous
	}
	return k.signHead(head, now)
}

func (k *Key) signHead(head Head, now time.Time) Head {
	head.APIVersion, head.Kind, head.Key = APIVersion, KindHead, k.Public.ID()
	head.Time = now.UTC().Truncate(time.Second)
	head.Signature = nil
	head.Signature = ed25519.Sign(k.private, head.signed())
	return head
}
