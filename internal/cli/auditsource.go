package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
	"github.com/gatehouse-io/gatehouse/check/replay"
)

const auditSourceHelp = `
What was done is asked of the Gatehouse of the kubeconfig, or read from a store or a
bucket (--store) or from audit logs in files (--audit), in the forms of Kubernetes, EKS,
GKE, AKS and OpenShift.
`

// auditFlags say where audit events are read from, and of which time.
type auditFlags struct {
	store        string
	cluster      string // of a bucket
	files        []string
	since, until string
}

func (f *auditFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.store, "store", "", "a store of audit events: its folder, or the URL of a bucket: s3://, gs://, azblob:// or file://")
	flags.StringVar(&f.cluster, "cluster", "", "of a bucket, only the events of this cluster")
	flags.StringArrayVar(&f.files, "audit", nil, "audit logs: files, folders or -, plain or compressed; may be repeated")
	flags.StringVar(&f.since, "since", "", "no events before: 30d, 12h, 2006-01-02, or a time as in RFC 3339 (default: all there are)")
	flags.StringVar(&f.until, "until", "", "no events from then on (default: now)")
	cmd.MarkFlagsMutuallyExclusive("store", "audit")
}

// window is the time that is meant; zero is no bound.
func (f *auditFlags) window(now time.Time) (from, to time.Time, err error) {
	for _, flag := range []struct {
		name, text string
		into       *time.Time
	}{{"--since", f.since, &from}, {"--until", f.until, &to}} {
		if flag.text == "" {
			continue
		}
		if *flag.into, err = query.ParseTime(flag.text, now); err != nil {
			return from, to, coded(exitUsage, fmt.Errorf("%s: %w", flag.name, err))
		}
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, coded(exitUsage, &hintError{problem: "--since is not before --until", hint: "write --since 30d --until 1d"})
	}
	return from, to, nil
}

// check refuses flags that name no source, or read stdin twice. Where the permissions
// are those of files, no server has the events.
func (f *auditFlags) check(from []string, stdin ...[]string) error {
	if len(from) > 0 && len(f.files) == 0 && f.store == "" {
		return coded(exitUsage, &hintError{problem: "where are the audit events?", hint: "name their files with --audit FILE, or a store with --store DIR"})
	}
	read := 0
	for _, list := range append(stdin, from, f.files) {
		for _, path := range list {
			if path == "-" {
				read++
			}
		}
	}
	if read > 1 {
		return coded(exitUsage, errors.New("stdin can be read once"))
	}
	return nil
}

// unreadEventsError says that a part of audit logs could not be read. What could be was.
type unreadEventsError struct {
	places []string // the first, FILE:LINE: what
	count  int64
}

func (e *unreadEventsError) Error() string {
	text := "the answer may be incomplete: " + strings.Join(e.places, "; ")
	if more := e.count - int64(len(e.places)); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

func (e *unreadEventsError) Hint() string {
	return "see what is wrong with these lines, or leave the files out"
}

// auditSource is the past that a question is about.
type auditSource struct {
	// Reader has the distinct requests. Events have to be read by events: those of files
	// are not kept.
	audit.Reader
	from, to time.Time
	// unread is what could not be read of it.
	unread unreadEventsError

	files func() iter.Seq2[*audit.Event, error]
	// close lets go of it.
	close func() error
}

// open opens where the events are, and reads of files their distinct requests. config is
// that of the cluster that is asked about; nil for files.
func (f *auditFlags) open(cmd *cobra.Command, config *rest.Config, now time.Time) (*auditSource, error) {
	s := &auditSource{close: func() error { return nil }}
	var err error
	if s.from, s.to, err = f.window(now); err != nil {
		return nil, err
	}
	switch {
	case f.store != "":
		opened := &events{}
		if err := opened.openStore(cmd.Context(), f.store, f.cluster); err != nil {
			return nil, coded(exitUnreadable, err)
		}
		s.Reader, s.close = opened.Reader, opened.close
		return s, nil
	case len(f.files) == 0:
		client, err := connectEvents(cmd.Context(), config, "")
		if err != nil {
			return nil, err
		}
		s.Reader = client
		return s, nil
	}
	var stdin []byte
	if slices.Contains(f.files, "-") {
		if stdin, err = readStdin(cmd.InOrStdin()); err != nil {
			return nil, err
		}
	}
	s.files = func() iter.Seq2[*audit.Event, error] {
		s.unread = unreadEventsError{}
		return auditFiles(cmd.Context(), f.files, bytes.NewReader(stdin), &s.unread)
	}
	done := progress(cmd.ErrOrStderr(), "reading audit logs")
	defer done()
	reduced := &replay.Reduced{From: s.from, To: s.to}
	for e, err := range s.files() {
		if err != nil {
			return nil, err
		}
		reduced.Add(e)
	}
	s.Reader = reduced
	return s, nil
}

// mostSeenEvents is how many events of files are remembered, so that one that is there
// twice counts once: such files lie side by side.
const mostSeenEvents = 2_000_000

// events are those that a filter means, with their bodies, oldest first as far as a log
// has them so.
func (s *auditSource) events(ctx context.Context, filter audit.Filter) iter.Seq2[*audit.Event, error] {
	if s.files == nil {
		return s.Scan(ctx, audit.Scan{Filter: filter, Bodies: true})
	}
	return func(yield func(*audit.Event, error) bool) {
		seen := map[audit.Identity]bool{}
		for e, err := range s.files() {
			if err == nil && (!filter.Matches(e) || seen[e.Identity()]) {
				continue
			}
			if err == nil {
				if len(seen) >= mostSeenEvents {
					clear(seen)
				}
				seen[e.Identity()] = true
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// incomplete is the error of a past that could not be read whole; nil where it was.
func (s *auditSource) incomplete() error {
	if s.unread.count == 0 {
		return nil
	}
	return coded(exitUnreadable, &s.unread)
}
