package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// layout is the folder of a store, and what lies where in it.
type layout string

func (l layout) path(elem ...string) string {
	return filepath.Join(append([]string{string(l)}, elem...)...)
}
func (l layout) lock() string               { return l.path("lock") }
func (l layout) manifest() string           { return l.path("manifest") }
func (l layout) key() string                { return l.path("chain.key") }
func (l layout) gaps() string               { return l.path("gaps") }
func (l layout) catalog() string            { return l.path("catalog.db") }
func (l layout) wal() string                { return l.path("wal") }
func (l layout) segments() string           { return l.path("segments") }
func (l layout) reserve() string            { return l.path("reserve") }
func (l layout) quarantine() string         { return l.path("quarantine") }
func (l layout) part(n uint64) string       { return l.path("wal", fmt.Sprintf("%016x%s", n, partSuffix)) }
func (l layout) segment(name string) string { return l.path("segments", name) }

const (
	partSuffix    = ".wal"
	segmentSuffix = ".parquet"
	unfinished    = ".tmp" // a segment that is being written
)

func segmentName(n uint64) string { return fmt.Sprintf("%016x%s", n, segmentSuffix) }

// numbered are the numbers of the files of a folder that have a suffix, in order.
func numbered(dir, suffix string) (found []uint64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list audit store: %w", err)
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok {
			if n, err := strconv.ParseUint(name, 16, 64); err == nil && len(name) == 16 {
				found = append(found, n)
			}
		}
	}
	slices.Sort(found)
	return found, nil
}

// prepare makes the folder of a store, for its owner alone, and takes its lock.
func (l layout) prepare() (*os.File, error) {
	for _, dir := range []string{string(l), l.wal(), l.segments(), l.quarantine()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("create audit store: %w", err)
		}
	}
	if err := l.private(); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(l.lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock audit store: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		owner := make([]byte, 32)
		n, _ := lock.ReadAt(owner, 0)
		lock.Close()
		return nil, &InUseError{Dir: string(l), Process: strings.TrimSpace(string(owner[:n]))}
	}
	if err = lock.Truncate(0); err == nil {
		_, err = lock.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err != nil && !isFull(err) { // the name of the process is a kindness, the lock is the kernel's
		lock.Close()
		return nil, fmt.Errorf("lock audit store: %w", err)
	}
	return lock, nil
}

// private refuses a folder that others can read.
func (l layout) private() error {
	info, err := os.Stat(string(l))
	if err != nil {
		return fmt.Errorf("open audit store: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("open audit store: %s is no folder", l)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("open audit store: %s can be read by other users; chmod 700 %s", l, l)
	}
	return nil
}

// InUseError says that another process has a store open for writing.
type InUseError struct {
	Dir string
	// Process is its number; empty where it is not known.
	Process string
}

func (e *InUseError) Error() string {
	who := "another process"
	if e.Process != "" {
		who = "process " + e.Process
	}
	return fmt.Sprintf("audit store %s is in use by %s", e.Dir, who)
}

// isFull reports whether an error means that there is no space now, and may be later.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// remove removes a file that may be gone already.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
