package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"mime"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	auditv1 "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/internal/auditid"
	"github.com/gatehouse-io/gatehouse/telemetry/trace"
)

// Endpoint is one path of the server, and the gate that answers the reviews that
// are posted to it.
type Endpoint struct {
	// Path is where reviews are posted: /authorize.
	Path string

	// Answer makes the answer to a review, which is JSON that nobody has looked
	// at yet. verdict is what it comes to, one of few words, for the metrics. An
	// error is given to the client: with its own status where it has one
	// (apierrors.APIStatus), else as an internal error whose text is logged only.
	Answer func(ctx context.Context, review []byte) (answer any, verdict string, err error)
}

// handler is an Endpoint with everything around it that keeps a client from
// costing more than a review.
type handler struct {
	Endpoint
	size    int64
	timeout time.Duration
	// slots holds one element for each review that is being worked on, and large
	// one for each of those whose body is large, or of a length nobody has said.
	slots, large chan struct{}
	ready        func() error
	tracing      *trace.Tracing
}

const (
	// smallReview is the size up to which a review counts as small. An honest one
	// is a few hundred bytes, and some kilobytes for a user in many groups.
	smallReview = 64 << 10

	// largeReviews bounds those above it, so that the memory that bodies take is
	// bounded by far less than ConcurrentReviews times RequestSize.
	largeReviews = 16
)

// reconnectChance is how often an answer also asks the client to open another
// connection. An API server sends all reviews over one, and would go on with one
// replica for ever.
const reconnectChance = 1. / 1000

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	if r.ProtoMajor == 2 && rand.Float64() < reconnectChance {
		w.Header().Set("Connection", "close") // in HTTP/2 a GOAWAY, after which what has begun is answered
	}
	ctx, review := h.tracing.Review(identified(w, r), r)
	code, verdict := h.serve(ctx, w, r)
	review.End(code)
	count(h.Path, code, verdict, time.Since(began))
}

// serve answers one request and says how.
func (h *handler) serve(ctx context.Context, w http.ResponseWriter, r *http.Request) (code int, verdict string) {
	if err := h.admit(r); err != nil {
		return refuse(w, err), ""
	}
	slots := []chan struct{}{h.slots}
	if r.ContentLength < 0 || r.ContentLength > smallReview {
		slots = append(slots, h.large)
	}
	for _, slot := range slots {
		select {
		case slot <- struct{}{}:
			defer func() { <-slot }()
		default:
			return refuse(w, apierrors.NewTooManyRequests("as many reviews are being answered as limits.concurrentReviews allows", 1)), ""
		}
	}
	defer inFlight(h.Path)()

	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.size))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return refuse(w, h.tooLarge()), ""
	}
	if err != nil {
		return refuse(w, apierrors.NewBadRequest("the review could not be read to its end")), ""
	}
	ctx, cancel := context.WithTimeout(ctx, min(h.timeout, patience(r)))
	defer cancel()
	answer, verdict, err := h.answer(ctx, body)
	if err != nil {
		return refuse(w, err), ""
	}
	write(w, http.StatusOK, answer)
	return http.StatusOK, verdict
}

// patience is how long the client waits, as an API server tells its webhooks
// (?timeout=10s), less a tenth: an answer that nobody waits for says nothing.
func patience(r *http.Request) time.Duration {
	if asked, err := time.ParseDuration(r.URL.Query().Get("timeout")); err == nil && asked > 0 {
		return asked - asked/10
	}
	return math.MaxInt64
}

// admit looks at all of a request but its body.
func (h *handler) admit(r *http.Request) error {
	if r.Method != http.MethodPost {
		err := apierrors.NewMethodNotSupported(metav1.SchemeGroupVersion.WithResource("reviews").GroupResource(), r.Method)
		err.ErrStatus.Message = "a review is sent with POST"
		return err
	}
	if r.ContentLength > h.size {
		return h.tooLarge()
	}
	if kind := r.Header.Get("Content-Type"); kind != "" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || media != "application/json" {
			return status(http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType, "a review is JSON (Content-Type: application/json)")
		}
	}
	// Without a Retry-After: an API server that is told to wait holds its own
	// client up, and readiness leads it to another replica anyway.
	if err := h.ready(); err != nil {
		return status(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "no review can be answered yet: "+err.Error())
	}
	return nil
}

func (h *handler) tooLarge() error {
	return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("a review is at most %d bytes (limits.requestSize)", h.size))
}

// answer asks the gate. A panic in one is an internal error of that review: it
// allows nothing, and other reviews go on.
func (h *handler) answer(ctx context.Context, body []byte) (answer any, verdict string, err error) {
	defer func() {
		if p := recover(); p != nil {
			what := fmt.Sprintf("%T", p) // its text may hold a token, but for the runtime's own
			if own, ok := p.(runtime.Error); ok {
				what = own.Error()
			}
			auditid.Log(ctx).Error(nil, "A gate panicked; the review is refused", "endpoint", h.Path, "panic", what, "stack", string(debug.Stack()))
			answer, verdict, err = nil, "", errInternal
		}
	}()
	answer, verdict, err = h.Answer(ctx, body)
	if known := apierrors.APIStatus(nil); err != nil && !errors.As(err, &known) {
		auditid.Log(ctx).Error(err, "A review could not be answered", "endpoint", h.Path)
		err = errInternal
	}
	return answer, verdict, err
}

var errInternal = status(http.StatusInternalServerError, metav1.StatusReasonInternalError, "the review could not be answered; the log of gatehouse attach says why")

// decode reads a review of this apiVersion and kind.
func decode[T any](body []byte, apiVersion, kind, otherVersion string) (*T, error) {
	var meta metav1.TypeMeta
	if err := utiljson.Unmarshal(body, &meta); err != nil {
		return nil, apierrors.NewBadRequest("the body is no JSON object of a review")
	}
	switch {
	case meta.Kind == kind && meta.APIVersion == apiVersion:
	case meta.Kind == kind && meta.APIVersion != "":
		return nil, apierrors.NewBadRequest(fmt.Sprintf("want apiVersion %s, have %.100q: %s", apiVersion, meta.APIVersion, otherVersion))
	default:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("want a %s of %s, have kind %.100q of apiVersion %.100q", kind, apiVersion, meta.Kind, meta.APIVersion))
	}
	review := new(T)
	if err := utiljson.Unmarshal(body, review); err != nil {
		// What the decoder says may quote the review, a token for example.
		return nil, apierrors.NewBadRequest("a field of the review is of the wrong type")
	}
	return review, nil
}

func status(code int32, reason metav1.StatusReason, message string) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}}
}

// refuse writes an error as a Status object, as an API server would.
func refuse(w http.ResponseWriter, err error) (code int) {
	known := apierrors.APIStatus(errInternal)
	errors.As(err, &known)
	s := known.Status()
	s.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	if s.Details != nil && s.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(s.Details.RetryAfterSeconds))
	}
	if s.Code == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	write(w, int(s.Code), s)
	return int(s.Code)
}

func write(w http.ResponseWriter, code int, object any) {
	data, err := json.Marshal(object)
	if err != nil {
		klog.ErrorS(err, "An answer cannot be written as JSON", auditid.Key, w.Header().Get(auditv1.HeaderAuditID))
		code, data = http.StatusInternalServerError, []byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","code":500}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(data) // a client that is gone needs no answer
}
