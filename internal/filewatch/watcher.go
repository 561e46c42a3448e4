package filewatch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"k8s.io/apiserver/pkg/util/filesystem"
)

const (
	// lookInterval is how often the file is looked at where no notice comes.
	lookInterval = 200 * time.Millisecond

	// settleInterval lies between the two reads that must be equal.
	settleInterval = 20 * time.Millisecond

	// emptySettles is how often in a row a file must be found empty: one that is
	// written in place is empty for a moment, which on a busy machine is a long one.
	emptySettles = 8

	// settleTries bounds the wait for a file that never stops changing.
	settleTries = 15

	// racyWindow is how young a modification time is too young to be trusted: a
	// second write may have the same one (filesystem timestamps are coarse).
	racyWindow = 2 * time.Second
)

// Watcher reads one file again when it changes.
type Watcher struct {
	path string

	// info is the file as it was just before the read that gave sum. Written by
	// Open and by Run's own goroutine, never by both.
	info fs.FileInfo

	// readAt is when that read began.
	readAt time.Time

	// sum is the SHA-256 of the bytes that were given last.
	sum [sha256.Size]byte

	// failed is the text of the error that was given last, "" after a good read.
	failed string
}

// Open reads the file for the first time.
func Open(path string) (*Watcher, []byte, error) {
	w := &Watcher{path: path}
	data, info, at, err := w.read()
	if err != nil {
		return nil, nil, err
	}
	w.keep(data, info, at)
	return w, data, nil
}

// Run watches until ctx ends. Each time the bytes differ from the last, changed
// is called with them; when the file cannot be read, it is called with the
// error, which does not name the path. Calls do not overlap.
func (w *Watcher) Run(ctx context.Context, changed func(data []byte, err error)) {
	look := func() { w.look(ctx, changed) }
	filesystem.WatchUntil(ctx, lookInterval, w.path, look, nil)
}

func (w *Watcher) look(ctx context.Context, changed func([]byte, error)) {
	if w.failed == "" && w.fresh() {
		return
	}
	data, info, at, err := w.settled(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		if text := err.Error(); text != w.failed {
			w.failed = text
			changed(nil, err)
		}
		return
	}
	same := sha256.Sum256(data) == w.sum
	again := w.failed != ""
	w.keep(data, info, at)
	if !same || again {
		changed(data, nil)
	}
}

// fresh reports that the file is certainly the one that was read last.
func (w *Watcher) fresh() bool {
	info, err := os.Stat(w.path)
	return err == nil && os.SameFile(info, w.info) &&
		info.Size() == w.info.Size() && info.ModTime().Equal(w.info.ModTime()) &&
		w.readAt.Sub(info.ModTime()) > racyWindow
}

// settled reads the file until two reads agree, or more where it is empty.
func (w *Watcher) settled(ctx context.Context) ([]byte, fs.FileInfo, time.Time, error) {
	data, info, at, err := w.read()
	agreed := 0
	for range settleTries {
		if err == nil && sha256.Sum256(data) == w.sum {
			break // what is in force: nothing is being written, or it is not begun
		}
		select {
		case <-ctx.Done():
			return nil, nil, at, ctx.Err()
		case <-time.After(settleInterval):
		}
		next, nextInfo, nextAt, nextErr := w.read()
		stable := err == nil && nextErr == nil && sha256.Sum256(next) == sha256.Sum256(data) ||
			err != nil && nextErr != nil && err.Error() == nextErr.Error()
		data, info, at, err = next, nextInfo, nextAt, nextErr
		if agreed++; !stable {
			agreed = 0
		}
		if agreed >= emptySettles || agreed > 0 && (err != nil || len(data) > 0) {
			break
		}
	}
	return data, info, at, err
}

func (w *Watcher) read() ([]byte, fs.FileInfo, time.Time, error) {
	at := time.Now()
	info, err := os.Stat(w.path)
	if err != nil {
		return nil, nil, at, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, at, fmt.Errorf("not a regular file (%s)", info.Mode().Type())
	}
	data, err := os.ReadFile(w.path)
	if err != nil {
		return nil, nil, at, withoutPath(err)
	}
	return data, info, at, nil
}

func (w *Watcher) keep(data []byte, info fs.FileInfo, at time.Time) {
	w.info, w.readAt, w.sum, w.failed = info, at, sha256.Sum256(data), ""
}

// withoutPath takes the operation and the path off an error: the caller names
// the file as the settings do.
func withoutPath(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
