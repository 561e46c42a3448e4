package store

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"github.com/gatehouse-io/gatehouse/audit/chain"
)

// manifest says which segments the store has. A line of its file is one change, and once
// it is synced the change has happened: before, the write-ahead log or the old segments
// hold the events, and after it the new ones.
type manifest struct {
	path string
	file *os.File // nil for readers
	size int64
	// live are the segments by sequence. The slice never changes: a change makes another.
	live []chain.Link
	head chain.Head // of the chain; its file is a copy
	part uint64     // parts of the write-ahead log up to here are sealed
	last uint64     // the highest number a segment has had
	// lines is how many the file has, for knowing when to write it anew.
	lines int
}

// change is one line.
type change struct {
	// Reason is seal, compact, retain, damaged or state.
	Reason string       `json:"reason"`
	Added  []chain.Link `json:"added,omitempty"`
	// Removed are names of segments.
	Removed []string `json:"removed,omitempty"`
	// Part is the part of the write-ahead log that a seal took the events of.
	Part uint64 `json:"part,omitempty"`
	// Head is that of the chain with this change.
	Head chain.Head `json:"head"`
	// Last is the highest number of a segment, in a line that holds the whole state.
	Last uint64 `json:"last,omitempty"`
}

// Reasons of a change.
const (
	sealed    = "seal"
	compacted = "compact"
	retained  = "retain"
	damaged   = "damaged"
	wholeOf   = "state"
)

var errManifest = errors.New("the manifest is damaged; run `gatehouse audit repair`")

// openManifest opens it for writing, and cuts off a line that was never synced.
func openManifest(path string) (*manifest, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open manifest: %w", err)
	}
	m, err := readManifest(path)
	if err == nil {
		err = file.Truncate(m.size)
	}
	if err == nil {
		_, err = file.Seek(m.size, 0)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	m.file = file
	return m, nil
}

// readManifest reads it. A last line that is not whole is one that is being written.
func readManifest(path string) (*manifest, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	m := &manifest{path: path}
	for len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		c, ok := decodeChange(line)
		if !whole {
			break
		}
		if !ok { // a line that was being written has no end
			return nil, fmt.Errorf("read manifest %s, line %d: %w", path, m.lines+1, errManifest)
		}
		m.apply(c)
		m.size += int64(len(line)) + 1
		m.lines++
		data = rest
	}
	return m, nil
}

func encodeChange(c change) ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(b), b), nil
}

func decodeChange(line []byte) (c change, ok bool) {
	sum, body, _ := bytes.Cut(line, []byte(" "))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || crc32.ChecksumIEEE(body) != uint32(want) {
		return c, false
	}
	return c, json.Unmarshal(body, &c) == nil
}

func (m *manifest) apply(c change) {
	live := make([]chain.Link, 0, len(m.live)+len(c.Added))
	if c.Reason != wholeOf {
		for _, l := range m.live {
			if !slices.Contains(c.Removed, l.Segment) {
				live = append(live, l)
			}
		}
	}
	live = append(live, c.Added...)
	slices.SortFunc(live, func(a, b chain.Link) int { return cmp.Compare(a.Sequence, b.Sequence) })
	m.live, m.head = live, c.Head
	m.part = max(m.part, c.Part)
	m.last = max(m.last, c.Last)
	for _, l := range c.Added {
		m.last = max(m.last, numberOf(l.Segment))
	}
}

// numberOf is the number that a segment is named by.
func numberOf(name string) uint64 {
	n, _ := strconv.ParseUint(name[:min(len(name), 16)], 16, 64)
	return n
}

// write makes a change happen. After an error it has not; where even that is not known,
// the manifest takes no other. What it says is changed by apply.
func (m *manifest) write(c change) error {
	line, err := encodeChange(c)
	if err != nil {
		return err
	}
	if _, err = m.file.Write(line); err == nil {
		err = m.file.Sync()
	}
	if err != nil {
		cut := m.file.Truncate(m.size)
		if cut == nil {
			_, cut = m.file.Seek(m.size, 0)
		}
		if cut == nil && !isFull(err) {
			cut = m.file.Sync()
		}
		if cut != nil {
			return fmt.Errorf("write manifest: %w: %w", errUnknown, errors.Join(err, cut))
		}
		return fmt.Errorf("write manifest: %w", err)
	}
	m.size += int64(len(line))
	m.lines++
	return nil
}

// errUnknown says that nobody knows whether a change is on disk.
var errUnknown = errors.New("what is on disk is not known")

// shorten writes the file anew, as one line, when most of its lines are history.
func (m *manifest) shorten() error {
	if m.lines < 1000 || m.lines < 4*len(m.live) {
		return nil
	}
	return m.rewrite()
}

func (m *manifest) rewrite() error {
	line, err := encodeChange(change{Reason: wholeOf, Added: m.live, Part: m.part, Last: m.last, Head: m.head})
	if err != nil {
		return err
	}
	if err := writeFile(m.path, line); err != nil {
		return fmt.Errorf("shorten manifest: %w", err)
	}
	file, err := os.OpenFile(m.path, os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("shorten manifest: %w", err)
	}
	m.file.Close()
	m.file, m.size, m.lines = file, int64(len(line)), 1
	return nil
}

func (m *manifest) close() error { return m.file.Close() }

// writeFile writes a small file whole or not at all.
func writeFile(path string, data []byte) error {
	tmp := path + unfinished
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, remove(tmp))
	}
	return syncDir(parent(path))
}
