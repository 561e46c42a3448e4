package bucket

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// ReaderOptions say what of a bucket is read.
type ReaderOptions struct {
	// Cluster is the one that is read; all of them where it is empty.
	Cluster string
	// CacheBytes is how much of what was read is kept; 64 MiB where it is 0.
	CacheBytes int
}

// maxOpen is how many segments are kept open. One takes some hundred kilobytes.
const maxOpen = 256

// Reader reads the events of a bucket. It implements audit.Reader.
type Reader struct {
	bucket  *blob.Bucket
	options ReaderOptions
	blocks  *blocks
	ctx     context.Context // of reads, which ends with Close
	close   context.CancelFunc

	mu   sync.Mutex
	open map[openName]*segment.Segment
}

// openName is one version of an object: a file that was written anew is another.
type openName struct {
	key  string
	size int64
	at   time.Time
}

var _ audit.Reader = (*Reader)(nil)

// NewReader checks the options. It does not touch the bucket, which stays its owner's.
func NewReader(b *blob.Bucket, o ReaderOptions) (*Reader, error) {
	if o.Cluster != "" {
		if err := checkName("cluster", o.Cluster); err != nil {
			return nil, fmt.Errorf("read audit bucket: %w", err)
		}
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Reader{bucket: b, options: o, blocks: newBlocks(b, o.CacheBytes), ctx: ctx, close: cancel, open: map[openName]*segment.Segment{}}, nil
}

// Close ends scans that go on.
func (r *Reader) Close() { r.close() }

// day is a partition.
type day struct {
	folder string
	date   time.Time
}

// days are the partitions that have a part of a time, oldest first.
func (r *Reader) days(ctx context.Context, from, to time.Time) ([]day, error) {
	clusters := []string{clusterFolder(r.options.Cluster)}
	if r.options.Cluster == "" {
		var err error
		if clusters, err = folders(ctx, r.bucket, "", "cluster="); err != nil {
			return nil, err
		}
	}
	var all []day
	for _, c := range clusters {
		names, err := folders(ctx, r.bucket, c, "day=")
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			date, err := time.Parse(dayLayout, strings.TrimSuffix(strings.TrimPrefix(name, c+"day="), "/"))
			if err != nil {
				continue // not one of ours
			}
			if (from.IsZero() || date.Add(24*time.Hour).After(from)) && (to.IsZero() || date.Before(to)) {
				all = append(all, day{name, date})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b day) int { return cmp.Or(a.date.Compare(b.date), cmp.Compare(a.folder, b.folder)) })
	return all, nil
}

// folders are those in a folder whose names begin so.
func folders(ctx context.Context, b *blob.Bucket, in, begin string) (names []string, err error) {
	for o, err := range objects(ctx, b, &blob.ListOptions{Prefix: in + begin, Delimiter: "/"}) {
		if err != nil {
			return nil, err
		}
		if o.IsDir {
			names = append(names, o.Key)
		}
	}
	return names, nil
}

func objects(ctx context.Context, b *blob.Bucket, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error] {
	return func(yield func(*blob.ListObject, error) bool) {
		all := b.List(o)
		for {
			object, err := all.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("list %s: %w", o.Prefix, err))
				return
			}
			if !yield(object, nil) {
				return
			}
		}
	}
}

// segments are the files of a partition, as parts of a merge.
func (r *Reader) segments(ctx context.Context, d day) (parts []segment.Part, err error) {
	for o, err := range objects(ctx, r.bucket, &blob.ListOptions{Prefix: d.folder}) {
		if err != nil {
			return nil, err
		}
		if o.IsDir || !strings.HasSuffix(o.Key, suffix) {
			continue
		}
		s, err := r.segment(openName{o.Key, o.Size, o.ModTime})
		if err != nil {
			return nil, err
		}
		first, last := s.Span()
		parts = append(parts, segment.Part{First: first, Last: last, Scan: r.named(o.Key, s)})
	}
	return parts, nil
}

// named says in errors of a scan which file they are of.
func (r *Reader) named(key string, s *segment.Segment) func(context.Context, audit.Scan) iter.Seq2[*audit.Event, error] {
	return func(ctx context.Context, scan audit.Scan) iter.Seq2[*audit.Event, error] {
		return func(yield func(*audit.Event, error) bool) {
			for e, err := range s.Scan(ctx, scan) {
				if err != nil {
					err = fmt.Errorf("%s: %w", key, err)
				}
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

func (r *Reader) segment(name openName) (*segment.Segment, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.open[name]; s != nil {
		return s, nil
	}
	s, err := segment.Open(&object{r.ctx, r.blocks, name.key, name.size}, name.size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name.key, err)
	}
	if len(r.open) >= maxOpen {
		clear(r.open)
	}
	r.open[name] = s
	return s, nil
}

// Scan implements audit.Reader: partition by partition, of which each has one day alone.
func (r *Reader) Scan(ctx context.Context, s audit.Scan) iter.Seq2[*audit.Event, error] {
	return func(yield func(*audit.Event, error) bool) {
		days, err := r.days(ctx, s.Filter.From, s.Filter.To)
		if err != nil {
			yield(nil, fmt.Errorf("scan audit bucket: %w", err))
			return
		}
		if s.Order == audit.NewestFirst {
			slices.Reverse(days)
		}
		found := 0
		for len(days) > 0 {
			// The partitions of several clusters are read together.
			same := 1
			for same < len(days) && days[same].date.Equal(days[0].date) {
				same++
			}
			var parts []segment.Part
			for _, d := range days[:same] {
				more, err := r.segments(ctx, d)
				if err != nil {
					yield(nil, fmt.Errorf("scan audit bucket: %w", err))
					return
				}
				parts = append(parts, more...)
			}
			days = days[same:]
			left := s
			left.Limit = max(0, s.Limit-found)
			for e, err := range segment.Merge(ctx, parts, left) {
				if err != nil {
					yield(nil, fmt.Errorf("scan audit bucket: %w", err))
					return
				}
				if !yield(e, nil) {
					return
				}
				found++
			}
			if s.Limit > 0 && found >= s.Limit {
				return
			}
		}
	}
}

// distinct is how many requests are gathered before they are handed on.
const distinct = 200_000

// Requests implements audit.Reader by scanning. A request that is made again after many
// others is told again.
func (r *Reader) Requests(ctx context.Context, from, to time.Time) iter.Seq2[*audit.Request, error] {
	return func(yield func(*audit.Request, error) bool) {
		gathered := map[string]*audit.Request{}
		hand := func() bool {
			for _, q := range gathered {
				if !yield(q, nil) {
					return false
				}
			}
			clear(gathered)
			return true
		}
		for e, err := range r.Scan(ctx, audit.Scan{Filter: audit.Filter{From: from, To: to}}) {
			if err != nil {
				yield(nil, err)
				return
			}
			q, ok := audit.RequestOf(e)
			if !ok {
				continue
			}
			// The marshalled form is the same for the same request, maps included.
			one := q
			one.Reason, one.First, one.Last, one.Count = "", time.Time{}, time.Time{}, 0
			key, err := json.Marshal(&one)
			if err != nil {
				yield(nil, fmt.Errorf("read requests of audit bucket: %w", err))
				return
			}
			if have := gathered[string(key)]; have != nil {
				have.Last, have.Reason = q.Last, q.Reason
				have.Count += q.Count
				continue
			}
			gathered[string(key)] = &q
			if len(gathered) >= distinct && !hand() {
				return
			}
		}
		hand()
	}
}

// Gaps implements audit.Reader: those of all replicas.
func (r *Reader) Gaps(ctx context.Context, from, to time.Time) ([]audit.Gap, error) {
	replicas, err := Replicas(ctx, r.bucket, r.options.Cluster)
	if err != nil {
		return nil, fmt.Errorf("read gaps of audit bucket: %w", err)
	}
	var all []audit.Gap
	for _, p := range replicas {
		data, err := r.bucket.ReadAll(ctx, gapsKey(p.Cluster, p.Replica))
		if notFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read gaps of audit bucket: %w", err)
		}
		var gaps []gap
		if err := json.Unmarshal(data, &gaps); err != nil {
			return nil, fmt.Errorf("read gaps of audit bucket: replica %s: %w", p.Replica, err)
		}
		for _, g := range gaps {
			if g := g.audit(); g.Overlaps(from, to) {
				all = append(all, g)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b audit.Gap) int { return a.Start.Compare(b.Start) })
	return all, nil
}

// Span implements audit.Reader.
func (r *Reader) Span(ctx context.Context) (oldest, newest time.Time, err error) {
	days, err := r.days(ctx, time.Time{}, time.Time{})
	if err != nil {
		return time.Time{}, time.Time{}, fmt.Errorf("read span of audit bucket: %w", err)
	}
	bound := func(days iter.Seq2[int, day], better func(a, b time.Time) bool) (best time.Time, err error) {
		var on time.Time
		for _, d := range days {
			if !best.IsZero() && !d.date.Equal(on) {
				break
			}
			on = d.date
			parts, err := r.segments(ctx, d)
			if err != nil {
				return time.Time{}, fmt.Errorf("read span of audit bucket: %w", err)
			}
			for _, p := range parts {
				for _, t := range []time.Time{p.First, p.Last} {
					if best.IsZero() || better(t, best) {
						best = t
					}
				}
			}
		}
		return best, nil
	}
	if oldest, err = bound(slices.All(days), time.Time.Before); err != nil {
		return time.Time{}, time.Time{}, err
	}
	newest, err = bound(slices.Backward(days), time.Time.After)
	return oldest, newest, err
}
