package cluster

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// standardInput is the path that stands for it, and its name in messages.
const (
	standardInput     = "-"
	standardInputName = "<stdin>"
)

// walk finds the files that paths stand for.
type walk struct {
	problems *problems
	visit    func(path string, named bool) error
	// seen are the folders that were gone through, by their real paths: a symbolic
	// link may lead to one again.
	seen map[string]bool
	// take may take a folder for itself; nil takes none.
	take func(dir string) (bool, error)
	// found says that the folder has something that is read, or should have been.
	found bool
}

// path visits a file, or every manifest in a folder and below.
func (w *walk) path(path string) error {
	if path == standardInput {
		return w.visit(path, true)
	}
	info, err := os.Stat(path)
	if err != nil {
		w.unreadable(path, err)
		return nil
	}
	if !info.IsDir() {
		return w.visit(path, true)
	}
	w.found = false
	if err := w.folder(path); err != nil {
		return err
	}
	if !w.found {
		w.problems.add(&v1alpha1.FieldError{File: path, Message: "there is nothing to read in this folder", Hint: "files end in .yaml, .yml or .json; is this the right folder?"})
	}
	return nil
}

func (w *walk) folder(dir string) error {
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		w.unreadable(dir, err)
		return nil
	}
	if w.seen[real] {
		w.found = true // elsewhere, it may be
		return nil
	}
	w.seen[real] = true
	if w.take != nil {
		if taken, err := w.take(dir); err != nil || taken {
			w.found = true
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		w.unreadable(dir, err)
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		mode := entry.Type()
		if mode&fs.ModeSymlink != 0 {
			info, err := os.Stat(path)
			if err != nil {
				// A link into nowhere matters where it should be a manifest.
				if isManifest(path) {
					w.unreadable(path, err)
				}
				continue
			}
			mode = info.Mode().Type()
		}
		switch {
		case mode.IsDir():
			err = w.folder(path)
		case !isManifest(path):
			continue
		case !mode.IsRegular():
			w.found = true
			w.problems.add(&v1alpha1.FieldError{File: path, Message: "it is no regular file", Hint: "name it itself, if it is to be read"})
			continue
		default:
			w.found = true
			err = w.visit(path, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isManifest reports whether a file of a folder is read.
func isManifest(path string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(path)))
}

func (w *walk) unreadable(path string, err error) {
	w.found = true
	w.problems.add(unreadable(path, err))
}

// unreadable is the problem of a file that cannot be opened or read.
func unreadable(path string, err error) *v1alpha1.FieldError {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return &v1alpha1.FieldError{File: path, Message: fmt.Sprintf("cannot be read: %v", err)}
}

// bounded ends with errTooLong after a number of bytes.
type bounded struct {
	io.Reader
	left int64
}

var errTooLong = errors.New("too long")

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		// Exactly as much as is allowed is allowed.
		if n, err := b.Reader.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, errTooLong
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.Reader.Read(p)
	b.left -= int64(n)
	return n, err
}
