package queryapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
	"github.com/gatehouse-io/gatehouse/audit/queryapi"
	"github.com/gatehouse-io/gatehouse/audit/record"
)

var start = time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)

// filled has events of two namespaces and of none.
func filled(n int) *audit.Memory {
	m := &audit.Memory{}
	for i := range n {
		e := &audit.Event{
			ID: fmt.Sprintf("id-%03d", i), Stage: audit.StageComplete, Level: "RequestResponse", Time: start.Add(time.Duration(i) * time.Second), Received: start.Add(time.Duration(i) * time.Second),
			User: []string{"jane", "bob"}[i%2], Verb: []string{"get", "create", "delete"}[i%3], Resource: "pods", APIVersion: "v1", Namespace: []string{"shop", "other", ""}[i%3], Name: "x",
			Code: 200, Source: "serve", Annotations: map[string]string{audit.AnnotationDecision: "allow"},
			Request: []byte(`{"secretOf":"` + []string{"shop", "other", "cluster"}[i%3] + `"}`),
		}
		m.Add(e)
	}
	return m
}

func handler(t testing.TB, o queryapi.Options) *queryapi.Handler {
	t.Helper()
	h, err := queryapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(t testing.TB, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

const base = "/apis/gatehouse.io/v1alpha1/"

func TestList(t *testing.T) {
	m := filled(9)
	m.AddGap(audit.Gap{Start: start, End: start.Add(time.Minute), Count: 3, Reason: audit.GapDropped})
	h := handler(t, queryapi.Options{Reader: m})
	code, body := get(t, h, base+"auditevents?user=jane&limit=2&order=oldest")
	var list queryapi.EventList
	if err := json.Unmarshal([]byte(body), &list); err != nil || code != 200 {
		t.Fatal(code, body, err)
	}
	if list.Kind != "AuditEventList" || list.APIVersion != "gatehouse.io/v1alpha1" || len(list.Items) != 2 || list.Continue == "" || len(list.Gaps) != 1 || list.Gaps[0].Count != 3 {
		t.Errorf("%+v", list)
	}
	var d record.Decoder
	e, err := d.Event(list.Items[1])
	if err != nil || e.ID != "id-002" || e.Request != nil {
		t.Errorf("%+v, %v", e, err)
	}
	for query, want := range map[string]string{
		"auditevents?where=event.requestObject.secretOf%3D%3D%22shop%22&countBy=namespace": `"events":3,"distinct":1,"exact":true`,
		"auditevents?where=event.annotations.x%3D%3D%22shop%22":                            `"unjudged":{"count":9,"first":"no such key: x"}`,
		"auditevents?countBy=user&countBy=verb&limit=1":                                    `"distinct":6`,
		"auditevents?bodies=true&name=x&limit=1":                                           `"requestObject":{"secretOf":"cluster"}`,
		"namespaces/shop/auditevents?countBy=namespace":                                    `"values":["shop"],"count":3`,
		"auditevents/id-001":                                     `"kind":"AuditEventTrail"`,
		"auditevents/span":                                       `"oldest":"2026-03-04T05:00:00Z","newest":"2026-03-04T05:00:08Z"`,
		"namespaces/other/auditevents/span":                      `"oldest":"2026-03-04T05:00:01Z","newest":"2026-03-04T05:00:07Z"`,
		"auditevents/timeline?by=user":                           `"lanes":[{"name":"jane"`,
		"auditevents/actor?resource=pods&name=x&namespace=other": `"found":true`,
		"namespaces/shop/auditevents/actor?resource=pods&name=x": `"found":false`,
		"auditevents/requests?from=2026-03-04":                   `{"type":"END"}`,
		"auditevents?from=2026-03-04T05:00:08Z&to=2026-03-05":    `"id-008"`,
	} {
		if code, body := get(t, h, base+query); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %s", query, code, body, want)
		}
	}
}

func TestRefused(t *testing.T) {
	h := handler(t, queryapi.Options{Reader: filled(3)})
	for path, want := range map[string]string{
		"auditevents?usr=jane":                            "400 usr: is not a parameter",
		"auditevents?where=event.nope":                    "400 where: 1:6: undefined field 'nope'",
		"auditevents?where=" + strings.Repeat("x", 20000): "400 where: ",
		"auditevents?from=yesterday":                      "400 from: ",
		"auditevents?from=2026-02-02&to=2026-02-01":       "400 to: ",
		"auditevents?limit=-1":                            "400 limit: ",
		"auditevents?limit=1&limit=2":                     "400 limit: ",
		"auditevents?order=best":                          "400 order: ",
		"auditevents?continue=xx":                         "400 continue: ",
		"auditevents?countBy=colour":                      "400 countBy: ",
		"auditevents?bodies=perhaps":                      "400 bodies: ",
		"auditevents?%zz":                                 "400 the parameters",
		"auditevents?a;b":                                 "400 the parameters",
		"auditevents/nosuch":                              "404 ",
		"auditevents/id-001?watch=true":                   "400 watch: ",
		"auditevents/actor":                               "400 an actor",
		"auditevents/timeline?by=x":                       "400 by: ",
		"auditevents/requests?user=jane":                  "400 requests",
		"auditevents?watch=true&countBy=user":             "400 watch: ",
		"namespaces//auditevents":                         "404 ",
		"namespaces/shop/pods":                            "404 ",
		"auditevents/a/b":                                 "404 ",
		"auditevents/":                                    "404 ",
		"namespaces/shop":                                 "404 ",
		"auditevents?" + strings.Repeat("user=a&", 1001):  "400 user: ",
	} {
		code, body := get(t, h, base+path)
		var s metav1.Status
		if err := json.Unmarshal([]byte(body), &s); err != nil || s.Kind != "Status" || int(s.Code) != code || !strings.HasPrefix(fmt.Sprintf("%d %s", code, s.Message), want) {
			t.Errorf("%.60s: %d %s, want %s", path, code, body, want)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodDelete, base+"auditevents", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", w.Code)
	}
}

// slow is a reader that takes its time, until the context ends.
type slow struct {
	audit.Memory
	asked chan struct{} // closed by the first question
}

func (s *slow) Gaps(ctx context.Context, _, _ time.Time) ([]audit.Gap, error) {
	if s.asked != nil {
		close(s.asked)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestBounds(t *testing.T) {
	h := handler(t, queryapi.Options{Reader: &slow{}, Timeout: 20 * time.Millisecond, Questions: 1})
	if code, body := get(t, h, base+"auditevents/span"); code != http.StatusGatewayTimeout {
		t.Errorf("%d %s", code, body)
	}
	asked := make(chan struct{})
	h = handler(t, queryapi.Options{Reader: &slow{asked: asked}, Timeout: time.Minute, Questions: 1})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, base+"auditevents/span", nil).WithContext(ctx))
	}()
	<-asked
	if code, body := get(t, h, base+"auditevents"); code != http.StatusTooManyRequests {
		t.Errorf("%d %s", code, body)
	}
	cancel()
	<-done
	// Answers end where they are large, and go on there.
	m := filled(30)
	h = handler(t, queryapi.Options{Reader: m, MaxBytes: 2000, MaxLimit: 7})
	server := httptest.NewServer(h)
	defer server.Close()
	client := &queryapi.Client{Base: server.URL + strings.TrimSuffix(base, "/"), HTTP: server.Client()}
	n := 0
	for e, err := range client.Scan(context.Background(), audit.Scan{Bodies: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.ID != fmt.Sprintf("id-%03d", n) {
			t.Fatalf("%s is number %d", e.ID, n)
		}
		n++
	}
	if n != 30 {
		t.Errorf("%d events", n)
	}
}

// FuzzNamespace: whatever stands behind the ?, an answer in a namespace is of it alone.
func FuzzNamespace(f *testing.F) {
	f.Add("shop", "auditevents", "namespace=other&bodies=true")
	f.Add("shop", "auditevents", "namespace=*&countBy=namespace")
	f.Add("*", "auditevents", "bodies=1")
	f.Add("shop", "auditevents/id-001", "")
	f.Add("shop", "auditevents/*", "")
	f.Add("shop", "auditevents", `bodies=true&where=event.objectRef.namespace!="shop"||true`)
	f.Add("shop", "auditevents", `where=event.requestObject.x==1`)
	f.Add("shop", "auditevents/timeline", "namespace=other&by=namespace")
	f.Add("shop", "auditevents/actor", "resource=pods&name=x&namespace=other")
	f.Add("shop", "auditevents/requests", "")
	f.Add("shop/../other", "auditevents", "bodies=true")
	h := handler(f, queryapi.Options{Reader: filled(60)})
	f.Fuzz(func(t *testing.T, namespace, rest, parameters string) {
		if strings.Contains(parameters, "watch") {
			return
		}
		r := httptest.NewRequest(http.MethodGet, base, nil)
		r.URL = &url.URL{Path: base + "namespaces/" + namespace + "/" + rest, RawQuery: parameters}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 {
			return
		}
		// What the path means is what an API server has authorized: the part behind namespaces/.
		namespace, _, _ = strings.Cut(namespace, "/")
		body := w.Body.String()
		for _, other := range []string{"shop", "other", "cluster"} {
			if other != namespace && strings.Contains(body, `"secretOf":"`+other+`"`) {
				t.Fatalf("in %q is told of %s: %s", namespace, other, body)
			}
		}
		for _, other := range []string{"shop", "other"} {
			if other != namespace && !strings.Contains(parameters, other) && (strings.Contains(body, `"namespace":"`+other+`"`) || strings.Contains(body, `["`+other+`"]`)) {
				t.Fatalf("in %q is told of %s: %s", namespace, other, body)
			}
		}
	})
}

// TestClientIsTheReader compares what a client reads with what is there.
func TestClientIsTheReader(t *testing.T) {
	m := filled(40)
	m.AddGap(audit.Gap{Start: start.Add(time.Second), Count: -1, Reason: audit.GapUnreadable})
	m.AddGap(audit.Gap{Start: start.Add(-time.Hour), End: start.Add(-time.Minute), Count: 2, Reason: audit.GapDropped})
	// In the aggregated group, so that the client has to look for it.
	server := httptest.NewServer(handler(t, queryapi.Options{Reader: m, Group: queryapi.AttachGroup}))
	defer server.Close()
	ctx := context.Background()
	for _, namespace := range []string{"", "shop"} {
		var reader audit.Reader = m
		if namespace != "" {
			reader = query.Scoped(m, namespace)
		}
		c, err := queryapi.Connect(ctx, server.URL, server.Client(), namespace)
		if err != nil {
			t.Fatal(err)
		}
		c.Page = 3
		for _, s := range []audit.Scan{
			{}, {Order: audit.NewestFirst, Limit: 5}, {Bodies: true, Limit: 1},
			{Filter: audit.Filter{Users: []string{"ja*"}, Verbs: []string{"get", "delete"}, From: start.Add(3 * time.Second), To: start.Add(30 * time.Second), Codes: []string{"2xx"}, URIContains: ""}},
			{Filter: audit.Filter{Names: []string{"a&b=c", "ü"}}},
		} {
			read := func(r audit.Reader) (all []string) {
				for e, err := range r.Scan(ctx, s) {
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, string(queryapi.ItemOf(e, s.Bodies)))
				}
				return all
			}
			if got, want := read(c), read(reader); !slices.Equal(got, want) {
				t.Errorf("%q %+v: %d events, want %d", namespace, s, len(got), len(want))
			}
		}
		span := func(r audit.Reader) string {
			oldest, newest, err := r.Span(ctx)
			gaps, err2 := r.Gaps(ctx, start, time.Time{})
			n := 0
			for q, err := range r.Requests(ctx, time.Time{}, time.Time{}) {
				if err != nil || q.User == "" || q.Count != 1 {
					t.Fatal(q, err)
				}
				n++
			}
			return fmt.Sprint(oldest, newest, err, gaps, err2, n)
		}
		if got, want := span(c), span(reader); got != want {
			t.Errorf("%q: %s, want %s", namespace, got, want)
		}
		counts, err := c.Counts(ctx, queryapi.Ask{CountBy: []string{"user"}, Where: `event.verb == "get"`})
		if err != nil || len(counts.Groups) == 0 {
			t.Errorf("%+v, %v", counts, err)
		}
	}
	if _, err := queryapi.Connect(ctx, server.URL+"/nowhere", server.Client(), ""); !apierrors.IsNotFound(err) {
		t.Errorf("%v", err)
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	if _, err := queryapi.Connect(ctx, gone.URL, gone.Client(), ""); err == nil || apierrors.IsNotFound(err) {
		t.Errorf("%v", err)
	}
}

func TestWatch(t *testing.T) {
	m := filled(2)
	server := httptest.NewServer(handler(t, queryapi.Options{Reader: m, Tail: query.TailOptions{Every: 5 * time.Millisecond}}))
	defer server.Close()
	c, err := queryapi.Connect(context.Background(), server.URL, server.Client(), "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var got []string
	a := queryapi.Ask{Timeout: time.Second} // so that it is begun anew
	a.Filter.Users, a.Filter.From = []string{"jane", "late"}, start
	for news, err := range c.Watch(ctx, a) {
		if err != nil {
			t.Fatal(err)
		}
		if news.Gap != nil {
			got = append(got, "gap")
			break
		}
		got = append(got, news.Event.ID)
		switch len(got) {
		case 1:
			time.AfterFunc(1500*time.Millisecond, func() {
				m.Add(&audit.Event{ID: "new", Stage: audit.StageComplete, Level: "Metadata", User: "late", Time: time.Now().UTC().Truncate(time.Microsecond)})
			})
		case 2:
			m.AddGap(audit.Gap{Start: time.Now(), Count: 1, Reason: audit.GapDropped})
		}
	}
	if strings.Join(got, " ") != "id-000 new gap" {
		t.Errorf("%v", got)
	}
}

func FuzzAsk(f *testing.F) {
	f.Add("user=a&user=b&from=2h&where=true&limit=3&order=oldest&bodies=true")
	f.Add("by=user&uid=x&at=2026-01-01&deleted=1&continue=abc&timeoutSeconds=5&countBy=ip")
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		a, err := queryapi.ParseAsk(values, start)
		if err != nil {
			return
		}
		again, err := queryapi.ParseAsk(a.Values(), start)
		if err != nil || fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", again) {
			t.Fatalf("%+v became %+v, %v", a, again, err)
		}
	})
}
