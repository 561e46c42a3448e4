package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/bucket"
	"github.com/gatehouse-io/gatehouse/audit/bucket/drivers"
	"github.com/gatehouse-io/gatehouse/audit/celevent"
	"github.com/gatehouse-io/gatehouse/audit/query"
	"github.com/gatehouse-io/gatehouse/audit/queryapi"
	"github.com/gatehouse-io/gatehouse/audit/store"
	"github.com/gatehouse-io/gatehouse/gate"
)

// eventFlags say where events are asked for.
type eventFlags struct {
	clusterFlags
	store   string
	cluster string // of a bucket
	files   []string
}

func (f *eventFlags) add(cmd *cobra.Command) {
	f.clusterFlags.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.store, "store", "", "a store: its folder, or the URL of a bucket: s3://, gs://, azblob:// or file://")
	flags.StringVar(&f.cluster, "cluster", "", "of a bucket, only the events of this cluster")
	flags.StringArrayVar(&f.files, "audit", nil, "audit logs: files, folders or -, plain or compressed; may be repeated")
	flags.Lookup("namespace").Usage = "only this namespace (default: all, and what is in none)"
	for _, other := range []string{"audit", "kubeconfig", "context"} {
		cmd.MarkFlagsMutuallyExclusive("store", other)
		if other != "audit" {
			cmd.MarkFlagsMutuallyExclusive("audit", other)
		}
	}
}

// events is where events are read from.
type events struct {
	audit.Reader
	// client is the same where it is a Gatehouse that runs; else nil.
	client *queryapi.Client
	// unread is what could not be read of files.
	unread unreadEventsError
	cmd    *cobra.Command
	close  func() error
}

// open opens the source. follow says that new events are waited for.
func (f *eventFlags) open(cmd *cobra.Command, follow bool) (*events, error) {
	s := &events{cmd: cmd, close: func() error { return nil }}
	ctx := cmd.Context()
	switch {
	case f.store != "":
		if err := s.openStore(ctx, f.store, f.cluster); err != nil {
			return nil, coded(exitUnreadable, err)
		}
	case len(f.files) > 0:
		memory := &audit.Memory{}
		done := progress(cmd.ErrOrStderr(), "reading audit logs")
		defer done()
		for e, err := range auditFiles(ctx, f.files, cmd.InOrStdin(), &s.unread) {
			if err != nil {
				return nil, err
			}
			memory.Add(e)
		}
		s.Reader = memory
	default:
		config, _, err := f.connect()
		if err != nil {
			return nil, err
		}
		if follow {
			config.Timeout = 0
		}
		if s.client, err = connectEvents(ctx, config, f.namespace); err != nil {
			return nil, err
		}
		s.Reader = s.client
		return s, nil // the server keeps to the namespace
	}
	if f.namespace != "" {
		s.Reader = query.Scoped(s.Reader, f.namespace)
	}
	return s, nil
}

// openStore opens a store in a folder or in a bucket.
func (s *events) openStore(ctx context.Context, place, cluster string) error {
	if !strings.Contains(place, "://") {
		reader, err := store.OpenReader(place)
		if err == nil {
			s.Reader, s.close = reader, reader.Close
		}
		return err
	}
	b, err := drivers.Open(ctx, place)
	if err != nil {
		return err
	}
	reader, err := bucket.NewReader(b, bucket.ReaderOptions{Cluster: cluster})
	if err != nil {
		return errors.Join(err, b.Close())
	}
	s.Reader, s.close = reader, func() error { reader.Close(); return b.Close() }
	return nil
}

// connectEvents finds the API of a Gatehouse that runs.
func connectEvents(ctx context.Context, config *rest.Config, namespace string) (*queryapi.Client, error) {
	h, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, coded(exitUnreadable, err)
	}
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, coded(exitUnreadable, err)
	}
	client, err := queryapi.Connect(ctx, strings.TrimSuffix(server.String(), "/"), h, namespace)
	return client, askError(err)
}

// askError gives an error of a question its exit code and its mend.
func askError(err error) error {
	var status *apierrors.StatusError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &status):
		if _, ok := errors.AsType[codedError](err); ok {
			return err
		}
		return coded(exitInternal, err)
	}
	message := gate.Plain(status.ErrStatus.Message)
	switch code := status.ErrStatus.Code; {
	case code == http.StatusNotFound && status.ErrStatus.Details == nil:
		return coded(exitUnreadable, &hintError{problem: "this cluster answers no questions about audit events", hint: "name a store with --store DIR or files with --audit FILE; docs/audit-query.md says how to have the API"})
	case code == http.StatusForbidden || code == http.StatusUnauthorized:
		return coded(exitUnreadable, &hintError{problem: message, hint: "get, list or watch of auditevents is needed; with -n NAMESPACE in that namespace alone"})
	case code == http.StatusBadRequest:
		return coded(exitUsage, errors.New(message))
	case code == http.StatusNotFound || code == http.StatusGatewayTimeout:
		return coded(exitUnreadable, errors.New(message))
	}
	return coded(exitInternal, errors.New(message))
}

// note says something that is no part of the answer.
func (s *events) note(format string, args ...any) {
	fmt.Fprintln(s.cmd.ErrOrStderr(), "note: "+gate.Plain(fmt.Sprintf(format, args...)))
}

// done closes the source. What could not be read makes an answer incomplete.
func (s *events) done(err error) error {
	err = askError(err)
	if closed := s.close(); err == nil {
		err = coded(exitInternal, closed)
	}
	if err == nil && s.unread.count > 0 {
		err = coded(exitUnreadable, &s.unread)
	}
	return err
}

// run asks for events. Where they are somewhere else, the condition is judged there.
func (s *events) run(ctx context.Context, a queryapi.Ask, where *celevent.Program, u *query.Unjudged) iter.Seq2[*audit.Event, error] {
	if s.client != nil {
		return s.client.Events(ctx, a, u)
	}
	q := query.Query{Filter: a.Filter, Where: where, Order: a.Order, Limit: a.Limit, Bodies: a.Bodies}
	return q.Run(ctx, s.Reader, u)
}

// tellGaps notes what is missing of a time.
func (s *events) tellGaps(gaps []audit.Gap) {
	const most = 5
	for i, g := range gaps {
		if i == most {
			s.note("and %d more times in which events are missing: -o json has them all", len(gaps)-most)
			return
		}
		s.note("%s", gapText(g))
	}
}

// gapText is a gap in words.
func gapText(g audit.Gap) string {
	to := "until now"
	if !g.End.IsZero() {
		to = "to " + clockTime(g.End)
	}
	what := "events are"
	switch {
	case g.Count == 1:
		what = "1 event is"
	case g.Count >= 0:
		what = fmt.Sprintf("%d events are", g.Count)
	}
	return fmt.Sprintf("from %s %s %s missing: %s", clockTime(g.Start), to, what, g.Reason)
}

// tellSpan notes that a time was asked for of which the source can know nothing.
func (s *events) tellSpan(ctx context.Context, from, to time.Time, found int) error {
	oldest, newest, err := s.Span(ctx)
	switch {
	case err != nil:
		return err
	case oldest.IsZero():
		s.note("there are no events at all")
	case !from.IsZero() && from.Before(oldest):
		s.note("the oldest event is of %s: of the time before nothing is known", clockTime(oldest))
	case found == 0 && !to.IsZero() && to.Before(oldest):
		s.note("the oldest event is of %s: of the time before nothing is known", clockTime(oldest))
	case found == 0 && !from.IsZero() && from.After(newest):
		s.note("the newest event is of %s", clockTime(newest))
	}
	return nil
}

// clockTime is a time as flags take it too.
func clockTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
