package queryapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
)

// Types of the lines of a stream.
const (
	lineAdded   = "ADDED"   // an Event
	lineGap     = "GAP"     // a Gap
	lineRequest = "REQUEST" // an audit.Request
	lineError   = "ERROR"   // a Status, the last line
	lineEnd     = "END"     // the last line of a stream that is complete
)

// line is one line of a stream.
type line struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object,omitempty"`
}

// writeTimeout is how long a client may take for one line, so that one that does not
// read holds nothing up.
const writeTimeout = 30 * time.Second

// stream writes lines. The first error is the end of it.
type stream struct {
	w   http.ResponseWriter
	c   *http.ResponseController
	err error
}

func newStream(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return &stream{w: w, c: http.NewResponseController(w)}
}

func (s *stream) write(kind string, object any) bool {
	if s.err != nil {
		return false
	}
	l := line{Type: kind}
	if object != nil {
		if l.Object, s.err = json.Marshal(object); s.err != nil {
			return false
		}
	}
	data, err := json.Marshal(l)
	if err == nil {
		_ = s.c.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every server can
		_, err = s.w.Write(append(data, '\n'))
	}
	s.err = err
	return err == nil
}

func (s *stream) flush() {
	if err := s.c.Flush(); s.err == nil && err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.err = err
	}
}

// fail writes why a stream ends in the middle.
func (s *stream) fail(err error) {
	var status apierrors.APIStatus
	errors.As(statusOf(err), &status)
	body := status.Status()
	body.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	s.write(lineError, body)
}

// watch tells what is new until the time of the watch is over.
func (q *question) watch(ctx context.Context, w http.ResponseWriter) error {
	if len(q.ask.CountBy) > 0 || q.ask.Continue != "" {
		return apierrors.NewBadRequest("watch: goes with neither countBy nor continue")
	}
	timeout := q.opts.WatchTimeout
	if q.ask.Timeout > 0 {
		timeout = min(timeout, q.ask.Timeout)
	}
	watching, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s := newStream(w)
	s.flush()
	tail := q.opts.Tail
	tail.Since = q.ask.Filter.From
	run := query.Query{Filter: q.ask.Filter, Where: q.where, Bodies: q.ask.Bodies}
	for news, err := range run.Tail(watching, q.reader, tail, nil) {
		switch {
		case err != nil:
			s.fail(err)
		case news.Gap != nil:
			s.write(lineGap, GapsOf([]audit.Gap{*news.Gap})[0])
		default:
			s.write(lineAdded, ItemOf(news.Event, q.ask.Bodies))
		}
		s.flush()
		if s.err != nil {
			break
		}
	}
	return nil
}

// requests tells the distinct requests of a time.
func (q *question) requests(ctx context.Context, w http.ResponseWriter) error {
	only := Ask{Order: audit.NewestFirst}
	only.Filter.From, only.Filter.To = q.ask.Filter.From, q.ask.Filter.To
	if q.ask.Values().Encode() != only.Values().Encode() {
		return apierrors.NewBadRequest("requests are told of a time alone: from and to")
	}
	s := newStream(w)
	for r, err := range q.reader.Requests(ctx, q.ask.Filter.From, q.ask.Filter.To) {
		if err != nil {
			s.fail(err)
			return nil
		}
		if !s.write(lineRequest, Request(*r)) {
			return nil
		}
	}
	s.write(lineEnd, nil)
	return nil
}
