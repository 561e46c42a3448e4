package watch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

const (
	stateFile    = "state"
	stateVersion = 1
	// lookBack is how far the store is read where nothing was saved: the first time, or
	// where a process was killed before it had saved anything.
	lookBack = time.Hour
)

// header is the first line of the file; a snapshot of the state follows.
type header struct {
	Version int    `json:"version"`
	Floor   int64  `json:"floor"`
	Seen    string `json:"seen"`
}

// snapshot is what is remembered now, as bytes; nil where it cannot be written.
func (w *Watcher) snapshot() []byte {
	w.seen.prune(w.o.Clock.Now())
	var out bytes.Buffer
	err := json.NewEncoder(&out).Encode(header{stateVersion, w.seen.floor, w.seen.text()})
	if err == nil {
		err = w.state.Save(&out)
	}
	if err != nil {
		w.logf("What the rules remember is not saved: %v", err)
		return nil
	}
	w.dirty = false
	return out.Bytes()
}

// saver writes snapshots, each when what was told before it is safe.
func (w *Watcher) saver(ctx context.Context, snapshots <-chan []byte) {
	for {
		select {
		case <-ctx.Done():
			return
		case data := <-snapshots:
			if ctx.Err() != nil {
				return // the last one is newer
			}
			if err := w.save(ctx, data, saveLimit); err != nil && ctx.Err() == nil {
				w.logf("What the rules remember is not saved; after a stop more will be read from the store: %v", err)
			}
		}
	}
}

func (w *Watcher) save(ctx context.Context, data []byte, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := w.teller.Flush(ctx); err != nil {
		return fmt.Errorf("wait for the alerts: %w", err)
	}
	w.writing.Lock()
	defer w.writing.Unlock()
	return writeFile(w.o.Dir, data)
}

// writeFile puts a whole file in place of the one before, or leaves that.
func writeFile(dir string, data []byte) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	path := filepath.Join(dir, stateFile)
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return nil
}

// load reads what was saved. What cannot be read is said, and counts as not saved.
func (w *Watcher) load() {
	w.seen = newSeen(w.began.Add(-lookBack))
	file, err := os.Open(filepath.Join(w.o.Dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		defer file.Close()
		err = w.readState(bufio.NewReaderSize(file, 64<<10))
	}
	if err != nil {
		w.logf("What the rules remembered in %s cannot be read; they begin anew: %v", filepath.Join(w.o.Dir, stateFile), err)
	}
}

// maxHeader bounds the first line.
const maxHeader = 2 << 20

func (w *Watcher) readState(in *bufio.Reader) error {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) || len(line) > maxHeader {
			return errors.New("the first line is damaged")
		}
	}
	var h header
	if err := json.Unmarshal(line, &h); err != nil || h.Version != stateVersion {
		return errors.New("the first line is damaged, or of another version")
	}
	judged, err := readSeen(h.Floor, h.Seen)
	if err != nil {
		return err
	}
	if _, err := w.state.Load(in); err != nil {
		return err
	}
	w.seen = judged
	return nil
}

// stop judges what waits and saves, within a moment. What is not done then is done after
// the next start.
func (w *Watcher) stop(batch []*audit.Event) {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	if w.caught.Load() {
		w.drain(ctx, batch)
	}
	if data := w.snapshot(); data != nil {
		if err := w.save(ctx, data, stopLimit); err != nil {
			w.logf("What the rules remember is not saved; after the start more will be read from the store: %v", err)
		}
	}
}
