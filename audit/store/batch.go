package store

import (
	"context"
	"fmt"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/store/wal"
)

// Batch gathers events that are appended together. Each is encoded when it is added and
// not kept, so that its memory can be used for the next; its lists and maps may be
// remembered, and are not to be changed. It is for one goroutine at a time.
type Batch struct {
	store   *Store
	request *request
	encoder wal.Encoder
}

// Batch makes an empty one.
func (s *Store) Batch() *Batch {
	return &Batch{store: s, request: &request{done: make(chan error, 1)}}
}

// Add adds an event. With ErrTooLarge it is not added, and the others stay.
func (b *Batch) Add(e *audit.Event) error {
	if err := b.request.add(b.store.seed, e, b.encoder.Encode); err != nil {
		return fmt.Errorf("append audit events: %w", err)
	}
	return nil
}

// Len is how many events have been added.
func (b *Batch) Len() int { return len(b.request.rows) }

// Bytes is how large they are. A batch of more than some 200 MB cannot be appended.
func (b *Batch) Bytes() int { return len(b.request.bytes) }

// Append appends what was added as Store.Append does, and empties the batch, whatever
// comes of it.
func (b *Batch) Append(ctx context.Context) error {
	r := b.request
	if len(r.rows) == 0 {
		return nil
	}
	defer b.empty()
	if err := b.store.failure(); err != nil {
		return fmt.Errorf("append audit events: %w", err)
	}
	if len(r.bytes) > wal.MaxFrame {
		return fmt.Errorf("append audit events: %d events have more than %d bytes together: %w", len(r.rows), wal.MaxFrame, ErrTooLarge)
	}
	return b.store.put(ctx, r)
}

func (b *Batch) empty() {
	if b.request.empty(); cap(b.request.bytes) > largestRequest {
		b.request.bytes = nil
	}
}
