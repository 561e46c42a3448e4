package chain

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"maps"
	"strings"
)

// Dir is the chain in one folder of files: segments by their suffix, links and the head.
type Dir struct {
	FS fs.FS
	// Suffix is that of the segments, .parquet where it is empty.
	Suffix string
}

// Names implements Source. Files that are neither segments nor links are none of the
// chain's.
func (d Dir) Names(context.Context) ([]string, error) {
	suffix := d.Suffix
	if suffix == "" {
		suffix = ".parquet"
	}
	entries, err := fs.ReadDir(d.FS, ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if n := e.Name(); !e.IsDir() && (strings.HasSuffix(n, suffix) || strings.HasSuffix(n, LinkSuffix)) {
			names = append(names, n)
		}
	}
	return names, nil
}

// Read implements Source.
func (d Dir) Read(_ context.Context, name string) ([]byte, error) { return fs.ReadFile(d.FS, name) }

// Open implements Source.
func (d Dir) Open(_ context.Context, name string) (io.ReadCloser, error) { return d.FS.Open(name) }

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func keysOf(m map[string]bool) iter.Seq[string] { return maps.Keys(m) }

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx  context.Context
	from io.Reader
}

func (r contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(b)
}
