package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/format"
	"github.com/gatehouse-io/gatehouse/audit/redact"
)

// mostUnread is how many places of what cannot be read are named.
const mostUnread = 3

// auditFiles yields the events of audit logs in any form that package format reads,
// compressed or not. They are redacted as they are read. What cannot be read is counted in
// unread, and everything else is yielded; lines of another log are passed over.
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
		redactor := redact.New(redact.Options{})
		for _, path := range files {
			if err := auditFile(ctx, path, stdin, redactor, unread, yield); err != nil {
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

func auditFile(ctx context.Context, path string, stdin io.Reader, redactor *redact.Redactor, unread *unreadEventsError, yield func(*audit.Event, error) bool) error {
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
	n := 0
	for e, problem := range format.Read(in, name, format.Options{}) {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case problem == nil:
			redactor.Event(e)
			if !yield(e, nil) {
				return errEnough
			}
		case problem.Reason != format.Foreign:
			if unread.count++; len(unread.places) < mostUnread {
				unread.places = append(unread.places, problem.Error())
			}
		}
	}
	return nil
}
