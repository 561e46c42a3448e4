package trail

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/grpc"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	logbackend "k8s.io/apiserver/plugin/pkg/audit/log"
	"k8s.io/component-base/metrics"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/bucket"
	"github.com/gatehouse-io/gatehouse/audit/bucket/drivers"
)

const planted = "correct-horse-7"

func settings(dir string) v1alpha1.AuditStoreOptions {
	age, size := int32(90), resource.MustParse("1Gi")
	return v1alpha1.AuditStoreOptions{DataDir: dir, MaxAgeDays: &age, MaxSize: &size, Overflow: v1alpha1.OverflowBlock, SyncInterval: &metav1.Duration{}, Cluster: "test"}
}

// secretEvent is one of a Secret that is made, with its body. All have one audit ID, which
// a client can choose: none may vanish behind another.
func secretEvent(id string) *auditinternal.Event {
	return &auditinternal.Event{
		Level: "RequestResponse", AuditID: "chosen", Stage: "ResponseComplete", Verb: "create", RequestURI: "/api/v1/namespaces/shop/secrets?n=" + id,
		User: authenticationv1.UserInfo{Username: "jane"}, ObjectRef: &auditinternal.ObjectReference{Resource: "secrets", Namespace: "shop", Name: id},
		RequestObject:  &runtime.Unknown{Raw: []byte(`{"kind":"Secret","stringData":{"k":"` + planted + `"}}`), ContentType: runtime.ContentTypeJSON},
		StageTimestamp: metav1.NewMicroTime(time.Now()), RequestReceivedTimestamp: metav1.NewMicroTime(time.Now()),
	}
}

func scan(t *testing.T, r audit.Reader) (names []string) {
	t.Helper()
	for e, err := range r.Scan(t.Context(), audit.Scan{Bodies: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(e.Request), planted) || !strings.Contains(string(e.Request), "redacted") {
			t.Errorf("kept %s", e.Request)
		}
		names = append(names, e.Name)
	}
	return names
}

func TestEventsAreKeptAndTheLogIsRedacted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	trail, err := Open(Options{Store: settings(dir), Source: "serve"})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	b := trail.Backend(logbackend.NewBackend(&log, logbackend.FormatJson, auditv1.SchemeGroupVersion))
	if !b.ProcessEvents(secretEvent("one"), secretEvent("two")) {
		t.Error("not kept")
	}
	if names := scan(t, trail.Reader()); strings.Join(names, " ") != "one two" {
		t.Errorf("kept %v", names)
	}
	if strings.Contains(log.String(), planted) || strings.Count(log.String(), "\n") != 2 {
		t.Errorf("the log holds %s", log.String())
	}
	if _, err := Open(Options{Store: settings(dir)}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second one: %v", err)
	}
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	if b.ProcessEvents(secretEvent("late")) {
		t.Error("kept after the end")
	}
	again, err := Open(Options{Store: settings(dir)})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if names := scan(t, again.Reader()); len(names) != 2 {
		t.Errorf("after a restart: %v", names)
	}
}

func TestWithoutAStoreTheLogIsRedacted(t *testing.T) {
	for name, o := range map[string]v1alpha1.AuditStoreOptions{"no folder": {}, "disabled": {DataDir: t.TempDir(), Disabled: true}} {
		trail, err := Open(Options{Store: o})
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		if !trail.Backend(logbackend.NewBackend(&log, logbackend.FormatJson, auditv1.SchemeGroupVersion)).ProcessEvents(secretEvent("one")) || log.Len() == 0 || strings.Contains(log.String(), planted) {
			t.Errorf("%s: the log holds %s", name, log.String())
		}
		if trail.Reader() != nil || trail.Webhook(0) != nil || trail.Backend(nil) != nil || trail.Close() != nil {
			t.Errorf("%s: there is a store", name)
		}
	}
}

func TestTapSeesWhatIsKept(t *testing.T) {
	for name, o := range map[string]v1alpha1.AuditStoreOptions{"no store": {}, "a store": settings(filepath.Join(t.TempDir(), "store"))} {
		trail, err := Open(Options{Store: o, Source: "serve"})
		if err != nil {
			t.Fatal(err)
		}
		var seen []string
		trail.Tap(func(events []*audit.Event) {
			for _, e := range events {
				if strings.Contains(string(e.Request), planted) {
					t.Errorf("%s: not redacted: %s", name, e.Request)
				}
				if r := trail.Reader(); r != nil && len(scan(t, r)) != len(seen)+1 {
					t.Errorf("%s: %s is seen before it is kept", name, e.Name)
				}
				seen = append(seen, e.Name)
			}
		})
		b := trail.Backend(nil)
		if trail.Webhook(1000) == nil || !b.ProcessEvents(secretEvent("one")) || !b.ProcessEvents(secretEvent("two")) || strings.Join(seen, " ") != "one two" {
			t.Errorf("%s: seen %v", name, seen)
		}
		if err := trail.Close(); err != nil {
			t.Fatal(err)
		}
		if o.DataDir != "" && b.ProcessEvents(secretEvent("late")) || o.DataDir != "" && len(seen) != 2 {
			t.Errorf("%s: what is not kept is seen: %v", name, seen)
		}
	}
}

// logs is a collector that holds what it is sent.
type logs struct {
	collector.UnimplementedLogsServiceServer
	mu   sync.Mutex
	text strings.Builder
	n    int
}

func (l *logs) Export(_ context.Context, r *collector.ExportLogsServiceRequest) (*collector.ExportLogsServiceResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(r.String())
	for _, resource := range r.ResourceLogs {
		for _, scope := range resource.ScopeLogs {
			l.n += len(scope.LogRecords)
		}
	}
	return &collector.ExportLogsServiceResponse{}, nil
}

func TestEventsGoOnToACollectorAndABucket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, got := grpc.NewServer(), &logs{}
	collector.RegisterLogsServiceServer(server, got)
	go server.Serve(l)
	defer server.Stop()

	o := settings(filepath.Join(t.TempDir(), "store"))
	o.Publish = "file://" + t.TempDir()
	trail, err := Open(Options{Store: o, OTLPEndpoint: l.Addr().String(), Replica: "R1", Source: "serve"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { trail.Run(ctx); close(ran) }()
	if !trail.Backend(nil).ProcessEvents(secretEvent("one"), secretEvent("two")) {
		t.Fatal("not kept")
	}
	if err := trail.store.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	b, err := drivers.Open(ctx, o.Publish)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	deadline := time.Now().Add(30 * time.Second)
	for ; ; time.Sleep(50 * time.Millisecond) {
		r, err := bucket.NewReader(b, bucket.ReaderOptions{Cluster: "test"})
		if err != nil {
			t.Fatal(err)
		}
		names := scan(t, r)
		r.Close()
		if len(names) == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the bucket has %v: %+v", names, trail.publisher.Counters())
		}
	}
	registry := metrics.NewKubeRegistry()
	if err := trail.Register(registry.Register, registry.CustomRegister); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"gatehouse_audit_store_events": 2, "gatehouse_audit_store_segments": 1, "gatehouse_audit_publish_segments_total": 1} {
		found := 0.
		for _, f := range families {
			if f.GetName() == name {
				m := f.Metric[0]
				found = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
		if found != want {
			t.Errorf("%s is %v, want %v", name, found, want)
		}
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
	if err := trail.Close(); err != nil { // sends what waits
		t.Fatal(err)
	}
	cancel()
	<-ran
	got.mu.Lock()
	defer got.mu.Unlock()
	if got.n != 2 || strings.Contains(got.text.String(), planted) {
		t.Errorf("the collector has %d events: %s", got.n, got.text.String())
	}
}

func TestWrongSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bad := map[string]Options{
		"a file for a folder": {Store: settings(filepath.Join(file, "store"))},
		"no host and port":    {Store: settings(filepath.Join(t.TempDir(), "a")), OTLPEndpoint: "nowhere"},
	}
	bucketless := settings(filepath.Join(t.TempDir(), "b"))
	bucketless.Publish = "ftp://nowhere"
	bad["a scheme that is not known"] = Options{Store: bucketless}
	for name, o := range bad {
		if trail, err := Open(o); err == nil {
			trail.Close()
			t.Errorf("%s: opened", name)
		}
		if o.Store.DataDir != filepath.Join(file, "store") {
			again, err := Open(Options{Store: settings(o.Store.DataDir)})
			if err != nil {
				t.Errorf("%s: the store is not given back: %v", name, err)
				continue
			}
			again.Close()
		}
	}
}
