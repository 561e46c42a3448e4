package queryapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/celevent"
	"github.com/gatehouse-io/gatehouse/audit/query"
)

// Names of the resource.
const (
	// ServeGroup is the group under serve. An aggregated API server has AttachGroup,
	// since the API server of the cluster itself has the kinds of the other.
	ServeGroup  = "gatehouse.io"
	AttachGroup = "audit.gatehouse.io"
	Version     = "v1alpha1"
	Resource    = "auditevents"
)

// APIResource describes the resource for discovery.
func APIResource() metav1.APIResource {
	return metav1.APIResource{Name: Resource, SingularName: "auditevent", Namespaced: true, Kind: "AuditEvent", Verbs: metav1.Verbs{"get", "list", "watch"}}
}

// Options of a Handler. Those that are not set have useful values, but for Reader.
type Options struct {
	// Reader has the events. Needed.
	Reader audit.Reader
	// Group is that of the paths. Default: ServeGroup.
	Group string

	// Limit is how many events one answer has where the question does not say, and
	// MaxLimit how many at most; a longer answer says where to go on. Default: 500 and 10,000.
	Limit, MaxLimit int
	// MaxBytes is about how large one answer is at most. Default: 16 MiB.
	MaxBytes int
	// Timeout bounds the search for one answer. Default: 50s, which is less than an API
	// server gives a request.
	Timeout time.Duration
	// Questions is how many are worked on at a time, and Watches how many are
	// followed. Default: 8 and 64. More are refused, and may come again.
	Questions, Watches int
	// WatchTimeout is how long a watch lasts at most. Default: an hour.
	WatchTimeout time.Duration
	// Groups is how many groups are counted exactly. Default: query.DefaultGroups.
	Groups int
	// Tail says how a watch looks for what is new.
	Tail query.TailOptions

	// Clock tells the time. Default: the machine's.
	Clock clock.Clock
}

func (o *Options) setDefaults() error {
	if o.Reader == nil {
		return errors.New("answer audit queries: option Reader: is missing")
	}
	for name, n := range map[string]int{"Limit": o.Limit, "MaxLimit": o.MaxLimit, "MaxBytes": o.MaxBytes, "Questions": o.Questions, "Watches": o.Watches,
		"Groups": o.Groups, "Timeout": int(o.Timeout), "WatchTimeout": int(o.WatchTimeout)} {
		if n < 0 {
			return fmt.Errorf("answer audit queries: option %s: is negative", name)
		}
	}
	setDefault(&o.Group, ServeGroup)
	setDefault(&o.Limit, 500)
	setDefault(&o.MaxLimit, 10_000)
	setDefault(&o.MaxBytes, 16<<20)
	setDefault(&o.Timeout, 50*time.Second)
	setDefault(&o.Questions, 8)
	setDefault(&o.Watches, 64)
	setDefault(&o.WatchTimeout, time.Hour)
	setDefault(&o.Groups, query.DefaultGroups)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	o.Tail.Clock = o.Clock
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Handler answers. It is safe for concurrent use.
type Handler struct {
	opts Options
	env  *celevent.Env
	// questions and watches have a token for each that is under way.
	questions, watches chan struct{}
}

// New makes a Handler.
func New(o Options) (*Handler, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	env, err := celevent.NewEnv(celevent.Options{})
	if err != nil {
		return nil, err
	}
	return &Handler{opts: o, env: env, questions: make(chan struct{}, o.Questions), watches: make(chan struct{}, o.Watches)}, nil
}

// target is what a path means.
type target struct {
	namespace string
	scoped    bool
	// name is an audit ID, or one of those below; empty is the list.
	name string
}

// Names that are no audit ID.
const (
	nameActor    = "actor"
	nameTimeline = "timeline"
	nameSpan     = "span"
	nameRequests = "requests"
)

// targetOf reads a path. The namespace is never taken from anywhere else.
func (h *Handler) targetOf(path string) (t target, ok bool) {
	rest, ok := strings.CutPrefix(path, "/apis/"+h.opts.Group+"/"+Version+"/")
	if !ok {
		return t, false
	}
	parts := strings.Split(rest, "/")
	if parts[0] == "namespaces" {
		if len(parts) < 3 || parts[1] == "" {
			return t, false
		}
		t.namespace, t.scoped = parts[1], true
		parts = parts[2:]
	}
	if parts[0] != Resource || len(parts) > 2 {
		return t, false
	}
	if len(parts) == 2 {
		if t.name = parts[1]; t.name == "" {
			return t, false
		}
	}
	return t, true
}

// question is one request that is worked on.
type question struct {
	*Handler
	target target
	ask    *Ask
	where  *celevent.Program
	reader audit.Reader
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t, ok := h.targetOf(r.URL.Path)
	if !ok {
		writeStatus(w, apierrors.NewGenericServerResponse(http.StatusNotFound, strings.ToLower(r.Method), schema.GroupResource{Group: h.opts.Group, Resource: Resource}, "", "", 0, true))
		return
	}
	q := &question{Handler: h, target: t, reader: h.opts.Reader}
	if t.scoped {
		q.reader = query.Scoped(h.opts.Reader, t.namespace)
	}
	err := q.begin(r)
	if err == nil {
		err = q.answer(w, r)
	}
	if err != nil {
		writeStatus(w, statusOf(err))
	}
}

// begin reads the question.
func (q *question) begin(r *http.Request) (err error) {
	if r.Method != http.MethodGet {
		return apierrors.NewMethodNotSupported(schema.GroupResource{Group: q.opts.Group, Resource: Resource}, strings.ToLower(r.Method))
	}
	values, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if q.ask, err = ParseAsk(values, q.opts.Clock.Now()); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if q.ask.Watch && q.target.name != "" {
		return apierrors.NewBadRequest("watch: only lists are watched")
	}
	if q.ask.Where != "" {
		if q.where, err = q.env.Compile(q.ask.Where, celevent.Bool); err != nil {
			return apierrors.NewBadRequest("where: " + err.Error())
		}
	}
	return nil
}

// answer finds an answer and writes it.
func (q *question) answer(w http.ResponseWriter, r *http.Request) error {
	slots, ctx := q.questions, r.Context()
	if q.ask.Watch {
		slots = q.watches
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	default:
		return apierrors.NewTooManyRequests("too many questions about audit events are being answered", 1)
	}
	if q.ask.Watch {
		return q.watch(ctx, w)
	}
	ctx, cancel := context.WithTimeout(ctx, q.opts.Timeout)
	defer cancel()
	var body any
	var err error
	switch q.target.name {
	case "":
		body, err = q.list(ctx)
	case nameActor:
		body, err = q.actor(ctx)
	case nameTimeline:
		body, err = q.timeline(ctx)
	case nameSpan:
		body, err = q.span(ctx)
	case nameRequests:
		return q.requests(ctx, w)
	default:
		body, err = q.trail(ctx)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, body)
	return nil
}
