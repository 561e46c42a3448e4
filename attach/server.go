package attach

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/telemetry/trace"
)

const (
	defaultRequestSize       = 3 << 20
	defaultConcurrentReviews = 1000
	defaultReviewTimeout     = 10 * time.Second

	// headerTimeout, readTimeout and idleTimeout keep a connection that sends
	// slowly, or nothing, from being held for long. An API server keeps its
	// connection busy, or opens another.
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	idleTimeout   = 2 * time.Minute

	// maxHeader bounds the headers of a request, which carry next to nothing.
	maxHeader = 16 << 10

	// drainTimeout is how long reviews that are being worked on may take after
	// the server is told to stop.
	drainTimeout = 15 * time.Second
)

// Options shape a Server.
type Options struct {
	// Endpoints are the paths that reviews are answered on. Needed: at least one.
	Endpoints []Endpoint

	// Handlers answer on paths of their own what is no review, such as /audit, and bound
	// what a request of it costs. They are asked whether Checks hold or not. Default:
	// none.
	Handlers map[string]http.Handler

	// API answers on a listener of its own, and asks itself who its clients are.
	// Default: none.
	API http.Handler

	// Checks must all hold before any review is answered, and before /readyz
	// says so. Default: none.
	Checks []Check

	// Tracing makes a span of each request. Default: none.
	Tracing *trace.Tracing

	// RequestSize is the size of a review, in bytes, above which it is refused.
	// Default: 3 MiB.
	RequestSize int64

	// ConcurrentReviews is how many reviews of one endpoint are worked on at a
	// time. Default: 1000.
	ConcurrentReviews int

	// ReviewTimeout bounds one review. Default: 10s.
	ReviewTimeout time.Duration
}

// Server answers reviews. It is safe for concurrent use.
type Server struct {
	opts Options
	// stopping is set once the server is told to stop, and never unset.
	stopping atomic.Bool
	handler  http.Handler
	health   http.Handler
}

// New makes a server that listens nowhere yet.
func New(opts Options) (*Server, error) {
	if len(opts.Endpoints) == 0 {
		return nil, errors.New("make server: option Endpoints: is empty")
	}
	if opts.RequestSize < 0 || opts.ConcurrentReviews < 0 || opts.ReviewTimeout < 0 {
		return nil, errors.New("make server: options RequestSize, ConcurrentReviews and ReviewTimeout: must not be negative")
	}
	if opts.RequestSize == 0 {
		opts.RequestSize = defaultRequestSize
	}
	if opts.ConcurrentReviews == 0 {
		opts.ConcurrentReviews = defaultConcurrentReviews
	}
	if opts.ReviewTimeout == 0 {
		opts.ReviewTimeout = defaultReviewTimeout
	}
	registerMetrics()
	s := &Server{opts: opts}
	mux, health := http.NewServeMux(), http.NewServeMux()
	for _, e := range opts.Endpoints {
		if e.Path == "" || e.Answer == nil {
			return nil, fmt.Errorf("make server: option Endpoints: %q needs a path and an answer", e.Path)
		}
		mux.Handle(e.Path, &handler{
			Endpoint: e, size: opts.RequestSize, timeout: opts.ReviewTimeout,
			slots: make(chan struct{}, opts.ConcurrentReviews), large: make(chan struct{}, largeReviews), ready: s.ready, tracing: opts.Tracing,
		})
	}
	for path, h := range opts.Handlers {
		mux.Handle(path, counted(path, traced(opts.Tracing, path[1:], h)))
	}
	mux.Handle("/metrics", legacyregistry.Handler())
	for _, m := range []*http.ServeMux{mux, health} {
		healthz.InstallLivezHandler(m, healthz.PingHealthz)
		healthz.InstallReadyzHandler(m, s.checks()...)
	}
	s.handler, s.health = mux, health
	return s, nil
}

// Handler answers every path of the server.
func (s *Server) Handler() http.Handler { return s.handler }

// HealthHandler answers /livez and /readyz alone.
func (s *Server) HealthHandler() http.Handler { return s.health }

// ready says what keeps reviews from being answered. A server that is stopping
// answers those that still come.
func (s *Server) ready() error {
	for _, c := range s.opts.Checks {
		if err := c.Ready(); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	return nil
}

func (s *Server) checks() []healthz.HealthChecker {
	all := []healthz.HealthChecker{healthz.PingHealthz}
	for _, c := range s.opts.Checks {
		all = append(all, healthz.NamedCheck(c.Name, func(*http.Request) error { return c.Ready() }))
	}
	return append(all, healthz.NamedCheck("shutdown", func(*http.Request) error {
		if s.stopping.Load() {
			return errors.New("the server is stopping")
		}
		return nil
	}))
}

// Listeners are where a Server answers: reviews, and, where they are not nil, health
// without TLS and Options.API.
type Listeners struct{ Reviews, Health, API net.Listener }

// Serve answers on the listeners until ctx ends; then it lets the reviews that are being
// worked on finish. It closes them.
func (s *Server) Serve(ctx context.Context, l Listeners, config *tls.Config) error {
	main := s.server(s.handler)
	main.TLSConfig = config
	main.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: max(s.opts.ConcurrentReviews, 250)}
	servers := []*http.Server{main}
	ended := make(chan error, 3)
	go func() { ended <- main.ServeTLS(l.Reviews, "", "") }()
	if l.Health != nil {
		health := s.server(s.health)
		servers = append(servers, health)
		go func() { ended <- health.Serve(l.Health) }()
	}
	if l.API != nil {
		api := s.server(s.opts.API)
		api.TLSConfig = apiTLS(config)
		api.WriteTimeout = 0 // an answer is bounded by who gives it, and a watch goes on
		servers = append(servers, api)
		go func() { ended <- api.ServeTLS(l.API, "", "") }()
	}
	var failed error
	select {
	case failed = <-ended: // it was not told to
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	for _, server := range servers {
		if err := server.Shutdown(drain); err != nil {
			_ = server.Close()
			klog.ErrorS(err, "Reviews were still being answered when the server stopped")
		}
	}
	return failed
}

func (s *Server) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout + s.opts.ReviewTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(logWriter{}, "", 0),
	}
}

// logWriter takes what net/http says of connections that fail: a client's fault
// as a rule, and anybody can make it say much.
type logWriter struct{}

func (logWriter) Write(line []byte) (int, error) {
	klog.V(2).Info(string(line))
	return len(line), nil
}
