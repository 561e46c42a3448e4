package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/bucket"
	"github.com/gatehouse-io/gatehouse/audit/bucket/drivers"
	"github.com/gatehouse-io/gatehouse/audit/chain"
	"github.com/gatehouse-io/gatehouse/audit/segment"
	"github.com/gatehouse-io/gatehouse/test/bench/audit/events"
)

// store is a bucket.Store in memory.
type store struct {
	segments  []bucket.Sealed
	data      map[uint64][]byte
	gaps      []audit.Gap
	published uint64
	fail      func(what string) error
}

func (s *store) add(t *testing.T, all []*audit.Event) {
	t.Helper()
	var b bytes.Buffer
	info, err := segment.Write(&b, all)
	if err != nil {
		t.Fatal(err)
	}
	if s.data == nil {
		s.data = map[uint64][]byte{}
	}
	n := uint64(len(s.segments) + 1)
	s.data[n] = b.Bytes()
	s.segments = append(s.segments, bucket.Sealed{Sequence: n, Info: info})
}

func (s *store) failure(what string) error {
	if s.fail == nil {
		return nil
	}
	return s.fail(what)
}

func (s *store) Sealed(_ context.Context, after uint64) (all []bucket.Sealed, err error) {
	for _, g := range s.segments {
		if g.Sequence > after {
			all = append(all, g)
		}
	}
	return all, nil
}

type content struct{ *bytes.Reader }

func (content) Close() error { return nil }

func (s *store) OpenSegment(_ context.Context, g bucket.Sealed) (bucket.Content, error) {
	return content{bytes.NewReader(s.data[g.Sequence])}, s.failure("open")
}

func (s *store) Gaps(context.Context, time.Time, time.Time) ([]audit.Gap, error) { return s.gaps, nil }

func (s *store) Published(_ context.Context, sequence uint64) error {
	if err := s.failure("published"); err != nil {
		return err
	}
	s.published = sequence
	return nil
}

func key(t *testing.T, seed uint64) *chain.Key {
	t.Helper()
	k, err := chain.NewKey(seeded{rand.NewPCG(seed, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

type seeded struct{ *rand.PCG }

func (s seeded) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(s.Uint64())
	}
	return len(b), nil
}

func open(t *testing.T, url string) *blob.Bucket {
	t.Helper()
	b, err := drivers.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func publisher(t *testing.T, b *blob.Bucket, s *store, replica string, k *chain.Key) *bucket.Publisher {
	t.Helper()
	p, err := bucket.NewPublisher(b, s, bucket.PublisherOptions{Cluster: "prod", Replica: replica, Key: k, Attempts: 1, Clock: clocktesting.NewFakeClock(time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC))})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// threeDays are events from an evening to the morning after the next day.
func threeDays(n int) (all []*audit.Event) {
	for e := range events.Stream(events.Options{Seed: 5, Count: n, Start: time.Date(2026, 3, 2, 20, 0, 0, 0, time.UTC), Every: 36 * time.Hour / time.Duration(n)}) {
		all = append(all, e)
	}
	return all
}

// two are two replicas with their stores; some events both have.
func two(t *testing.T, all []*audit.Event) (a, b *store) {
	a, b = &store{}, &store{}
	for i := 0; i < len(all); i += 700 {
		part := all[i:min(i+700, len(all))]
		if i/700%3 != 1 {
			a.add(t, part)
		}
		if i/700%3 != 0 {
			b.add(t, part)
		}
	}
	return a, b
}

func keys(t *testing.T, b *blob.Bucket) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	for it := b.List(nil); ; {
		o, err := it.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all[o.Key] = o.Size
	}
}

func collect(t *testing.T, r audit.Reader, s audit.Scan) (all []*audit.Event) {
	t.Helper()
	for e, err := range r.Scan(context.Background(), s) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestReplicasAreOneLog(t *testing.T) {
	ctx := context.Background()
	for _, url := range []string{"mem://", "file://" + t.TempDir()} {
		b := open(t, url)
		all := threeDays(7000)
		first, second := two(t, all)
		first.gaps = []audit.Gap{{Start: all[9].Time, End: all[10].Time, Count: 3, Reason: audit.GapDropped}}
		second.gaps = []audit.Gap{{Start: all[5].Time, Count: -1, Reason: audit.GapFull}}
		for i, s := range []*store{first, second} {
			p := publisher(t, b, s, fmt.Sprintf("gh-%d", i), key(t, uint64(i)))
			if err := p.Once(ctx); err != nil {
				t.Fatal(err)
			}
			c := p.Counters()
			if c.Segments != int64(len(s.segments)) || c.Waiting != 0 || c.Failures != 0 || s.published != uint64(len(s.segments)) {
				t.Fatalf("%+v, published %d of %d", c, s.published, len(s.segments))
			}
		}
		days := map[string]int{}
		for k := range keys(t, b) {
			if !strings.HasSuffix(k, ".parquet") {
				continue
			}
			data, err := b.ReadAll(ctx, k)
			if err != nil {
				t.Fatal(err)
			}
			g, err := segment.Open(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			from, to := g.Span()
			for _, at := range []time.Time{from, to} {
				if want := "cluster=prod/day=" + at.Format("2006-01-02") + "/"; !strings.HasPrefix(k, want) {
					t.Errorf("%s has events of %s", k, at)
				}
			}
			days[from.Format("2006-01-02")]++
		}
		if len(days) != 3 {
			t.Fatalf("days %v", days)
		}
		r, err := bucket.NewReader(b, bucket.ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		m := &audit.Memory{}
		m.Add(all...)
		for _, s := range []audit.Scan{
			{Bodies: true}, {Bodies: true, Order: audit.NewestFirst}, {Bodies: true, Limit: 9, Order: audit.NewestFirst}, {Bodies: true, Limit: 1},
			{Bodies: true, Filter: audit.Filter{From: all[900].Time, To: all[5000].Time, Verbs: []string{"get"}}},
			{Bodies: true, Filter: audit.Filter{Resources: []string{"secrets"}, Groups: []string{"oidc:*"}}, Order: audit.NewestFirst},
			{Bodies: true, Filter: audit.Filter{From: all[len(all)-1].Time.Add(time.Hour)}},
		} {
			got, want := collect(t, r, s), collect(t, m, s)
			if len(got) != len(want) {
				t.Fatalf("%d events, not %d: %+v", len(got), len(want), s)
			}
			for i := range got {
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Fatalf("event %d of %+v:\n%+v\n%+v", i, s, got[i], want[i])
				}
			}
		}
		oldest, newest, err := r.Span(ctx)
		if err != nil || !oldest.Equal(all[0].Time) || !newest.Equal(all[len(all)-1].Time) {
			t.Errorf("span %s to %s: %v", oldest, newest, err)
		}
		gaps, err := r.Gaps(ctx, time.Time{}, time.Time{})
		if err != nil || len(gaps) != 2 || gaps[0].Count != -1 || !gaps[0].End.IsZero() || gaps[1].Count != 3 {
			t.Errorf("gaps %+v: %v", gaps, err)
		}
		var requests, want int64
		for q, err := range r.Requests(ctx, time.Time{}, time.Time{}) {
			if err != nil {
				t.Fatal(err)
			}
			requests += q.Count
		}
		for q := range m.Requests(ctx, time.Time{}, time.Time{}) {
			want += q.Count
		}
		if requests != want {
			t.Errorf("%d requests, not %d", requests, want)
		}
		for i := range 2 {
			report, err := bucket.Verify(ctx, b, bucket.Place{Cluster: "prod", Replica: fmt.Sprintf("gh-%d", i)}, bucket.VerifyOptions{Keys: []chain.PublicKey{key(t, 0).Public, key(t, 1).Public}})
			if err != nil || report.Fault != nil || report.Rows == 0 || report.Ahead != 0 {
				t.Errorf("verify: %+v %v %v", report, report.Fault, err)
			}
		}
	}
}

// What was killed at any step does it once more, and what is there then is what would
// have been there without.
func TestPublishingIsResumed(t *testing.T) {
	ctx := context.Background()
	all := threeDays(4000)
	whole := open(t, "mem://")
	s, _ := two(t, all)
	if err := publisher(t, whole, s, "gh-0", key(t, 0)).Once(ctx); err != nil {
		t.Fatal(err)
	}
	b := open(t, "mem://")
	s, _ = two(t, all)
	failures := 0
	for try := 0; ; try++ {
		steps := 0
		s.fail = func(string) error {
			if steps++; steps > 2 {
				failures++
				return errors.New("killed")
			}
			return nil
		}
		if publisher(t, b, s, "gh-0", key(t, 0)).Once(ctx) == nil {
			break
		}
		if try > 50 {
			t.Fatal("it never ends")
		}
	}
	if got, want := keys(t, b), keys(t, whole); !reflect.DeepEqual(got, want) || failures < 3 {
		t.Errorf("after %d failures:\n%v\n%v", failures, got, want)
	}
	report, err := bucket.Verify(ctx, b, bucket.Place{Cluster: "prod", Replica: "gh-0"}, bucket.VerifyOptions{Keys: []chain.PublicKey{key(t, 0).Public}})
	if err != nil || report.Fault != nil {
		t.Errorf("%v %v", report.Fault, err)
	}
}

func TestOneNameIsForOneInstallation(t *testing.T) {
	b := open(t, "mem://")
	s, other := two(t, threeDays(3000))
	if err := publisher(t, b, s, "gh-0", key(t, 0)).Once(context.Background()); err != nil {
		t.Fatal(err)
	}
	before := keys(t, b)
	err := publisher(t, b, other, "gh-0", key(t, 1)).Once(context.Background())
	if err == nil || !strings.Contains(err.Error(), "choose another replica name") {
		t.Errorf("a second installation: %v", err)
	}
	if !reflect.DeepEqual(before, keys(t, b)) || other.published != 0 {
		t.Error("it wrote something")
	}
	// One whose name begins as another's is not taken for it.
	if err := publisher(t, b, other, "gh-0-1", key(t, 1)).Once(context.Background()); err != nil {
		t.Fatal(err)
	}
	for replica, k := range map[string]*chain.Key{"gh-0": key(t, 0), "gh-0-1": key(t, 1)} {
		report, err := bucket.Verify(context.Background(), b, bucket.Place{Cluster: "prod", Replica: replica}, bucket.VerifyOptions{Keys: []chain.PublicKey{k.Public}})
		if err != nil || report.Fault != nil {
			t.Errorf("%s: %v %v", replica, report.Fault, err)
		}
	}
}

func TestADamagedSegmentIsNotPublished(t *testing.T) {
	b := open(t, "mem://")
	s := &store{}
	for e := range events.Stream(events.Options{Count: 1}) {
		s.add(t, []*audit.Event{e})
	}
	s.data[1][20] ^= 1
	p := publisher(t, b, s, "gh-0", key(t, 0))
	if err := p.Once(context.Background()); err == nil || !strings.Contains(err.Error(), "changed since it was sealed") {
		t.Errorf("error %v", err)
	}
	for k := range keys(t, b) {
		if strings.HasSuffix(k, ".parquet") {
			t.Errorf("%s is there", k)
		}
	}
	if c := p.Counters(); c.Failures != 1 || c.Waiting != 1 || c.Oldest.IsZero() || c.Error == nil {
		t.Errorf("%+v", c)
	}
}

func TestRetriesAreBounded(t *testing.T) {
	s := &store{fail: func(what string) error { return errors.New("no network") }}
	clock := clocktesting.NewFakeClock(time.Now())
	p, err := bucket.NewPublisher(open(t, "mem://"), s, bucket.PublisherOptions{Cluster: "prod", Replica: "r", Key: key(t, 0), Attempts: 3, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- p.Once(context.Background()) }()
	for _, wait := range []time.Duration{time.Second, 2 * time.Second} {
		for !clock.HasWaiters() {
			time.Sleep(time.Millisecond)
		}
		clock.Step(wait)
	}
	if err := <-done; err == nil || p.Counters().Failures != 3 {
		t.Errorf("%v after %d failures", err, p.Counters().Failures)
	}
}

func TestNamesAndURLs(t *testing.T) {
	for _, name := range []string{"", "A", "a/b", "..", "a..b", "-a", strings.Repeat("a", 64), "a b", "a=b"} {
		if _, err := bucket.NewPublisher(nil, nil, bucket.PublisherOptions{Cluster: "c", Replica: name, Key: key(t, 0)}); err == nil {
			t.Errorf("replica %q is allowed", name)
		}
	}
	for _, url := range []string{"ftp://x", "s3://user:secret@bucket", "file", "s3://%zz:secret@b"} {
		if _, err := drivers.Open(context.Background(), url); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if !drivers.IsURL("s3://b/p") || drivers.IsURL("/var/lib/x") || drivers.IsURL("https://gatehouse:8443") {
		t.Error("IsURL")
	}
}

func TestStrays(t *testing.T) {
	ctx := context.Background()
	b := open(t, "mem://")
	s, _ := two(t, threeDays(2000))
	if err := publisher(t, b, s, "gh-0", key(t, 0)).Once(ctx); err != nil {
		t.Fatal(err)
	}
	if strays, err := bucket.Strays(ctx, b, ""); err != nil || len(strays) > 0 {
		t.Errorf("%v %v", strays, err)
	}
	for _, k := range []string{"cluster=prod/day=2026-03-02/x.parquet", "cluster=prod/day=2026-03-02/gh-9-0000000001.parquet", "cluster=other/day=2026-03-02/gh-0-0000000001.parquet"} {
		if err := b.WriteAll(ctx, k, []byte("x"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if strays, err := bucket.Strays(ctx, b, ""); err != nil || len(strays) != 3 {
		t.Errorf("%v %v", strays, err)
	}
}

// tamper changes a bucket; the fault that must be found names a segment with these words.
func TestTamperingIsNamed(t *testing.T) {
	ctx := context.Background()
	all := threeDays(7000)
	place := bucket.Place{Cluster: "prod", Replica: "gh-0"}
	const third, fourth = "gh-0-0000000003", "gh-0-0000000004"
	find := func(t *testing.T, b *blob.Bucket, part string) string {
		for k := range keys(t, b) {
			if strings.Contains(k, part) && strings.HasSuffix(k, ".parquet") {
				return k
			}
		}
		t.Fatalf("no %s", part)
		return ""
	}
	get := func(t *testing.T, b *blob.Bucket, k string) []byte {
		data, err := b.ReadAll(ctx, k)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	put := func(t *testing.T, b *blob.Bucket, k string, data []byte) {
		if err := b.WriteAll(ctx, k, data, nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		do   func(t *testing.T, b *blob.Bucket)
		kind string
		on   string
	}{
		"a byte is changed": {func(t *testing.T, b *blob.Bucket) {
			k := find(t, b, third)
			data := get(t, b, k)
			data[len(data)/2] ^= 1
			put(t, b, k, data)
		}, chain.Changed, third},
		"a file is removed": {func(t *testing.T, b *blob.Bucket) {
			if err := b.Delete(ctx, find(t, b, third)); err != nil {
				t.Fatal(err)
			}
		}, chain.Removed, third},
		"two are swapped": {func(t *testing.T, b *blob.Bucket) {
			x, y := find(t, b, third), find(t, b, fourth)
			dx, dy := get(t, b, x), get(t, b, y)
			put(t, b, x, dy)
			put(t, b, y, dx)
		}, chain.Reordered, third},
		"one is put into another day": {func(t *testing.T, b *blob.Bucket) {
			k := find(t, b, third)
			data := get(t, b, k)
			if err := b.Delete(ctx, k); err != nil {
				t.Fatal(err)
			}
			put(t, b, "cluster=prod/day=2020-01-01/"+k[strings.LastIndex(k, "/")+1:], data)
		}, chain.Reordered, third},
		"one is there twice": {func(t *testing.T, b *blob.Bucket) {
			k := find(t, b, third)
			put(t, b, "cluster=prod/day=2020-01-01/"+k[strings.LastIndex(k, "/")+1:], get(t, b, k))
		}, chain.Reordered, third},
		"one is added": {func(t *testing.T, b *blob.Bucket) {
			k := find(t, b, third)
			put(t, b, strings.Replace(k, third, "gh-0-0000000099", 1), get(t, b, k))
		}, chain.Added, "gh-0-0000000099"},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, "mem://")
			s, _ := two(t, all)
			if err := publisher(t, b, s, "gh-0", key(t, 0)).Once(ctx); err != nil {
				t.Fatal(err)
			}
			c.do(t, b)
			report, err := bucket.Verify(ctx, b, place, bucket.VerifyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if report.Fault == nil || report.Fault.Kind != c.kind || !strings.Contains(report.Fault.Segment, c.on) {
				t.Errorf("found %v", report.Fault)
			}
		})
	}
}
