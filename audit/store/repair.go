package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/chain"
	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// RepairReport is what Repair found and did.
type RepairReport struct {
	// Segments and Events are what the store has now.
	Segments int   `json:"segments"`
	Events   int64 `json:"events"`
	// Manifest says that the manifest was damaged or missing, and was made again out of
	// the links of the segments.
	Manifest bool `json:"manifest,omitempty"`
	// Damaged are the segments that were set aside. Their events are missing, which a gap
	// of the store tells.
	Damaged []DamagedSegment `json:"damaged,omitempty"`
	// Adopted are segments that the manifest did not have; Adopted events of theirs were
	// nowhere else.
	Adopted       []string `json:"adopted,omitempty"`
	AdoptedEvents int64    `json:"adoptedEvents,omitempty"`
	// SetAside are other files that were set aside.
	SetAside []string `json:"setAside,omitempty"`
}

// DamagedSegment is one that was set aside.
type DamagedSegment struct {
	Segment     string    `json:"segment"`
	Reason      string    `json:"reason"`
	First, Last time.Time `json:"-"`
	Events      int64     `json:"events"`
	// MovedTo is where it lies now; empty where it was missing.
	MovedTo string `json:"movedTo,omitempty"`
}

// Repair puts a store right that no process has open: it hashes every segment, sets those
// aside that are not what they were, and makes the catalog anew. A segment that was set
// aside is replaced in the chain by an empty one, signed: that events are missing is not
// hidden, and what was changed is not believed.
func Repair(ctx context.Context, dir string, options Options) (report *RepairReport, err error) {
	s, err := lockStore(dir, options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.release()) }()
	report = &RepairReport{}
	for _, step := range []func(context.Context, *RepairReport) error{s.repairManifest, s.repairParts, s.adopt, s.repairSegments, s.repairCatalog} {
		if err := step(ctx, report); err != nil {
			return report, fmt.Errorf("repair audit store: %w", err)
		}
	}
	for _, l := range s.manifest.live {
		report.Segments++
		report.Events += l.Rows
	}
	return report, nil
}

// repairManifest makes the manifest again where it cannot be read, or knows less than the
// chain.
func (s *Store) repairManifest(_ context.Context, report *RepairReport) (err error) {
	if err := s.readKey(); err != nil {
		return err
	}
	if s.manifest, err = openManifest(s.dir.manifest()); err == nil {
		if err = s.checkHead(); err == nil {
			return nil
		}
	}
	if !errors.Is(err, errManifest) {
		return err
	}
	report.Manifest = true
	state, err := s.linked()
	if err != nil {
		return err
	}
	if s.manifest != nil {
		s.manifest.close()
	}
	if err := s.setFileAside(s.dir.manifest(), report); err != nil {
		return err
	}
	if s.manifest, err = openManifest(s.dir.manifest()); err != nil {
		return err
	}
	if err := s.manifest.write(*state); err != nil {
		return err
	}
	s.manifest.apply(*state)
	return nil
}

// linked is the state that the links and the head of the chain tell of: a link that
// another replaces is none any more.
func (s *Store) linked() (*change, error) {
	state := &change{Reason: wholeOf}
	entries, err := os.ReadDir(s.dir.segments())
	if err != nil {
		return nil, err
	}
	var links []chain.Link
	replaced := map[segment.Digest]bool{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), chain.LinkSuffix) {
			continue
		}
		data, err := os.ReadFile(s.dir.segment(e.Name()))
		if err != nil {
			return nil, err
		}
		l, err := chain.ParseLink(data)
		if err != nil || l.Segment+chain.LinkSuffix != e.Name() || !s.key.Public.HasSigned(l) {
			continue // its segment is adopted, if there is one
		}
		links = append(links, *l)
		for _, d := range append(l.Replaces, l.Names...) {
			replaced[d] = true
		}
	}
	slices.SortFunc(links, func(a, b chain.Link) int {
		return cmp.Or(cmp.Compare(a.Sequence, b.Sequence), -cmp.Compare(a.FirstSequence, b.FirstSequence))
	})
	data, err := os.ReadFile(s.dir.segment(chain.HeadName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if head, err := chain.ParseHead(data); err == nil && s.key.Public.HasSignedHead(head) {
		state.Head = *head
	}
	for _, l := range links {
		state.Last = max(state.Last, numberOf(l.Segment))
		if replaced[l.Digest()] || l.Sequence < state.Head.Start {
			continue
		}
		state.Added = append(state.Added, l)
		if l.Sequence > state.Head.Sequence {
			state.Head = s.key.Advance(state.Head, &l, s.options.Clock.Now())
		}
	}
	return state, nil
}

// repairParts moves parts of the write-ahead log away that cannot be opened at all. The
// others are read by the next Open, which sets aside what is damaged in them.
func (s *Store) repairParts(_ context.Context, report *RepairReport) error {
	if err := s.tidyParts(); err != nil {
		return err
	}
	numbers, err := numbered(s.dir.wal(), partSuffix)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		path := s.dir.part(n)
		if _, _, err := loadPart(path, n, s.seed); err == nil {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if err := s.keepGap(audit.Gap{Start: info.ModTime().Add(-damageReach), End: info.ModTime().Add(time.Microsecond), Count: -1, Reason: audit.GapUnreadable}); err != nil {
			return err
		}
		if err := s.setFileAside(path, report); err != nil {
			return err
		}
	}
	return nil
}

// adopt takes in segments that the manifest does not have, and the chain has: those of a
// lost manifest, and what a killed process left before its commit, whose events are in the
// write-ahead log too. Only what is nowhere else is new. What this installation has not
// signed is not believed.
func (s *Store) adopt(ctx context.Context, report *RepairReport) error {
	numbers, err := numbered(s.dir.segments(), segmentSuffix)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		s.lastSegment = max(s.lastSegment, n)
	}
	for _, n := range numbers {
		name := segmentName(n)
		if slices.ContainsFunc(s.manifest.live, func(l chain.Link) bool { return l.Segment == name }) {
			continue
		}
		link, err := s.believed(ctx, name)
		if err != nil {
			return err
		}
		if link == nil {
			if err := s.setFileAside(s.dir.segment(name), report); err != nil {
				return err
			}
			continue
		}
		if link.Sequence >= s.manifest.head.Start { // otherwise retention has removed it
			rows, err := s.adoptOne(ctx, link)
			if err != nil {
				return err
			}
			report.Adopted = append(report.Adopted, name)
			report.AdoptedEvents += rows
		}
		s.opened.forget(name)
		if err := errors.Join(remove(s.dir.segment(name)), remove(s.dir.segment(name+chain.LinkSuffix))); err != nil {
			return err
		}
	}
	return nil
}

// believed is the link of a segment, where this installation has signed it and the
// segment is what it says.
func (s *Store) believed(ctx context.Context, name string) (*chain.Link, error) {
	data, err := os.ReadFile(s.dir.segment(name + chain.LinkSuffix))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	link, err := chain.ParseLink(data)
	if err != nil || link.Segment != name || !s.key.Public.HasSigned(link) {
		return nil, nil
	}
	why, err := s.examine(ctx, *link)
	if err != nil || why != "" {
		return nil, err
	}
	return link, nil
}

// adoptOne seals what a segment has and the store has not.
func (s *Store) adoptOne(ctx context.Context, from *chain.Link) (int64, error) {
	made, err := s.write(ctx, s.fill(s.notSealed(ctx, *from), s.options.MaxNames))
	if err != nil {
		return 0, err
	}
	if made.info.Rows == 0 {
		return 0, remove(s.dir.segment(made.name))
	}
	link, err := s.key.Seal(s.manifest.head, made.name, made.info)
	if err == nil {
		err = s.writeLink(link)
	}
	if err != nil {
		return 0, err
	}
	return made.info.Rows, s.commitChange(change{
		Reason: sealed, Added: []chain.Link{*link}, Head: s.key.Advance(s.manifest.head, link, s.options.Clock.Now()),
	}, nil)
}

// notSealed yields what a segment has that the live ones have not.
func (s *Store) notSealed(ctx context.Context, l chain.Link) iter.Seq2[*audit.Event, error] {
	return func(yield func(*audit.Event, error) bool) {
		there := s.between(ctx, viewsOf(s.manifest.live), audit.Filter{}, l.First, l.Last)
		defer there.stop()
		for e, err := range s.segmentSource(l, audit.Scan{Bodies: true}).open(ctx) {
			if err == nil {
				var again bool
				if again, err = there.has(e); again {
					continue
				}
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// repairSegments hashes every segment, and sets those aside that are not what they were.
func (s *Store) repairSegments(ctx context.Context, report *RepairReport) error {
	for _, l := range s.manifest.live {
		if l.Rows == 0 {
			continue
		}
		why, err := s.examine(ctx, l)
		if err != nil {
			return err
		}
		if why == "" {
			continue
		}
		d := DamagedSegment{Segment: l.Segment, Reason: why, First: l.First, Last: l.Last, Events: l.Rows}
		made, err := s.write(ctx, s.fill(func(func(*audit.Event, error) bool) {}, 0))
		if err != nil {
			return err
		}
		if err := s.keepGap(audit.Gap{Start: l.First, End: l.Last.Add(time.Microsecond), Count: l.Rows, Reason: audit.GapUnreadable}); err != nil {
			return err
		}
		if _, err := os.Stat(s.dir.segment(l.Segment)); err == nil {
			d.MovedTo = filepath.Join(s.dir.quarantine(), l.Segment)
			if err := copyFile(s.dir.segment(l.Segment), d.MovedTo); err != nil {
				return err
			}
		}
		if err := s.swap(ctx, []chain.Link{l}, made, damaged, nil); err != nil {
			return err
		}
		report.Damaged = append(report.Damaged, d)
	}
	return nil
}

// examine tells what is wrong with a segment; nothing where it is as it was sealed.
func (s *Store) examine(ctx context.Context, l chain.Link) (why string, err error) {
	file, err := os.Open(s.dir.segment(l.Segment))
	if errors.Is(err, fs.ErrNotExist) {
		return "it is missing", nil
	}
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, contextReader{ctx, file})
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return fmt.Sprintf("it cannot be read: %v", err), nil
	case n != l.Bytes:
		return fmt.Sprintf("it has %d bytes, and had %d", n, l.Bytes), nil
	case segment.Digest(sum.Sum(nil)) != l.SHA256:
		return "its content has changed", nil
	}
	return "", nil
}

// repairCatalog makes the catalog anew.
func (s *Store) repairCatalog(ctx context.Context, _ *RepairReport) error {
	s.dropCatalog()
	s.openCatalogFile()
	if s.catalog == nil {
		return errors.New("no catalog can be made")
	}
	_, err := s.fillCatalog(ctx, s.catalog, s.manifest.live)
	return err
}

func (s *Store) keepGap(g audit.Gap) error {
	have, err := readGaps(s.dir.gaps())
	if err == nil {
		s.gapList, err = keepGaps(s.dir.gaps(), have, []audit.Gap{g})
	}
	return err
}

// setFileAside moves a file into the quarantine.
func (s *Store) setFileAside(path string, report *RepairReport) error {
	to := filepath.Join(s.dir.quarantine(), filepath.Base(path))
	if _, err := os.Stat(to); err == nil {
		to += "." + s.options.Clock.Now().UTC().Format("20060102T150405.000000")
	}
	if err := os.Rename(path, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("set file aside: %w", err)
	} else if err == nil {
		report.SetAside = append(report.SetAside, to)
	}
	return nil
}

// copyFile copies a damaged file as far as it can be read.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if pe, ok := errors.AsType[*os.PathError](err); ok && pe.Op == "read" {
		err = nil
	}
	return errors.Join(err, out.Sync(), out.Close())
}

type contextReader struct {
	ctx  context.Context
	from io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}
