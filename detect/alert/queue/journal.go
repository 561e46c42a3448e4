package queue

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
)

// Record is something a Journal keeps.
type Record struct {
	// ID is its number. Putting one that is there replaces it.
	ID uint64 `json:"id"`
	// Meta is small, and handed back when the Journal is opened; Body is read when it
	// is asked for. Both are JSON.
	Meta json.RawMessage `json:"meta,omitempty"`
	Body json.RawMessage `json:"body,omitempty"`
}

// line is a line of the file, behind its checksum: a Record, or the numbers of those removed.
type line struct {
	*Record
	Gone []uint64 `json:"gone,omitempty"`
}

// place is where the line of a Record is. Where text is set it is not in the file yet.
type place struct {
	offset int64
	length int
	text   []byte
}

// Journal keeps Records in a file. It is safe for concurrent use.
type Journal struct {
	path string

	mu   sync.Mutex
	file *os.File
	// size is that of the file, and live how much of it is lines of what is there.
	size, live int64
	places     map[uint64]place
	// unsaved are those of places that are in memory alone, and gone are numbers whose
	// removal is not written.
	unsaved map[uint64]bool
	gone    []uint64
	// torn says that the file may end within a line.
	torn bool
	// damaged counts lines that could not be read.
	damaged int
}

const (
	// longestLine bounds what is read into memory at once.
	longestLine = 8 << 20
	// compactAbove is the size from which on a file is written anew.
	compactAbove = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenJournal opens a file, or makes it with mode 0600, and returns what it has, without
// bodies, in the order of the numbers.
func OpenJournal(path string) (*Journal, []Record, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open queue: %w", err)
	}
	j := &Journal{path: path, file: file, places: map[uint64]place{}, unsaved: map[uint64]bool{}}
	metas, err := j.load()
	if err == nil {
		err = syncDir(filepath.Dir(path)) // that the file is there
	}
	if err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("open queue %s: %w", path, err)
	}
	var records []Record
	for _, id := range slices.Sorted(maps.Keys(j.places)) {
		records = append(records, Record{ID: id, Meta: metas[id]})
	}
	return j, records, nil
}

// load reads the file.
func (j *Journal) load() (map[uint64]json.RawMessage, error) {
	metas := map[uint64]json.RawMessage{}
	r := bufio.NewReaderSize(j.file, 64<<10)
	for {
		text, whole, err := readLine(r)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		length := int(whole)
		switch l, ok := parseLine(text); {
		case ok && l.Record != nil:
			j.forget(l.ID)
			j.places[l.ID] = place{offset: j.size, length: length}
			j.live += whole
			metas[l.ID] = l.Meta
		case ok:
			for _, id := range l.Gone {
				j.forget(id)
				delete(metas, id)
			}
		case errors.Is(err, io.EOF):
			// The last line, in the middle of which something was killed.
			return metas, j.file.Truncate(j.size)
		case len(bytes.TrimSpace(text)) > 0 || whole > longestLine:
			j.damaged++
		}
		j.size += whole
		if err != nil {
			return metas, nil
		}
	}
}

// readLine reads up to a line's end, and how much that was; a line that is too long comes
// back empty.
func readLine(r *bufio.Reader) (text []byte, whole int64, err error) {
	for {
		part, err := r.ReadSlice('\n')
		whole += int64(len(part))
		if whole <= longestLine {
			text = append(text, part...)
		} else {
			text = nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, whole, err
		}
	}
}

// parseLine reads a whole line, its end included.
func parseLine(text []byte) (l line, ok bool) {
	if len(text) < 11 || text[8] != ' ' || text[len(text)-1] != '\n' {
		return l, false
	}
	sum, err := strconv.ParseUint(string(text[:8]), 16, 32)
	if err != nil || crc32.Checksum(text[9:len(text)-1], castagnoli) != uint32(sum) {
		return l, false
	}
	err = json.Unmarshal(text[9:], &l)
	return l, err == nil && (l.Record != nil) != (l.Gone != nil)
}

func formatLine(l line) ([]byte, error) {
	text, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	if len(text)+10 > longestLine {
		return nil, fmt.Errorf("a record has more than %d bytes", longestLine-10)
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(text, castagnoli), text), nil
}

func (j *Journal) forget(id uint64) {
	p := j.places[id]
	if p.text == nil {
		j.live -= int64(p.length)
	}
	delete(j.places, id)
	delete(j.unsaved, id)
}

// Put keeps records. Where it returns an error they are in memory, and written with what
// comes next; but for one that is no JSON, which is kept nowhere.
func (j *Journal) Put(records ...Record) error {
	texts := make([][]byte, len(records))
	for i := range records {
		text, err := formatLine(line{Record: &records[i]})
		if err != nil {
			return fmt.Errorf("write queue: %w", err)
		}
		texts[i] = text
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, r := range records {
		j.forget(r.ID)
		j.places[r.ID] = place{length: len(texts[i]), text: texts[i]}
		j.unsaved[r.ID] = true
	}
	return j.write()
}

// Remove removes records. Where it returns an error they are gone, and their removal is
// written with what comes next.
func (j *Journal) Remove(ids ...uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, id := range ids {
		if _, ok := j.places[id]; ok {
			j.forget(id)
			j.gone = append(j.gone, id)
		}
	}
	return j.write()
}

// Sync writes what could not be written before.
func (j *Journal) Sync() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.write()
}

// Read returns the body of a record, and whether there is one.
func (j *Journal) Read(id uint64) (json.RawMessage, bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p, ok := j.places[id]
	if !ok {
		return nil, false, nil
	}
	text, err := j.text(p)
	if err != nil {
		return nil, false, err
	}
	l, ok := parseLine(text)
	if !ok || l.Record == nil {
		return nil, false, fmt.Errorf("read queue %s: a record is damaged", j.path)
	}
	return l.Body, true, nil
}

func (j *Journal) text(p place) ([]byte, error) {
	if p.text != nil {
		return p.text, nil
	}
	text := make([]byte, p.length)
	if _, err := j.file.ReadAt(text, p.offset); err != nil {
		return nil, fmt.Errorf("read queue: %w", err)
	}
	return text, nil
}

// Size is that of the file, and Damaged how many lines of it could not be read.
func (j *Journal) Size() (bytes int64, damaged int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.size, j.damaged
}

// Close writes what could not be written before, and closes the file.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.write(), j.file.Close())
}
