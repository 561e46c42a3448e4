package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/record"
	"github.com/gatehouse-io/gatehouse/audit/redact"
)

// largestAuditLine is the longest line that is read of an audit log.
const largestAuditLine = 64 << 20

// mostUnread is how many places of what cannot be read are named.
const mostUnread = 3

// auditFiles yields the events of audit logs: an Event or an EventList of audit.k8s.io/v1
// a line, plain, gzip or zstd. They are redacted as they are read. A line that cannot be
// read is counted in unread, and the others are yielded.
func auditFiles(ctx context.Context, paths []string, stdin io.Reader, unread *unreadEventsError) iter.Seq2[*audit.Event, error] {
	return func(yield func(*audit.Event, error) bool) {
		var files []string
		for _, path := range paths {
			found, err := filesOf(path)
			if err != nil {
				yield(nil, coded(exitUnreadable, fmt.Errorf("read audit log: %w", err)))
				return
			}
			files = append(files, found...)
		}
		r := auditReading{unread: unread, redactor: redact.New(redact.Options{}), yield: yield}
		r.decoder.Source = "raw"
		for _, path := range files {
			if err := r.file(ctx, path, stdin); err != nil {
				if !errors.Is(err, errEnough) {
					yield(nil, coded(exitUnreadable, fmt.Errorf("read audit log: %w", err)))
				}
				return
			}
		}
	}
}

// filesOf is a file, or all files of a folder by name.
func filesOf(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	var files []string
	err := filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	slices.Sort(files)
	return files, err
}

// errEnough ends a reading that nobody takes from any more.
var errEnough = errors.New("enough")

type auditReading struct {
	unread   *unreadEventsError
	decoder  record.Decoder
	redactor *redact.Redactor
	yield    func(*audit.Event, error) bool
}

func (r *auditReading) file(ctx context.Context, path string, stdin io.Reader) error {
	in, name := stdin, path
	if path == "-" {
		name = "<stdin>"
	} else {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	plain, err := decompressed(bufio.NewReaderSize(in, 1<<20))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer plain.Close()
	lines := bufio.NewScanner(plain)
	lines.Buffer(make([]byte, 1<<20), largestAuditLine)
	n := 0
	for lines.Scan() {
		n++
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		items, err := r.decoder.List(line)
		if err != nil {
			r.bad(name, n, err)
			continue
		}
		for i := range items {
			if items[i].Err != nil {
				r.bad(name, n, items[i].Err)
				continue
			}
			r.redactor.Event(items[i].Event)
			if !r.yield(items[i].Event, nil) {
				return errEnough
			}
		}
	}
	if err := lines.Err(); err != nil {
		r.bad(name, n+1, err) // what came before is good
	}
	return nil
}

func (r *auditReading) bad(name string, line int, err error) {
	if r.unread.count++; len(r.unread.places) < mostUnread {
		r.unread.places = append(r.unread.places, fmt.Sprintf("%s:%d: %v", name, line, err))
	}
}

// decompressed is what a compressed file holds, or the file.
func decompressed(in *bufio.Reader) (io.ReadCloser, error) {
	magic, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(in)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		d, err := zstd.NewReader(in, zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(in), nil
}
