package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// start is when the first sample was.
var start = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// sample is an event like those of a cluster, a millisecond behind the one before.
func sample(i int) *audit.Event {
	at := start.Add(time.Duration(i) * time.Millisecond)
	e := &audit.Event{
		ID: fmt.Sprintf("7c1e3b5a-0000-4000-8000-%012d", i), Stage: audit.StageComplete, Level: "Metadata",
		Time: at, Received: at.Add(-3 * time.Millisecond), Verb: []string{"get", "list", "update", "watch"}[i%4],
		URI:  fmt.Sprintf("/api/v1/namespaces/shop-%d/secrets/db-%d?timeout=5s", i%7, i%31),
		User: fmt.Sprintf("user-%d@example.com", i%13), UID: "u-1", Groups: []string{"devs", "system:authenticated"},
		SourceIPs: []string{"10.0.0.7"}, UserAgent: "kubectl/v1.37.2 (linux/amd64)",
		APIVersion: "v1", Resource: []string{"secrets", "pods"}[i%2], Namespace: fmt.Sprintf("shop-%d", i%7), Name: fmt.Sprintf("db-%d", i%31),
		Code: 200, Annotations: map[string]string{audit.AnnotationDecision: "allow", audit.AnnotationReason: `RBAC: allowed by RoleBinding "devs/shop"`},
		Source: "serve",
	}
	if i%10 == 0 {
		e.Request, e.Response = []byte(`{"kind":"Pod","spec":{}}`), []byte(fmt.Sprintf(`{"kind":"Pod","n":%d}`, i))
	}
	if i%17 == 0 {
		e.Code, e.Annotations = 403, map[string]string{audit.AnnotationDecision: "forbid"}
	}
	return e
}

func samples(from, to int) []*audit.Event {
	var events []*audit.Event
	for i := from; i < to; i++ {
		events = append(events, sample(i))
	}
	return events
}

func mustOpen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	if o.SyncEvery == 0 {
		o.SyncEvery = DefaultSyncEvery
	}
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustAppend(t testing.TB, s *Store, events ...*audit.Event) {
	t.Helper()
	if err := s.Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
}

// collect is what a scan yields.
func collect(t testing.TB, r audit.Reader, s audit.Scan) (events []*audit.Event) {
	t.Helper()
	for e, err := range r.Scan(context.Background(), s) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

func ids(events []*audit.Event) (found []string) {
	for _, e := range events {
		found = append(found, e.ID)
	}
	return found
}

// agree holds a reader against audit.Memory over the same events.
func agree(t testing.TB, r audit.Reader, events []*audit.Event) {
	t.Helper()
	m := &audit.Memory{}
	m.Add(events...)
	for _, s := range questions() {
		got, want := collect(t, r, s), collect(t, m, s)
		if !slices.Equal(ids(got), ids(want)) {
			t.Fatalf("%+v: %d events, want %d", s, len(got), len(want))
		}
		for i := range got {
			if s.Bodies && (string(got[i].Request) != string(want[i].Request) || string(got[i].Response) != string(want[i].Response)) {
				t.Fatalf("%+v: event %d has other bodies", s, i)
			}
			if got[i].URI != want[i].URI || got[i].Reason() != want[i].Reason() || !slices.Equal(got[i].Groups, want[i].Groups) || !got[i].Received.Equal(want[i].Received) {
				t.Fatalf("%+v: event %d is another:\n got %+v\nwant %+v", s, i, got[i], want[i])
			}
		}
	}
	oldest, newest, err := r.Span(t.Context())
	first, last, _ := m.Span(t.Context())
	if err != nil || !oldest.Equal(first) || !newest.Equal(last) {
		t.Fatalf("span from %s to %s, want %s to %s: %v", oldest, newest, first, last, err)
	}
	sameRequests(t, r, m, time.Time{}, time.Time{})
}

func questions() (scans []audit.Scan) {
	filters := []audit.Filter{
		{}, {Users: []string{"user-3@example.com"}}, {Users: []string{"user-1*"}, Namespaces: []string{"shop-2"}},
		{From: start.Add(100 * time.Millisecond), To: start.Add(200 * time.Millisecond)},
		{Resources: []string{"secrets"}, Groups: []string{"devs"}, Verbs: []string{"get", "list"}},
		{Codes: []string{"4xx"}}, {Decisions: []string{"forbid"}}, {IPs: []string{"10.0.0.7"}, URIContains: "shop-4/"},
		{Users: []string{"nobody"}}, {IDs: []string{sample(77).ID}}, {Names: []string{"db-1?"}}, {UserAgents: []string{"kubectl*"}, Sources: []string{"serve"}},
		{Stages: []string{audit.StageStarted}},
	}
	for _, f := range filters {
		for _, order := range []audit.Order{audit.OldestFirst, audit.NewestFirst} {
			for _, limit := range []int{0, 1, 50} {
				scans = append(scans, audit.Scan{Filter: f, Order: order, Limit: limit, Bodies: limit == 1})
			}
		}
	}
	return scans
}

// sameRequests compares distinct requests, summing up what memory yields one by one.
func sameRequests(t testing.TB, r, m audit.Reader, from, to time.Time) {
	t.Helper()
	sums := func(r audit.Reader) map[string]string {
		type sum struct {
			first, last time.Time
			count       int64
		}
		found := map[string]*sum{}
		for q, err := range r.Requests(context.Background(), from, to) {
			if err != nil {
				t.Fatal(err)
			}
			key := fmt.Sprint(q.User, q.Groups, q.Extra, q.GroupsUnknown, q.Impersonator, q.Verb, q.APIGroup, q.Resource, q.Subresource, q.Namespace, q.Name, q.Path, q.NameOmitted, q.Decision)
			s := found[key]
			if s == nil {
				s = &sum{first: q.First, last: q.Last}
				found[key] = s
			}
			if q.First.Before(s.first) {
				s.first = q.First
			}
			if q.Last.After(s.last) {
				s.last = q.Last
			}
			s.count += q.Count
		}
		texts := map[string]string{}
		for k, s := range found {
			texts[k] = fmt.Sprint(s.first.UTC(), s.last.UTC(), s.count)
		}
		return texts
	}
	got, want := sums(r), sums(m)
	if len(got) != len(want) {
		t.Fatalf("%d distinct requests, want %d", len(got), len(want))
	}
	for k, w := range want {
		if got[k] != w {
			t.Fatalf("request %s:\n got %s\nwant %s", k, got[k], w)
		}
	}
}

func TestAppendThenScan(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "store"), Options{})
	mustAppend(t, s, samples(0, 700)...)
	agree(t, s, samples(0, 700))
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	agree(t, s, samples(0, 700))
	mustAppend(t, s, samples(500, 1200)...)
	agree(t, s, samples(0, 1200))
	if st := s.Stats(); st.Segments != 1 {
		t.Errorf("%+v", st)
	}
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	agree(t, s, samples(0, 1200))
	if st := s.Stats(); st.Segments != 2 || st.Events != 1200 || st.Pending != 0 || st.Appended != 1200 || st.Deduplicated != 200 {
		t.Errorf("%+v", st)
	}
}

// TestConcurrentAppends appends from many callers while parts are sealed and scanned.
func TestConcurrentAppends(t *testing.T) {
	s := mustOpen(t, t.TempDir()+"/s", Options{SegmentEvents: 500})
	const callers, each = 8, 60
	var group sync.WaitGroup
	for c := range callers {
		group.Go(func() {
			for i := range each {
				n := (c*each + i) * 10
				if err := s.Append(context.Background(), samples(n, n+10)); err != nil {
					t.Error(err)
					return
				}
				// It is seen at once.
				if i%10 == 0 && len(collect(t, s, audit.Scan{Filter: audit.Filter{IDs: []string{sample(n + 3).ID}}})) != 1 {
					t.Errorf("event %d was acknowledged and is not found", n+3)
				}
			}
		})
	}
	group.Wait()
	agree(t, s, samples(0, callers*each*10))
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	agree(t, s, samples(0, callers*each*10))
	if err := s.Upkeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	agree(t, s, samples(0, callers*each*10))
	if n := s.Stats().Segments; n > 3 {
		t.Errorf("%d segments after compaction", n)
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir() + "/s"
	s := mustOpen(t, dir, Options{SegmentEvents: 400})
	mustAppend(t, s, samples(0, 1000)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), samples(0, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	s = mustOpen(t, dir, Options{SegmentEvents: 400})
	mustAppend(t, s, samples(900, 1100)...)
	agree(t, s, samples(0, 1100))
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	agree(t, s, samples(0, 1100))
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir() + "/s"
	s := mustOpen(t, dir, Options{})
	_, err := Open(dir, Options{})
	inUse, ok := errors.AsType[*InUseError](err)
	if !ok || inUse.Process != fmt.Sprint(os.Getpid()) || !strings.Contains(err.Error(), "in use by process ") {
		t.Fatalf("a second opening: %v", err)
	}
	mustAppend(t, s, samples(0, 10)...)
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	agree(t, r, samples(0, 10))
}

func TestModes(t *testing.T) {
	dir := t.TempDir() + "/s"
	s := mustOpen(t, dir, Options{})
	mustAppend(t, s, samples(0, 100)...)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, samples(100, 110)...)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if strings.HasSuffix(path, ".pub") {
			return nil
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	s.Close()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "chmod 700 "+dir) {
		t.Errorf("a folder that others can read: %v", err)
	}
}
