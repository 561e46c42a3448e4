package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/record"
)

// platform is a collector in this process, which fails as it is told to first.
type platform struct {
	collector.UnimplementedLogsServiceServer
	mu       sync.Mutex
	records  []*logs.LogRecord
	batches  []*collector.ExportLogsServiceRequest
	headers  metadata.MD
	failures []error
	rejects  int64
}

func (p *platform) Export(ctx context.Context, r *collector.ExportLogsServiceRequest) (*collector.ExportLogsServiceResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.headers, _ = metadata.FromIncomingContext(ctx)
	if len(p.failures) > 0 {
		err := p.failures[0]
		p.failures = p.failures[1:]
		return nil, err
	}
	p.batches = append(p.batches, r)
	for _, resource := range r.ResourceLogs {
		for _, scope := range resource.ScopeLogs {
			p.records = append(p.records, scope.LogRecords...)
		}
	}
	return &collector.ExportLogsServiceResponse{PartialSuccess: &collector.ExportLogsPartialSuccess{RejectedLogRecords: p.rejects}}, nil
}

// ServeHTTP is the same over HTTP.
func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	zip, err := gzip.NewReader(r.Body)
	if err != nil {
		http.Error(w, "", http.StatusBadRequest)
		return
	}
	body, err := io.ReadAll(zip)
	var request collector.ExportLogsServiceRequest
	if err != nil || proto.Unmarshal(body, &request) != nil || r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("X-Key") != "k" {
		http.Error(w, "", http.StatusBadRequest)
		return
	}
	response, err := p.Export(r.Context(), &request)
	if err != nil {
		w.Header().Set("Retry-After", "0")
		http.Error(w, "", int(status.Code(err)))
		return
	}
	out, _ := proto.Marshal(response)
	_, _ = w.Write(out)
}

func overGRPCTo(t *testing.T, p *platform) Transport {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterLogsServiceServer(server, p)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return OverGRPC(conn, map[string]string{"x-key": "k"})
}

func events(n int) (list []*audit.Event) {
	for i := range n {
		list = append(list, &audit.Event{
			ID: fmt.Sprint("id", i), Stage: audit.StageComplete, Level: "Metadata", Time: time.Unix(int64(i), 1000).UTC(), Verb: "get", URI: "/api/v1/pods?a=b", User: "jane", UID: "u", Groups: []string{"g"},
			SourceIPs: []string{"1.1.1.1", "10.0.0.1"}, UserAgent: "kubectl\xff", Resource: "pods", Namespace: "n", Name: "p", Code: 200, Annotations: map[string]string{audit.AnnotationDecision: "allow"},
		})
	}
	return list
}

func run(t *testing.T, o Options) *Exporter {
	t.Helper()
	x := New(o)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go x.Run(ctx)
	return x
}

func shutdown(t *testing.T, x *Exporter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for running := false; !running; time.Sleep(time.Millisecond) {
		x.mu.Lock()
		running = x.running
		x.mu.Unlock()
	}
	if err := x.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

func attributes(list []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range list {
		switch v := kv.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			m[kv.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			m[kv.Key] = fmt.Sprint(v.IntValue)
		case *common.AnyValue_ArrayValue:
			m[kv.Key] = fmt.Sprint(len(v.ArrayValue.Values))
		}
	}
	return m
}

func TestGRPC(t *testing.T) {
	p := &platform{}
	x := run(t, Options{Transport: overGRPCTo(t, p), Cluster: "prod", Version: "1", Resource: map[string]string{"deployment.environment.name": "x"}, BatchEvents: 100, Delay: time.Hour})
	sent := events(250)
	if err := x.Append(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	shutdown(t, x)
	if len(p.records) != 250 || len(p.batches) != 3 || x.Counts().Sent != 250 || p.headers.Get("x-key")[0] != "k" {
		t.Fatalf("%d records in %d batches, %+v", len(p.records), len(p.batches), x.Counts())
	}
	about := attributes(p.batches[0].ResourceLogs[0].Resource.Attributes)
	if about["service.name"] != "gatehouse" || about["service.version"] != "1" || about["k8s.cluster.name"] != "prod" || about["deployment.environment.name"] != "x" {
		t.Errorf("resource %v", about)
	}
	var d record.Decoder
	for i, r := range p.records {
		e, err := d.Event([]byte(r.Body.GetStringValue()))
		if err != nil || e.ID != sent[i].ID || r.TimeUnixNano != uint64(sent[i].Time.UnixNano()) || r.SeverityText != "INFO" || r.EventName != "k8s.audit" {
			t.Fatalf("record %d: %v, %v", i, r, err)
		}
	}
	got := attributes(p.records[0].Attributes)
	for key, want := range map[string]string{"user.name": "jane", "user.id": "u", "user_agent.original": "kubectl\uFFFD", "client.address": "10.0.0.1", "url.path": "/api/v1/pods", "url.query": "a=b", "http.response.status_code": "200", "k8s.namespace.name": "n", "k8s.pod.name": "p", "gatehouse.audit.verb": "get", "gatehouse.audit.decision": "allow", "gatehouse.audit.user.groups": "1"} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	if _ = x.Append(t.Context(), events(1)); x.Counts().Dropped[Stopped] != 1 {
		t.Errorf("after the shutdown: %+v", x.Counts())
	}
}

func TestSentAfterADelay(t *testing.T) {
	p := &platform{}
	x := run(t, Options{Transport: overGRPCTo(t, p), Delay: 10 * time.Millisecond})
	_ = x.Append(t.Context(), events(3))
	for deadline := time.Now().Add(10 * time.Second); x.Counts().Sent < 3 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if x.Counts().Sent != 3 {
		t.Errorf("%+v", x.Counts())
	}
}

func TestRetries(t *testing.T) {
	throttled, err := status.New(codes.ResourceExhausted, "slow down").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		failures []error
		sent     int64
		cause    Cause
	}{
		{"unavailable", []error{status.Error(codes.Unavailable, ""), status.Error(codes.DeadlineExceeded, ""), status.Error(codes.Aborted, "")}, 5, ""},
		{"throttled", []error{throttled.Err()}, 5, ""},
		{"exhausted for good", []error{status.Error(codes.ResourceExhausted, "")}, 0, Refused},
		{"invalid", []error{status.Error(codes.InvalidArgument, "")}, 0, Refused},
		{"not allowed", []error{status.Error(codes.PermissionDenied, "")}, 0, Refused},
		{"too long away", slowly(100), 0, GivenUp},
	} {
		p := &platform{failures: c.failures}
		told := 0
		o := Options{Transport: overGRPCTo(t, p), Backoff: time.Millisecond, GiveUp: 300 * time.Millisecond, Delay: time.Millisecond, Dropped: func(n int, _ Cause) { told += n }}
		x := run(t, o)
		_ = x.Append(t.Context(), events(5))
		shutdown(t, x)
		if got := x.Counts(); got.Sent != c.sent || c.cause != "" && (got.Dropped[c.cause] != 5 || told != 5) || c.sent == 5 && len(p.records) != 5 {
			t.Errorf("%s: %+v, told of %d", c.name, got, told)
		}
	}
}

func slowly(n int) (list []error) {
	for range n {
		list = append(list, status.Error(codes.Unavailable, ""))
	}
	return list
}

func TestHTTP(t *testing.T) {
	p := &platform{failures: []error{status.Error(503, ""), status.Error(429, "")}}
	server := httptest.NewServer(p)
	defer server.Close()
	x := run(t, Options{Transport: OverHTTP(server.Client(), server.URL+"/v1/logs", map[string]string{"X-Key": "k"}), Backoff: time.Millisecond, Delay: time.Millisecond})
	_ = x.Append(t.Context(), events(7))
	shutdown(t, x)
	if len(p.records) != 7 || x.Counts().Sent != 7 {
		t.Errorf("%d records, %+v", len(p.records), x.Counts())
	}
	bad := run(t, Options{Transport: OverHTTP(server.Client(), server.URL, nil), Delay: time.Millisecond})
	_ = bad.Append(t.Context(), events(2))
	shutdown(t, bad)
	if bad.Counts().Dropped[Refused] != 2 {
		t.Errorf("HTTP 400: %+v", bad.Counts())
	}
	server.Close()
	away := run(t, Options{Transport: OverHTTP(http.DefaultClient, server.URL, nil), Delay: time.Millisecond, Backoff: time.Millisecond, GiveUp: 20 * time.Millisecond})
	_ = away.Append(t.Context(), events(2))
	shutdown(t, away)
	if away.Counts().Dropped[GivenUp] != 2 {
		t.Errorf("nobody there: %+v", away.Counts())
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	p := &platform{rejects: 1}
	x := New(Options{Transport: overGRPCTo(t, p), QueueEvents: 10, Delay: time.Millisecond})
	_ = x.Append(t.Context(), events(25))
	if got := x.Counts(); got.Waiting != 10 || got.Dropped[QueueFull] != 15 {
		t.Errorf("%+v", got)
	}
	large := events(1)[0]
	large.Request = bytes.Repeat([]byte("1"), 1<<20)
	y := New(Options{Transport: overGRPCTo(t, p), QueueBytes: 3 << 20, BatchBytes: 1 << 20})
	_ = y.Append(t.Context(), []*audit.Event{large, large, large, large})
	if got := y.Counts(); got.Waiting != 2 || got.Dropped[QueueFull] != 2 {
		t.Errorf("%+v", got)
	}
	if first, second := y.take(), y.take(); len(first) != 1 || len(second) != 1 || y.bytes != 0 {
		t.Errorf("batches of %d and %d, %d bytes left", len(first), len(second), y.bytes)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go x.Run(ctx)
	shutdown(t, x)
	cancel()
	if got := x.Counts(); got.Sent != 9 || got.Dropped[Refused] != 1 || got.Waiting != 0 {
		t.Errorf("with one refused: %+v", got)
	}
}

func TestWhatIsLeftIsCounted(t *testing.T) {
	stuck := transportFunc(func(ctx context.Context) (int64, error) { <-ctx.Done(); return 0, ctx.Err() })
	x := New(Options{Transport: stuck, BatchEvents: 1})
	_ = x.Append(t.Context(), events(3))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	x.Run(ctx)
	if got := x.Counts(); got.Dropped[Stopped] != 3 || got.Waiting != 0 {
		t.Errorf("%+v", got)
	}
	if err := New(Options{Transport: stuck}).Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	y := run(t, Options{Transport: stuck, Delay: time.Millisecond})
	_ = y.Append(t.Context(), events(1))
	for y.Counts().Waiting > 0 {
		time.Sleep(time.Millisecond)
	}
	short, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	if err := y.Shutdown(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a shutdown that takes too long: %v", err)
	}
}

type transportFunc func(ctx context.Context) (int64, error)

func (f transportFunc) Export(ctx context.Context, _ *collector.ExportLogsServiceRequest) (int64, error) {
	return f(ctx)
}

func TestSeverity(t *testing.T) {
	for _, c := range []struct {
		e    audit.Event
		want string
	}{{audit.Event{Code: 200}, "INFO"}, {audit.Event{Code: 403}, "WARN"}, {audit.Event{Annotations: map[string]string{audit.AnnotationDecision: "forbid"}}, "WARN"}, {audit.Event{Code: 500}, "ERROR"}, {audit.Event{Stage: audit.StagePanic}, "ERROR"}} {
		if _, got := severity(&c.e); got != c.want {
			t.Errorf("%+v: %s, want %s", c.e, got, c.want)
		}
	}
}
