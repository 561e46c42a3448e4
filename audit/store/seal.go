package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"reflect"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/chain"
	"github.com/gatehouse-io/gatehouse/audit/segment"
	"github.com/gatehouse-io/gatehouse/audit/store/catalog"
	"github.com/gatehouse-io/gatehouse/audit/store/wal"
)

// seal makes a segment of a closed part. Before the manifest has it the events are those
// of the write-ahead log, and whatever else was written is thrown away by the next Open;
// from then on they are those of the segment, and the part is removed.
func (s *Store) seal(ctx context.Context, p *part) error {
	start := time.Now() // how long it takes, whatever the clock of the store says
	s.mu.RLock()
	v := p.snapshot()
	segments := viewsOf(s.manifest.live)
	s.mu.RUnlock()
	var made *newSegment
	if p.events > 0 {
		var err error
		if made, err = s.write(ctx, s.fill(s.unsealed(ctx, &v, segments, audit.Scan{Bodies: true}), s.options.MaxNames)); err != nil {
			return err
		}
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	c := change{Reason: sealed, Part: p.sequence, Head: s.manifest.head}
	if made != nil && made.info.Rows > 0 {
		link, err := s.key.Seal(s.manifest.head, made.name, made.info)
		if err == nil {
			err = s.writeLink(link)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("seal segment: %w", err), remove(s.dir.segment(made.name)))
		}
		c.Added, c.Head = []chain.Link{*link}, s.key.Advance(s.manifest.head, link, s.options.Clock.Now())
	}
	s.options.crash("linked")
	s.mu.RLock()
	have := s.gapList
	s.mu.RUnlock()
	gaps, err := keepGaps(s.dir.gaps(), have, p.gaps)
	if err == nil {
		err = s.commitChange(c, func() {
			s.gapList = gaps
			s.parts[0] = nil // the list would keep it in memory
			s.parts = s.parts[1:]
		})
	}
	if err != nil {
		return err
	}
	s.options.crash("committed")
	rows := int64(0)
	if made != nil && made.info.Rows > 0 {
		rows = made.info.Rows
		s.record(ctx, made, nil)
	} else if made != nil {
		s.warn("remove", remove(s.dir.segment(made.name)))
	}
	s.options.crash("recorded")
	s.warn("remove", remove(s.dir.part(p.sequence)))
	s.counters.sealed.Add(rows)
	s.counters.deduplicated.Add(int64(p.events) - rows)
	s.counters.appended.Add(rows - int64(p.events))
	count(s.options.Metrics.Deduplicated, p.events-int(rows))
	if s.options.Metrics.Sealed != nil {
		s.options.Metrics.Sealed(time.Since(start), int(rows))
	}
	return nil
}

// commitChange writes a change to the manifest, shows it to readers together with what
// goes with it, and copies the head of the chain to its file. The lock of changes is held
// from where the head is read.
func (s *Store) commitChange(c change, with func()) error {
	if err := s.manifest.write(c); err != nil {
		if errors.Is(err, errUnknown) {
			s.fail(err)
			s.queue.drain(s.failure())
		}
		return err
	}
	s.mu.Lock()
	s.manifest.apply(c)
	if with != nil {
		with()
	}
	s.mu.Unlock()
	s.options.crash("manifest")
	s.warn("chain", s.writeHead())
	return nil
}

// newSegment is a file that was written, and what is known of it.
type newSegment struct {
	name    string
	info    segment.Info
	summary *catalog.Summary
}

// filling writes the content of a segment, and says what is known of it.
type filling func(context.Context, io.Writer) (segment.Info, *catalog.Summary, error)

// write makes a segment: whole and synced under its name, or not at all.
func (s *Store) write(ctx context.Context, fill filling) (made *newSegment, err error) {
	s.mu.Lock()
	s.lastSegment = max(s.lastSegment, s.manifest.last) + 1
	name := segmentName(s.lastSegment)
	s.mu.Unlock()
	path := s.dir.segment(name)
	file, err := s.options.create(path + unfinished)
	if err != nil {
		return nil, fmt.Errorf("write segment: %w", err)
	}
	buffered := bufio.NewWriterSize(file, 256<<10)
	info, summary, err := fill(ctx, buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		s.options.crash("written")
		err = os.Rename(path+unfinished, path)
	}
	if err == nil {
		err = syncDir(s.dir.segments())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write segment: %w", err), remove(path+unfinished), remove(path))
	}
	s.options.crash("renamed")
	return &newSegment{name: name, info: info, summary: summary}, nil
}

// fill writes events that come in order. Distinct requests are gathered where names are
// told apart.
func (s *Store) fill(events iter.Seq2[*audit.Event, error], names int) filling {
	return func(ctx context.Context, to io.Writer) (segment.Info, *catalog.Summary, error) {
		w := segment.NewWriter(to)
		b := catalog.NewBuilder(names)
		for e, err := range events {
			if err == nil {
				err = w.Append(e)
			}
			if err == nil && w.Rows()%1024 == 0 {
				err = context.Cause(ctx)
			}
			if err != nil {
				return segment.Info{}, nil, err
			}
			words, row := w.Last()
			b.AddRow(words, row, e.Time)
		}
		info, err := w.Close()
		return info, b.Finish(), err
	}
}

// unsealed yields what is meant that a part has and no segment. A duplicate has the time of
// the event it is, so that only segments of the same time are read, and only that time of
// them.
func (r *reading) unsealed(ctx context.Context, p *partView, segments []segmentView, s audit.Scan) iter.Seq2[*audit.Event, error] {
	return func(yield func(*audit.Event, error) bool) {
		refs := p.refs(bounds(s.Filter.From, s.Filter.To))
		if len(refs) == 0 {
			return
		}
		there := r.between(ctx, segments, s.Filter, micro(refs[0].at), micro(refs[len(refs)-1].at))
		defer there.stop()
		rest := s.Filter
		rest.From, rest.To = time.Time{}, time.Time{}
		some := !reflect.DeepEqual(rest, audit.Filter{}) // and not the whole of that time
		var alike []*audit.Event
		var decoder wal.Decoder
		for _, ref := range refs {
			record := p.record(ref)
			if some {
				if g, ok := wal.Look(record); ok && !may(&rest, &g) {
					continue
				}
			}
			e, err := decoder.Decode(record, s.Bodies)
			if err == nil {
				if some && !rest.Matches(e) {
					continue
				}
				alike = among(alike, e)
				if twice(alike, e) {
					continue // never of one part; of two that were recovered
				}
				var again bool
				if again, err = there.has(e); again {
					continue
				}
				alike = append(alike, e)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// sealedEvents walks through what is sealed of a time, beside something that is in order
// too.
type sealedEvents struct {
	next  func() (*audit.Event, error, bool)
	stop  func()
	ahead *audit.Event // the next, not compared yet
	alike []*audit.Event
	done  bool
}

func (r *reading) between(ctx context.Context, segments []segmentView, f audit.Filter, oldest, newest time.Time) *sealedEvents {
	f.From, f.To = oldest, newest.Add(time.Microsecond)
	scan := audit.Scan{Filter: f}
	w := &sealedEvents{}
	w.next, w.stop = iter.Pull2(r.merged(&view{segments: segments}, scan).all(ctx))
	return w
}

// has reports whether an event is sealed. Events are asked for in order.
func (w *sealedEvents) has(e *audit.Event) (bool, error) {
	for !w.done {
		if w.ahead == nil {
			next, err, ok := w.next()
			if err != nil {
				return false, fmt.Errorf("look for duplicates: %w", err)
			}
			if w.ahead, w.done = next, !ok; w.done {
				break
			}
		}
		if audit.Compare(w.ahead, e) > 0 {
			break
		}
		w.alike = append(among(w.alike, w.ahead), w.ahead)
		w.ahead = nil
	}
	return twice(w.alike, e), nil
}

func (s *Store) writeLink(l *chain.Link) error {
	return writeFile(s.dir.segment(l.Segment+chain.LinkSuffix), l.Marshal())
}

func (s *Store) writeHead() error {
	if s.manifest.head.Sequence == 0 {
		return nil
	}
	return writeFile(s.dir.segment(chain.HeadName), s.manifest.head.Marshal())
}

// warn tells of what went wrong and is made good later.
func (s *Store) warn(what string, err error) {
	if err != nil {
		s.failed(what)
		s.options.Log(fmt.Sprintf("audit store %s: %s: %v", s.dir, what, err))
	}
}

func viewsOf(links []chain.Link) []segmentView {
	views := make([]segmentView, len(links))
	for i, l := range links {
		views[i].Link = l
	}
	return views
}
