package attach

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authorization/authorizer"
)

const anyReview = accessReview + `{"user":"jane","nonResourceAttributes":{"verb":"get","path":"/"}}}`

func TestWhatIsTurnedAwayUnread(t *testing.T) {
	s := newServer(t, Options{Endpoints: []Endpoint{Authorize(always(authorizer.DecisionAllow, "", nil))}, RequestSize: 1000})
	long := `{"a":"` + strings.Repeat("b", 1000) + `"}`
	for _, c := range []struct {
		name, method, media string
		body                io.Reader
		code                int
	}{
		{"get", http.MethodGet, "application/json", nil, http.StatusMethodNotAllowed},
		{"put", http.MethodPut, "application/json", strings.NewReader(anyReview), http.StatusMethodNotAllowed},
		{"a form", http.MethodPost, "application/x-www-form-urlencoded", strings.NewReader(anyReview), http.StatusUnsupportedMediaType},
		{"protobuf", http.MethodPost, "application/vnd.kubernetes.protobuf", strings.NewReader(anyReview), http.StatusUnsupportedMediaType},
		{"no media type at all", http.MethodPost, ";;", strings.NewReader(anyReview), http.StatusUnsupportedMediaType},
		{"with a charset", http.MethodPost, "application/json; charset=utf-8", strings.NewReader(anyReview), http.StatusOK},
		{"without a media type", http.MethodPost, "", strings.NewReader(anyReview), http.StatusOK},
		{"large, and says so", http.MethodPost, "application/json", strings.NewReader(long), http.StatusRequestEntityTooLarge},
		{"large, of unknown length", http.MethodPost, "application/json", io.MultiReader(strings.NewReader(long)), http.StatusRequestEntityTooLarge},
		{"cut short", http.MethodPost, "application/json", io.MultiReader(strings.NewReader("{"), failing{}), http.StatusBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "/authorize", c.body)
			if c.media != "" {
				r.Header.Set("Content-Type", c.media)
			}
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			if w.Code != c.code {
				t.Errorf("HTTP %d %s, want %d", w.Code, w.Body, c.code)
			}
			if w.Code != http.StatusOK {
				statusOf(t, w)
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestOneReviewTooManyIsToldToComeAgain(t *testing.T) {
	begun, finish := make(chan bool), make(chan bool)
	s := newServer(t, Options{ConcurrentReviews: 2, Endpoints: []Endpoint{
		Authorize(deciding(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
			begun <- true
			<-finish
			return authorizer.DecisionAllow, "", nil
		})),
		Authenticate(knowing(nil, nil), nil),
	}})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if w := post(t, s.Handler(), "/authorize", anyReview); w.Code != http.StatusOK {
				t.Errorf("HTTP %d %s", w.Code, w.Body)
			}
		})
		<-begun
	}
	w := post(t, s.Handler(), "/authorize", anyReview)
	if statusOf(t, w); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
		t.Errorf("HTTP %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if w := post(t, s.Handler(), "/authenticate", tokenReview+`{"token":"bad"}}`); w.Code != http.StatusOK {
		t.Errorf("the other endpoint: HTTP %d", w.Code)
	}
	close(finish)
	wg.Wait()
	go func() { <-begun }()
	if w := post(t, s.Handler(), "/authorize", anyReview); w.Code != http.StatusOK {
		t.Errorf("afterwards: HTTP %d %s", w.Code, w.Body)
	}
}

// TestFewLargeReviewsAreReadAtATime keeps bodies from taking all memory.
func TestFewLargeReviewsAreReadAtATime(t *testing.T) {
	begun, finish := make(chan bool), make(chan bool)
	s := newServer(t, Options{Endpoints: []Endpoint{Authorize(deciding(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		if len(a.GetUser().GetGroups()) > 0 {
			begun <- true
			<-finish
		}
		return authorizer.DecisionAllow, "", nil
	}))}})
	large := accessReview + `{"groups":["` + strings.Repeat("g", smallReview) + `"],"nonResourceAttributes":{"path":"/"}}}`
	var wg sync.WaitGroup
	for range largeReviews {
		wg.Go(func() {
			if w := post(t, s.Handler(), "/authorize", large); w.Code != http.StatusOK {
				t.Errorf("HTTP %d", w.Code)
			}
		})
		<-begun
	}
	if w := post(t, s.Handler(), "/authorize", large); w.Code != http.StatusTooManyRequests {
		t.Errorf("one large review more: HTTP %d", w.Code)
	}
	if w := post(t, s.Handler(), "/authorize", anyReview); w.Code != http.StatusOK {
		t.Errorf("a small one: HTTP %d %s", w.Code, w.Body)
	}
	close(finish)
	wg.Wait()
}

func TestManyAtOnce(t *testing.T) {
	s := newServer(t, Options{Endpoints: []Endpoint{Authorize(always(authorizer.DecisionAllow, "", nil))}})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 50 {
				if w := post(t, s.Handler(), "/authorize", anyReview); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"allowed":true`) {
					t.Errorf("HTTP %d %s", w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
}

func TestConnectionsMoveOnToOtherReplicas(t *testing.T) {
	s := newServer(t, Options{Endpoints: []Endpoint{Authorize(always(authorizer.DecisionAllow, "", nil))}})
	for _, major := range []int{1, 2} {
		closed := 0
		for range 20_000 {
			r := httptest.NewRequest(http.MethodPost, "/authorize", strings.NewReader(anyReview))
			r.ProtoMajor = major
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			if w.Header().Get("Connection") == "close" {
				closed++
			}
		}
		if major == 1 && closed > 0 || major == 2 && (closed < 2 || closed > 80) {
			t.Errorf("HTTP/%d: %d of 20000 connections are closed", major, closed)
		}
	}
}

// BenchmarkAuthorize is a review without the network and without a decision.
func BenchmarkAuthorize(b *testing.B) {
	s := newServer(b, Options{Endpoints: []Endpoint{Authorize(always(authorizer.DecisionAllow, "", nil))}})
	const body = accessReview + `{"user":"jane","groups":["devs","system:authenticated"],"resourceAttributes":{"namespace":"shop","verb":"list","version":"v1","resource":"pods"}}}`
	b.ReportAllocs()
	for b.Loop() {
		if w := post(b, s.Handler(), "/authorize", body); w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}

func TestAPanicAllowsNothing(t *testing.T) {
	s := newServer(t, Options{Endpoints: []Endpoint{Authorize(deciding(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
		panic("secret-of-jane")
	}))}})
	for range 3 {
		w := post(t, s.Handler(), "/authorize", anyReview)
		if statusOf(t, w); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "allowed") {
			t.Errorf("HTTP %d %s", w.Code, w.Body)
		}
	}
}

func TestAnErrorOfAGateIsNotShown(t *testing.T) {
	s := newServer(t, Options{Endpoints: []Endpoint{{Path: "/x", Answer: func(context.Context, []byte) (any, string, error) {
		return nil, "", errors.New("secret-of-jane")
	}}, {Path: "/y", Answer: func(context.Context, []byte) (any, string, error) {
		return func() {}, "odd", nil // which JSON cannot say
	}}}})
	for _, path := range []string{"/x", "/y"} {
		if w := post(t, s.Handler(), path, "{}"); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: HTTP %d %s", path, w.Code, w.Body)
		}
	}
}

func TestASlowReviewAllowsNothing(t *testing.T) {
	s := newServer(t, Options{ReviewTimeout: time.Millisecond, Endpoints: []Endpoint{
		Authorize(deciding(func(ctx context.Context, _ authorizer.Attributes) (authorizer.Decision, string, error) {
			<-ctx.Done()
			return authorizer.DecisionAllow, "", nil
		})),
	}})
	w := post(t, s.Handler(), "/authorize", anyReview)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"allowed":false`) || !strings.Contains(w.Body.String(), "deadline exceeded") {
		t.Errorf("HTTP %d %s", w.Code, w.Body)
	}
}

func TestNothingIsAnsweredBeforeAllIsRead(t *testing.T) {
	read := errors.New("the roles have not been read yet")
	s := newServer(t, Options{
		Endpoints: []Endpoint{Authorize(always(authorizer.DecisionAllow, "", nil)), Authenticate(knowing(nil, nil), nil)},
		Checks:    []Check{{Name: "rbac", Ready: func() error { return read }}, {Name: "guards", Ready: func() error { return nil }}},
	})
	get := func(h http.Handler, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	for path, body := range map[string]string{"/authorize": anyReview, "/authenticate": tokenReview + `{"token":"good"}}`} {
		w := post(t, s.Handler(), path, body)
		if st := statusOf(t, w); w.Code != http.StatusServiceUnavailable || !strings.Contains(st.Message, "rbac: the roles") {
			t.Errorf("%s: HTTP %d %s", path, w.Code, w.Body)
		}
	}
	for _, h := range []http.Handler{s.Handler(), s.HealthHandler()} {
		if w := get(h, "/livez"); w.Code != http.StatusOK {
			t.Errorf("/livez: HTTP %d", w.Code)
		}
		w := get(h, "/readyz?verbose")
		if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "[-]rbac failed") || !strings.Contains(w.Body.String(), "[+]guards ok") {
			t.Errorf("/readyz: HTTP %d %s", w.Code, w.Body)
		}
	}
	read = nil
	if w := post(t, s.Handler(), "/authorize", anyReview); w.Code != http.StatusOK {
		t.Errorf("HTTP %d %s", w.Code, w.Body)
	}
	if w := get(s.HealthHandler(), "/readyz?verbose"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "readyz check passed") {
		t.Errorf("/readyz: HTTP %d %s", w.Code, w.Body)
	}
	for _, path := range []string{"/authorize", "/metrics", "/"} {
		if w := get(s.HealthHandler(), path); w.Code != http.StatusNotFound {
			t.Errorf("%s on the unencrypted address: HTTP %d", path, w.Code)
		}
	}
}

func TestMetrics(t *testing.T) {
	s := newServer(t, Options{Endpoints: []Endpoint{Authorize(always(authorizer.DecisionDeny, "", nil))}})
	post(t, s.Handler(), "/authorize", anyReview)
	post(t, s.Handler(), "/authorize", "{")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`gatehouse_attach_requests_total{code="400",endpoint="/authorize"}`,
		`gatehouse_attach_verdicts_total{endpoint="/authorize",verdict="denied"}`,
		`gatehouse_attach_request_duration_seconds_count{endpoint="/authorize"}`,
		`gatehouse_attach_reviews_in_flight{endpoint="/authorize"} 0`,
	} {
		if !bytes.Contains(w.Body.Bytes(), []byte(want)) {
			t.Errorf("no %s", want)
		}
	}
	if bytes.Contains(w.Body.Bytes(), []byte("jane")) {
		t.Error("a name is in the metrics")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	one := []Endpoint{Authorize(always(authorizer.DecisionAllow, "", nil))}
	for _, c := range []struct {
		opts Options
		want string
	}{
		{Options{}, "Endpoints: is empty"},
		{Options{Endpoints: []Endpoint{{Path: "/x"}}}, `"/x" needs a path and an answer`},
		{Options{Endpoints: one, RequestSize: -1}, "RequestSize"},
	} {
		if _, err := New(c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}
