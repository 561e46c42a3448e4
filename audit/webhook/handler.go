package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/record"
	"github.com/gatehouse-io/gatehouse/audit/redact"
)

// Options say how events are received. Sink and Redactor are needed.
type Options struct {
	Sink     audit.Sink
	Redactor *redact.Redactor
	// Source becomes Event.Source. Default webhook.
	Source string
	// MaxBody is how long a body may be, in bytes. Default 64 MiB; an API server that
	// truncates sends at most 10 MiB.
	MaxBody int64
	// MaxPending is how many bytes of bodies are read or kept at once. Default 128 MiB,
	// at least MaxBody.
	MaxPending int64
	// MaxConcurrent is how many lists are read or kept at once. Default 16.
	MaxConcurrent int
	// Patience is how long the Sink may take. Default 20 seconds: an API server waits 30.
	Patience time.Duration
	// Unreadable is told of elements that are no events, where it is set. The error
	// quotes nothing.
	Unreadable func(count int, first error)
}

// Handler is the server's side of an audit webhook.
type Handler struct {
	o        Options
	decoders sync.Pool // of *record.Decoder

	mu      sync.Mutex
	lists   int
	pending int64

	kept, unreadable, refused, failed atomic.Int64
}

// New makes a Handler. It panics without a Sink or a Redactor.
func New(o Options) *Handler {
	if o.Sink == nil || o.Redactor == nil {
		panic("webhook.New: Options needs a Sink and a Redactor")
	}
	if o.Source == "" {
		o.Source = "webhook"
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 64 << 20
	}
	if o.MaxPending <= 0 {
		o.MaxPending = 128 << 20
	}
	o.MaxPending = max(o.MaxPending, o.MaxBody)
	if o.MaxConcurrent <= 0 {
		o.MaxConcurrent = 16
	}
	if o.Patience <= 0 {
		o.Patience = 20 * time.Second
	}
	h := &Handler{o: o}
	h.decoders.New = func() any { return &record.Decoder{} }
	return h
}

// Counts are what became of what was posted.
type Counts struct {
	// Kept and Unreadable count events, Refused lists that were told to come back or could
	// not be read, Failed lists that the Sink did not take.
	Kept, Unreadable, Refused, Failed int64
}

// Counts tells them.
func (h *Handler) Counts() Counts {
	return Counts{h.kept.Load(), h.unreadable.Load(), h.refused.Load(), h.failed.Load()}
}

// reserve takes room for a body; false where there is none.
func (h *Handler) reserve(size int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lists >= h.o.MaxConcurrent || h.pending+size > h.o.MaxPending {
		return false
	}
	h.lists++
	h.pending += size
	return true
}

func (h *Handler) release(size int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lists--
	h.pending -= size
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		h.refuse(w, http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, "audit events are posted")
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Header.Get("Content-Type") != "" && (err != nil || kind != "application/json") {
		h.refuse(w, http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType, "audit events are posted as application/json")
		return
	}
	size := r.ContentLength
	if size > h.o.MaxBody {
		h.refuse(w, http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge, fmt.Sprintf("the list of events is longer than %d bytes", h.o.MaxBody))
		return
	}
	if size < 0 {
		size = h.o.MaxBody // nobody knows
	}
	if !h.reserve(size) {
		w.Header().Set("Retry-After", "1")
		h.refuse(w, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "too many audit events are being received")
		return
	}
	defer h.release(size)
	body, err := readBody(http.MaxBytesReader(w, r.Body, h.o.MaxBody), r.ContentLength)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		h.refuse(w, http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge, fmt.Sprintf("the list of events is longer than %d bytes", h.o.MaxBody))
		return
	} else if err != nil {
		h.refuse(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, "the list of events could not be read to its end")
		return
	}
	h.list(w, r, body)
}

// readBody reads a body whose length may be known.
func readBody(in io.Reader, length int64) ([]byte, error) {
	if length < 0 {
		return io.ReadAll(in)
	}
	body := make([]byte, length)
	_, err := io.ReadFull(in, body)
	return body, err
}

// list keeps a list of events.
func (h *Handler) list(w http.ResponseWriter, r *http.Request, body []byte) {
	d := h.decoders.Get().(*record.Decoder)
	d.Source = h.o.Source
	items, err := d.List(body)
	if err != nil {
		h.refuse(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
		return // the decoder goes too: it may have grown by what was no list
	}
	events := make([]*audit.Event, 0, len(items))
	unreadable := 0
	var first error
	for i := range items {
		if items[i].Err != nil {
			if unreadable++; first == nil {
				first = fmt.Errorf("item %d: %w", i, items[i].Err)
			}
			continue
		}
		h.o.Redactor.Event(items[i].Event)
		// What an event says of its source is for exports: a server that posts is the source.
		items[i].Event.Source = h.o.Source
		events = append(events, items[i].Event)
	}
	if len(body) < 1<<20 {
		h.decoders.Put(d)
	}
	if unreadable > 0 && len(events) == 0 {
		h.unreadable.Add(int64(unreadable))
		h.tell(unreadable, first)
		h.refuse(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, first.Error())
		return
	}
	if len(events) > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), h.o.Patience)
		defer cancel()
		if err := h.o.Sink.Append(ctx, events); err != nil {
			h.failed.Add(1)
			w.Header().Set("Retry-After", "5")
			h.answer(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "the audit events could not be kept")
			return
		}
	}
	// Told when the list is done with: a list that is posted again counts once.
	if unreadable > 0 {
		h.unreadable.Add(int64(unreadable))
		h.tell(unreadable, first)
	}
	h.kept.Add(int64(len(events)))
	h.answer(w, http.StatusOK, "", "")
}

func (h *Handler) tell(count int, first error) {
	if h.o.Unreadable != nil {
		h.o.Unreadable(count, first)
	}
}

func (h *Handler) refuse(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	h.refused.Add(1)
	h.answer(w, code, reason, message)
}

// answer writes a Status, which API servers read.
func (h *Handler) answer(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	status := metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess, Code: int32(code)}
	if code != http.StatusOK {
		status.Status, status.Reason, status.Message = metav1.StatusFailure, reason, message
		if after, err := strconv.Atoi(w.Header().Get("Retry-After")); err == nil {
			status.Details = &metav1.StatusDetails{RetryAfterSeconds: int32(after)}
		}
	}
	out, err := json.Marshal(status)
	if err != nil {
		panic(err) // a Status of ours always marshals
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(out) // whoever posted may have gone
}
