package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Facts are the facts of every segment there is.
func (c *Catalog) Facts(ctx context.Context) (map[uint64]*Facts, error) {
	rows, err := c.db.QueryContext(ctx, "SELECT segment, facts FROM segments")
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	defer rows.Close()
	found := map[uint64]*Facts{}
	for rows.Next() {
		var n int64
		var packed []byte
		if err := rows.Scan(&n, &packed); err != nil {
			return nil, fmt.Errorf("read catalog: %w", err)
		}
		f := new(Facts)
		raw, err := c.decoder.DecodeAll(packed, nil)
		if err == nil {
			err = json.Unmarshal(raw, f)
		}
		if err != nil {
			return nil, fmt.Errorf("read catalog: %w: facts of segment %x: %w", ErrDamaged, n, err)
		}
		found[uint64(n)] = f
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	return found, nil
}

// Snapshot is the catalog at one moment: what is removed meanwhile stays in it.
type Snapshot struct {
	tx       *sql.Tx
	decoder  *zstd.Decoder
	segments map[uint64]bool
}

// Snapshot begins one. It is to be closed.
func (c *Catalog) Snapshot(ctx context.Context) (*Snapshot, error) {
	tx, err := c.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	s := &Snapshot{tx: tx, decoder: c.decoder, segments: map[uint64]bool{}}
	rows, err := tx.QueryContext(ctx, "SELECT segment FROM segments")
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			s.Close()
			return nil, fmt.Errorf("read catalog: %w", err)
		}
		s.segments[uint64(n)] = true
	}
	if err := rows.Err(); err != nil {
		s.Close()
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	return s, nil
}

// Close ends it. A nil Snapshot has nothing.
func (s *Snapshot) Close() {
	if s != nil {
		_ = s.tx.Rollback()
	}
}

// Has reports whether a segment is in it.
func (s *Snapshot) Has(segment uint64) bool { return s != nil && s.segments[segment] }

// Requests are the distinct requests of a segment. One pack is held at a time.
func (s *Snapshot) Requests(ctx context.Context, segment uint64) Source {
	return func(yield func(*Entry, error) bool) {
		for pack := 0; ; pack++ {
			var packed []byte
			err := s.tx.QueryRowContext(ctx, "SELECT entries FROM requests WHERE segment = ? AND pack = ?", int64(segment), pack).Scan(&packed)
			if err == sql.ErrNoRows {
				return
			}
			var entries []Entry
			if err == nil {
				entries, err = unpack(s.decoder, packed)
			}
			if err != nil {
				yield(nil, fmt.Errorf("read catalog: requests of segment %x: %w", segment, err))
				return
			}
			for i := range entries {
				if !yield(&entries[i], nil) {
					return
				}
			}
		}
	}
}

// Counts are the roll-ups of some segments, and of what is not in the catalog, in the hours
// of from to before to, summed and in the order of hours. A zero bound is none.
func (s *Snapshot) Counts(ctx context.Context, segments map[uint64]bool, beside []*Summary, from, to time.Time) iter.Seq2[Count, error] {
	return func(yield func(Count, error) bool) {
		sums := map[Count]int64{} // by all but the count
		lower, upper := int64(math.MinInt64), int64(math.MaxInt64)
		if !from.IsZero() {
			lower = hourOf(from)
		}
		if !to.IsZero() {
			upper = hourOf(to.Add(-time.Microsecond))
		}
		add := func(n Count) {
			if h := hourOf(n.Hour); h < lower || h > upper {
				return
			}
			count := n.Count
			n.Count = 0
			sums[n] += count
		}
		for _, summary := range beside {
			for _, n := range summary.Counts {
				add(n)
			}
		}
		for segment := range segments {
			if err := s.segmentCounts(ctx, segment, add); err != nil {
				yield(Count{}, err)
				return
			}
		}
		for _, n := range slices.SortedFunc(maps.Keys(sums), compareCounts) {
			count := sums[n]
			n.Count = count
			if !yield(n, nil) {
				return
			}
		}
	}
}

func compareCounts(a, b Count) int {
	return cmp.Or(a.Hour.Compare(b.Hour), cmp.Compare(a.Verb, b.Verb), cmp.Compare(a.Resource, b.Resource),
		cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Decision, b.Decision))
}

func (s *Snapshot) segmentCounts(ctx context.Context, segment uint64, add func(Count)) error {
	var packed []byte
	err := s.tx.QueryRowContext(ctx, "SELECT counts FROM segments WHERE segment = ?", int64(segment)).Scan(&packed)
	if err == sql.ErrNoRows {
		return nil
	}
	if err == nil {
		err = unpackCounts(s.decoder, packed, add)
	}
	if err != nil {
		return fmt.Errorf("read catalog: counts of segment %x: %w", segment, err)
	}
	return nil
}
