package bucket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/chain"
	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// Store is what is published.
type Store interface {
	// Sealed are the sealed segments behind a sequence, oldest first.
	Sealed(ctx context.Context, after uint64) ([]Sealed, error)
	// OpenSegment opens one of them, and is told its size by Info.Bytes.
	OpenSegment(ctx context.Context, s Sealed) (Content, error)
	// Gaps are the times in which events were lost.
	Gaps(ctx context.Context, from, to time.Time) ([]audit.Gap, error)
	// Published tells the store that everything up to a sequence is in the bucket. What
	// is not must not be removed, nor be put into one segment with what is.
	Published(ctx context.Context, sequence uint64) error
}

// Sealed is a segment of a store that does not change any more.
type Sealed struct {
	// Sequence counts up. One that replaces others has that of the last of them.
	Sequence uint64
	Info     segment.Info
}

// Content is a segment that is open.
type Content interface {
	io.ReaderAt
	io.Closer
}

// PublisherOptions say as what a store is published.
type PublisherOptions struct {
	// Cluster and Replica name it: lower-case letters, digits, - and . , and each replica
	// of a cluster another.
	Cluster, Replica string
	// Key signs the chain of what is published.
	Key *chain.Key
	// Every is how often new segments are looked for; 10 s where it is 0.
	Every time.Duration
	// Attempts are how often one segment is tried before the others wait for the next
	// look; 5 where it is 0. Between them it waits a second, two, four and so on, 30 s at
	// most.
	Attempts int
	// Clock tells the time; the machine's where it is nil.
	Clock clock.WithTicker
}

// Counters are what a publisher did, for metrics.
type Counters struct {
	// Segments and Bytes are what was uploaded, Failures the attempts that failed.
	Segments, Bytes, Failures int64
	// Waiting are sealed segments that are not uploaded, and Oldest is when the oldest
	// event in them was; zero where there is none.
	Waiting int64
	Oldest  time.Time
	// Published is the newest segment of the store that is uploaded.
	Published uint64
	// Error is why the last attempt failed; nil after one that did not.
	Error error
}

// Publisher uploads the segments of one store.
type Publisher struct {
	bucket  *blob.Bucket
	store   Store
	options PublisherOptions

	mu       sync.Mutex
	counters Counters

	// Of the goroutine in Run or Once alone.
	state state
	ready bool
	gaps  []byte // as they were uploaded last
}

// NewPublisher checks the options. It does not touch the bucket.
func NewPublisher(b *blob.Bucket, s Store, o PublisherOptions) (*Publisher, error) {
	if err := errors.Join(checkName("cluster", o.Cluster), checkName("replica", o.Replica)); err != nil {
		return nil, fmt.Errorf("publish audit segments: %w", err)
	}
	if o.Key == nil {
		return nil, errors.New("publish audit segments: there is no key to sign with")
	}
	if o.Every == 0 {
		o.Every = 10 * time.Second
	}
	if o.Attempts == 0 {
		o.Attempts = 5
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Publisher{bucket: b, store: s, options: o}, nil
}

// Counters are what was done so far.
func (p *Publisher) Counters() Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counters
}

// Run publishes until the context ends.
func (p *Publisher) Run(ctx context.Context) {
	ticker := p.options.Clock.NewTicker(p.options.Every)
	defer ticker.Stop()
	for {
		if err := p.Once(ctx); err != nil && ctx.Err() == nil {
			klog.ErrorS(err, "Audit segments wait to be published", "waiting", p.Counters().Waiting)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}

// Once publishes what is sealed. It may be called where Run does not run.
func (p *Publisher) Once(ctx context.Context) error {
	if err := p.retry(ctx, p.begin); err != nil {
		return err
	}
	waiting, err := p.store.Sealed(ctx, p.state.Published)
	if err != nil {
		return fmt.Errorf("publish audit segments: %w", err)
	}
	for i, s := range waiting {
		p.waits(waiting[i:])
		if s.Sequence <= p.state.Published {
			return fmt.Errorf("publish audit segments: the store gives segment %d behind %d", s.Sequence, p.state.Published)
		}
		if err := p.retry(ctx, func(ctx context.Context) error { return p.segment(ctx, s) }); err != nil {
			return err
		}
	}
	p.waits(nil)
	return p.retry(ctx, p.publishGaps)
}

func (p *Publisher) waits(waiting []Sealed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counters.Waiting, p.counters.Oldest, p.counters.Published = int64(len(waiting)), time.Time{}, p.state.Published
	if len(waiting) > 0 {
		p.counters.Oldest = waiting[0].Info.First
	}
}

// retry does something again until it succeeds, or has failed often enough.
func (p *Publisher) retry(ctx context.Context, do func(context.Context) error) error {
	wait := time.Second
	for attempt := 1; ; attempt++ {
		err := do(ctx)
		p.mu.Lock()
		p.counters.Error = err
		if err != nil {
			p.counters.Failures++
		}
		p.mu.Unlock()
		var final refusal
		if err == nil || attempt >= p.options.Attempts || errors.As(err, &final) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.options.Clock.After(wait):
		}
		wait = min(2*wait, 30*time.Second)
	}
}

// refusal is an error that does not go away by trying again.
type refusal struct{ error }

// begin finds how far it was, and tells the store.
func (p *Publisher) begin(ctx context.Context) error {
	if p.ready {
		return nil
	}
	s, found, err := readState(ctx, p.bucket, p.options.Cluster, p.options.Replica)
	if err != nil {
		return fmt.Errorf("publish audit segments: %w", err)
	}
	if found && s.Head.Sequence > 0 && !p.options.Key.Public.HasSignedHead(&s.Head) {
		return refusal{fmt.Errorf("publish audit segments: replica %s of cluster %s is signed with the key %s, and not with %s: "+
			"another installation uses the name, or the key was replaced; choose another replica name", p.options.Replica, p.options.Cluster, s.Head.Key, p.options.Key.Public.ID())}
	}
	if !found {
		if err := p.bucket.WriteAll(ctx, keyKey(p.options.Cluster, p.options.Replica), []byte(p.options.Key.Public.PEM()), nil); err != nil {
			return fmt.Errorf("publish audit segments: write the public key: %w", err)
		}
	}
	if err := p.store.Published(ctx, s.Published); err != nil {
		return fmt.Errorf("publish audit segments: %w", err)
	}
	p.state, p.ready = s, true
	return nil
}

// segment publishes one segment of the store: its files, their links, and then the state.
func (p *Publisher) segment(ctx context.Context, s Sealed) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("publish audit segment %d: %w", s.Sequence, err)
		}
	}()
	next := state{Published: s.Sequence, Head: p.state.Head}
	if s.Info.Rows > 0 {
		files, err := p.upload(ctx, s)
		if err != nil {
			return err
		}
		for _, f := range files {
			link, err := p.options.Key.Seal(next.Head, f.name, f.info)
			if err != nil {
				return refusal{err}
			}
			key := linkKey(p.options.Cluster, p.options.Replica, f.name+chain.LinkSuffix)
			if err := p.bucket.WriteAll(ctx, key, link.Marshal(), &blob.WriterOptions{ContentType: "application/json"}); err != nil {
				return fmt.Errorf("write link: %w", err)
			}
			next.Head = p.options.Key.Advance(next.Head, link, p.options.Clock.Now())
		}
	}
	if err := writeJSON(ctx, p.bucket, stateKey(p.options.Cluster, p.options.Replica), next); err != nil {
		return err
	}
	p.state = next
	if err := p.store.Published(ctx, s.Sequence); err != nil {
		return err
	}
	p.mu.Lock()
	p.counters.Segments++
	p.counters.Bytes += s.Info.Bytes
	p.mu.Unlock()
	return nil
}

// file is a file of the bucket.
type file struct {
	name string
	info segment.Info
}

func (p *Publisher) upload(ctx context.Context, s Sealed) ([]file, error) {
	content, err := p.store.OpenSegment(ctx, s)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	if dayOf(s.Info.First) == dayOf(s.Info.Last) {
		name := segmentName(p.options.Replica, s.Sequence, 0)
		if err := p.copy(ctx, name, s, content); err != nil {
			return nil, err
		}
		return []file{{name, s.Info}}, nil
	}
	return p.split(ctx, s, content)
}

// copy uploads a segment as it is, unless it is not as it was sealed.
func (p *Publisher) copy(ctx context.Context, name string, s Sealed, content io.ReaderAt) error {
	sum := sha256.New()
	return p.write(ctx, dayFolder(p.options.Cluster, dayOf(s.Info.First))+name, func(w io.Writer) error {
		if _, err := io.Copy(io.MultiWriter(w, sum), io.NewSectionReader(content, 0, s.Info.Bytes)); err != nil {
			return err
		}
		var got segment.Digest
		if sum.Sum(got[:0]); got != s.Info.SHA256 {
			return refusal{fmt.Errorf("it was changed since it was sealed: its hash is %.12s…, not %.12s…", got, s.Info.SHA256)}
		}
		return nil
	})
}

// split uploads a segment that spans midnight as a file for each day.
func (p *Publisher) split(ctx context.Context, s Sealed, content io.ReaderAt) (files []file, err error) {
	from, err := segment.Open(content, s.Info.Bytes)
	if err != nil {
		return nil, refusal{err}
	}
	// A day without an event has no file, and no number.
	for start := s.Info.First; !start.After(s.Info.Last); start = midnight(start) {
		filter := audit.Filter{From: start, To: midnight(start)}
		some := false
		for _, err := range from.Scan(ctx, audit.Scan{Filter: filter, Limit: 1}) {
			if err != nil {
				return nil, err
			}
			some = true
		}
		if !some {
			continue
		}
		f := file{name: segmentName(p.options.Replica, s.Sequence, len(files)+1)}
		err := p.write(ctx, dayFolder(p.options.Cluster, dayOf(start))+f.name, func(w io.Writer) error {
			to := segment.NewWriter(w)
			for e, err := range from.Scan(ctx, audit.Scan{Filter: filter, Bodies: true}) {
				if err != nil {
					return err
				}
				if err := to.Append(e); err != nil {
					return err
				}
			}
			f.info, err = to.Close()
			return err
		})
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// write makes an object of what fill writes, or none.
func (p *Publisher) write(ctx context.Context, key string, fill func(io.Writer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := p.bucket.NewWriter(ctx, key, &blob.WriterOptions{ContentType: "application/vnd.apache.parquet"})
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	if err := fill(w); err != nil {
		cancel() // a writer that is closed after this writes nothing
		w.Close()
		return fmt.Errorf("write %s: %w", key, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// publishGaps uploads the gaps where they have changed.
func (p *Publisher) publishGaps(ctx context.Context) error {
	gaps, err := p.store.Gaps(ctx, time.Time{}, time.Time{})
	if err != nil {
		return fmt.Errorf("publish audit gaps: %w", err)
	}
	now := fmt.Appendf(nil, "%+v", gaps)
	if p.gaps != nil && bytes.Equal(now, p.gaps) {
		return nil
	}
	if err := writeJSON(ctx, p.bucket, gapsKey(p.options.Cluster, p.options.Replica), gapsOf(gaps)); err != nil {
		return fmt.Errorf("publish audit gaps: %w", err)
	}
	p.gaps = now
	return nil
}

func notFound(err error) bool { return gcerrors.Code(err) == gcerrors.NotFound }
