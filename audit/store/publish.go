package store

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync/atomic"

	"github.com/gatehouse-io/gatehouse/audit/bucket"
	"github.com/gatehouse-io/gatehouse/audit/chain"
)

// publishing is how far a publisher is.
type publishing struct {
	// known is set once it has said so, and never unset.
	known atomic.Bool
	// upTo is the sequence up to which everything is in the bucket.
	upTo atomic.Uint64
}

var _ bucket.Store = (*Store)(nil)

// Key signs the chain of the store.
func (s *Store) Key() *chain.Key { return s.key }

// Sealed implements bucket.Store.
func (s *Store) Sealed(_ context.Context, after uint64) ([]bucket.Sealed, error) {
	s.mu.RLock()
	live := s.manifest.live
	s.mu.RUnlock()
	live = live[behind(live, after):]
	found := make([]bucket.Sealed, len(live))
	for i := range live {
		found[i] = bucket.Sealed{Sequence: live[i].Sequence, Info: live[i].Info()}
	}
	return found, nil
}

// OpenSegment implements bucket.Store. One that compaction has replaced since is not
// there any more; what replaced it has the sequence of the last of its neighbours.
func (s *Store) OpenSegment(_ context.Context, want bucket.Sealed) (bucket.Content, error) {
	s.mu.RLock()
	live := s.manifest.live
	s.mu.RUnlock()
	i := slices.IndexFunc(live, func(l chain.Link) bool { return l.Sequence == want.Sequence && l.SHA256 == want.Info.SHA256 })
	if i < 0 {
		return nil, fmt.Errorf("open segment %d: it has been replaced", want.Sequence)
	}
	f, err := os.Open(s.dir.segment(live[i].Segment))
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	return f, nil
}

// Published implements bucket.Store.
func (s *Store) Published(_ context.Context, sequence uint64) error {
	s.publishing.upTo.Store(sequence)
	s.publishing.known.Store(true)
	return nil
}

// behind is the index of the first segment behind a sequence.
func behind(live []chain.Link, sequence uint64) int {
	i := slices.IndexFunc(live, func(l chain.Link) bool { return l.Sequence > sequence })
	if i < 0 {
		return len(live)
	}
	return i
}

// removable is how many of the oldest segments may be deleted.
func (s *Store) removable(live []chain.Link) int {
	switch {
	case !s.options.Publish:
		return len(live)
	case !s.publishing.known.Load():
		return 0
	}
	return behind(live, s.publishing.upTo.Load())
}

// joinable are the segments in parts within which they may be made one. Those that wait
// are not touched: the publisher may be copying one, and would then copy its events again
// in what replaced it.
func (s *Store) joinable(live []chain.Link) [][]chain.Link {
	switch {
	case !s.options.Publish:
		return [][]chain.Link{live}
	case !s.publishing.known.Load():
		return nil
	}
	return [][]chain.Link{live[:behind(live, s.publishing.upTo.Load())]}
}
