package segment_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/segment"
)

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

func list(r *rand.Rand, of ...string) (all []string) {
	for range r.IntN(4) {
		all = append(all, pick(r, of...))
	}
	return all
}

// randomEvent is an event with every field set at times, empty at others.
func randomEvent(r *rand.Rand, i int, at time.Time) *audit.Event {
	e := &audit.Event{
		ID: fmt.Sprintf("%08x-%04d", r.Uint32(), i), Stage: pick(r, audit.StageComplete, audit.StageComplete, audit.StageStarted, audit.StageReceived, audit.StagePanic),
		Level: pick(r, "Metadata", "Request", "RequestResponse"), Time: at,
		Verb: pick(r, "get", "list", "watch", "create", "delete"), URI: "/api/v1/namespaces/" + pick(r, "shop", "web", "db") + "/pods/" + pick(r, "a", "b", "") + "?x=" + fmt.Sprint(r.IntN(20)),
		User: pick(r, "jane", "bob", "system:node:n1", "system:serviceaccount:shop:api", ""), UID: pick(r, "", "u1", "u2"),
		Groups: list(r, "dev", "ops", "system:authenticated"), Constraint: pick(r, "", "", "impersonate-on:user-info:get"),
		SourceIPs: list(r, "10.0.0.1", "10.0.0.2", "192.168.1.7"), UserAgent: pick(r, "kubectl/v1.37", "curl/8", "", "Mozilla/5.0 (X11)"),
		APIGroup: pick(r, "", "", "apps", "rbac.authorization.k8s.io"), APIVersion: pick(r, "v1", ""), Resource: pick(r, "pods", "secrets", "deployments", ""),
		Subresource: pick(r, "", "", "", "exec", "log"), Namespace: pick(r, "shop", "web", ""), Name: pick(r, "", "a", "b", "web-7"), ObjectUID: pick(r, "", "o1"),
		ResourceVersion: pick(r, "", "17"), Code: int32([]int{0, 200, 201, 403, 404, 500}[r.IntN(6)]),
		Status: pick(r, "", "Success", "Failure"), StatusReason: pick(r, "", "Forbidden"), Message: pick(r, "", "pods is forbidden", "\x00 odd ✓"),
		Truncated: r.IntN(9) == 0, Source: pick(r, "serve", "webhook", "gke"), Unknown: list(r, audit.UnknownGroups, audit.UnknownCode),
	}
	if r.IntN(3) > 0 {
		e.Received = at.Add(-time.Duration(r.IntN(5000)) * time.Microsecond)
	}
	if r.IntN(4) == 0 {
		e.AsUser, e.AsUID, e.AsGroups = pick(r, "root", "jane"), pick(r, "", "9"), list(r, "dev", "admins")
		e.AsExtra = map[string][]string{"scopes": {"a", "b"}}
	}
	for range r.IntN(3) {
		if e.Extra == nil {
			e.Extra = map[string][]string{}
		}
		e.Extra[pick(r, "k1", "k2", "authentication.kubernetes.io/credential-id")] = list(r, "v1", "v2", "")
	}
	for range r.IntN(4) {
		if e.Annotations == nil {
			e.Annotations = map[string]string{}
		}
		e.Annotations[pick(r, audit.AnnotationDecision, audit.AnnotationReason, "a/b", "c/d")] = pick(r, "allow", "forbid", "")
	}
	if r.IntN(4) == 0 {
		e.Request = []byte(`{"a":` + fmt.Sprint(r.IntN(100)) + `}`)
	}
	if r.IntN(6) == 0 {
		e.Response = []byte(`{"kind":"Status"}`)
	}
	if r.IntN(30) == 0 {
		e.Response = []byte{}
	}
	return e
}

// randomEvents are sorted events, some at the same time.
func randomEvents(r *rand.Rand, n int) []*audit.Event {
	m := &audit.Memory{}
	at := time.Date(2026, 3, 1, 23, 59, 0, 0, time.UTC)
	for i := range n {
		m.Add(randomEvent(r, i, at))
		at = at.Add(time.Duration(r.IntN(3)) * 137 * time.Millisecond)
	}
	return collect(m.Scan(context.Background(), audit.Scan{}), nil)
}

func collect(seq func(func(*audit.Event, error) bool), t *testing.T) (all []*audit.Event) {
	for e, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func write(t testing.TB, events []*audit.Event) (*segment.Segment, segment.Info, []byte) {
	t.Helper()
	var b bytes.Buffer
	info, err := segment.Write(&b, events)
	if err != nil {
		t.Fatal(err)
	}
	s, err := segment.Open(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return s, info, b.Bytes()
}

func TestEventsComeBack(t *testing.T) {
	for _, n := range []int{0, 1, 7, 1025, 5000} {
		events := randomEvents(rand.New(rand.NewPCG(1, uint64(n))), n)
		s, info, data := write(t, events)
		if info.Rows != int64(n) || info.Bytes != int64(len(data)) || s.Rows() != info.Rows {
			t.Fatalf("info %+v of %d events", info, n)
		}
		got := collect(s.Scan(context.Background(), audit.Scan{Bodies: true}), t)
		if len(got) != n {
			t.Fatalf("%d of %d events", len(got), n)
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], events[i]) {
				t.Fatalf("%d of %d: got\n%+v\nnot\n%+v", i, n, got[i], events[i])
			}
		}
	}
}

// randomFilter asks for some of what randomEvent makes.
func randomFilter(r *rand.Rand, events []*audit.Event) (f audit.Filter) {
	some := func(to *[]string, of ...string) {
		if r.IntN(6) == 0 {
			for range 1 + r.IntN(2) {
				*to = append(*to, pick(r, of...))
			}
		}
	}
	at := func() time.Time {
		return events[r.IntN(len(events))].Time.Add(time.Duration(r.IntN(3)-1) * 500 * time.Nanosecond)
	}
	if r.IntN(3) == 0 {
		f.From = at()
	}
	if r.IntN(3) == 0 {
		f.To = at()
	}
	some(&f.IDs, events[r.IntN(len(events))].ID, events[r.IntN(len(events))].ID, "*7", "f*", "no")
	some(&f.Stages, audit.StageComplete, audit.StageStarted, "Resp*", "*")
	some(&f.Users, "jane", "bob", "root", "system:*", "*node*", "", "nobody", "*")
	some(&f.Groups, "dev", "admins", "system:*", "none", "*")
	some(&f.Verbs, "get", "list", "w*", "none", "")
	some(&f.Resources, "pods", "secrets", "pods/exec", "pods/*", "*", "deployments.apps", "*.apps", "*/*", "", "none")
	some(&f.Namespaces, "shop", "", "*e*", "none")
	some(&f.Names, "a", "web-*", "*7", "", "none")
	some(&f.Codes, "200", "4xx", "5XX", "000", "999", "bad")
	some(&f.Decisions, "allow", "forbid", "", "*", "none")
	some(&f.IPs, "10.0.0.1", "10.*", "none", "*")
	some(&f.UserAgents, "kubectl*", "curl/8", "", "none")
	some(&f.Sources, "serve", "gke", "none")
	if r.IntN(6) == 0 {
		f.URIContains = pick(r, "shop", "pods/a", "x=1", "?x=19", "none", "\x00\x00", "/api/v1/namespaces/shop/pods/a?x=3")
	}
	return f
}

func TestScansAsMemoryDoes(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 2))
		events := randomEvents(r, []int{1, 300, 4097, 20_000}[seed])
		m := &audit.Memory{}
		m.Add(events...)
		s, _, _ := write(t, events)
		matched := 0
		for range 60 {
			scan := audit.Scan{Filter: randomFilter(r, events), Order: audit.Order(r.IntN(2)), Bodies: r.IntN(2) == 0}
			if r.IntN(3) == 0 {
				scan.Limit = 1 + r.IntN(20)
			}
			got := collect(s.Scan(context.Background(), scan), t)
			want := collect(m.Scan(context.Background(), scan), t)
			matched += len(got)
			if len(got) != len(want) {
				t.Fatalf("%d events, not %d: %+v", len(got), len(want), scan)
			}
			for i := range got {
				w := *want[i]
				if !scan.Bodies {
					w.Request, w.Response = nil, nil
				}
				if !reflect.DeepEqual(got[i], &w) {
					t.Fatalf("event %d of %+v: got\n%+v\nnot\n%+v", i, scan, got[i], &w)
				}
			}
		}
		t.Logf("%d events, %d matched", len(events), matched)
	}
}
