package trace

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	upstream "go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/filterlatency"
	"k8s.io/apiserver/pkg/endpoints/filters"
	genericrequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/storage/value"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authn"
	"github.com/gatehouse-io/gatehouse/gate"
)

func settings(perMillion int32) v1alpha1.TracingOptions {
	return v1alpha1.TracingOptions{SamplingRatePerMillion: &perMillion}
}

// opened is a Tracing whose spans are kept.
func opened(t testing.TB, perMillion int32) (*Tracing, func() map[string]tracetest.SpanStub) {
	t.Helper()
	kept := &keeper{InMemoryExporter: tracetest.NewInMemoryExporter()}
	tracing, err := Open(t.Context(), Options{Settings: settings(perMillion), Mount: "test", Version: "1", Exporter: kept})
	if err != nil {
		t.Fatal(err)
	}
	return tracing, func() map[string]tracetest.SpanStub {
		t.Helper()
		if err := tracing.provider.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
		byName := map[string]tracetest.SpanStub{}
		for _, span := range kept.GetSpans() {
			if _, twice := byName[span.Name]; twice {
				t.Errorf("there are two spans %q", span.Name)
			}
			byName[span.Name] = span
		}
		return byName
	}
}

// keeper keeps spans beyond the end of a Tracing.
type keeper struct{ *tracetest.InMemoryExporter }

func (keeper) Shutdown(context.Context) error { return nil }

func valueOf(span tracetest.SpanStub, key attribute.Key) string {
	for _, kv := range span.Attributes {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}

// byToken lets in who says "good".
var byToken = authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
	if r.Header.Get("Authorization") != "Bearer good" {
		return nil, false, errors.New("no such token")
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: "jane", Groups: strings.Fields(r.Header.Get("X-Groups"))}}, true, nil
})

// forbidding records why, as our authorizers do, and refuses to delete.
type forbidding struct{ authorizer.Authorizer }

func (forbidding) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	r := gate.RecorderFrom(ctx)
	r.Record(gate.Step{Gate: "authorization", Part: "Node", Opinion: gate.NoOpinion})
	if a.GetVerb() == "delete" {
		return authorizer.DecisionNoOpinion, "", nil
	}
	r.Record(gate.Step{Gate: "authorization", Part: "RBAC", Opinion: gate.Allow, Reason: "by a role", Sources: []gate.Source{{Kind: "RoleBinding", Namespace: "shop", Name: "devs"}}})
	return authorizer.DecisionAllow, "RBAC: allowed", nil
}

type sink struct{ audit.Backend }

func (sink) ProcessEvents(...*auditinternal.Event) bool { return true }

// server is a handler chain as upstream builds it, with the filters that matter here.
func server(tracing *Tracing, api http.Handler) http.Handler {
	chain := tracing.Chain()
	authz, backend := tracing.Authorizer(forbidding{}), tracing.Audit(sink{})
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		attributes, _ := filters.GetAuthorizerAttributes(r.Context())
		decision, _, _ := authz.Authorize(r.Context(), attributes)
		if decision != authorizer.DecisionAllow {
			w.WriteHeader(http.StatusForbidden)
		} else {
			api.ServeHTTP(w, r)
		}
		id, _ := audit.AuditIDFrom(r.Context())
		backend.ProcessEvents(&auditinternal.Event{AuditID: id, Stage: auditinternal.StageResponseComplete, Level: auditinternal.LevelMetadata})
	})
	handler = filterlatency.TrackStarted(handler, chain, "authorization")
	handler = filters.WithTracing(handler, chain)
	inner := handler
	authn := tracing.Authenticator(authn.Record(byToken))
	handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, ok, err := authn.AuthenticateRequest(r)
		if err != nil || !ok {
			id, _ := audit.AuditIDFrom(r.Context())
			backend.ProcessEvents(&auditinternal.Event{AuditID: id, Stage: auditinternal.StageResponseStarted})
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r.WithContext(genericrequest.WithUser(r.Context(), who.User)))
	})
	handler = filterlatency.TrackStarted(handler, chain, "authentication")
	handler = filters.WithRequestInfo(handler, &genericrequest.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")})
	handler = filters.WithAuditInit(handler)
	return tracing.Handler(handler)
}

func ask(h http.Handler, method, path string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for key, v := range header {
		r.Header.Set(key, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const (
	podsSpan = "/api/v1/namespaces/{:namespace}/pods"
	podsPath = "/api/v1/namespaces/shop/pods"
	parent   = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	parentID = "4bf92f3577b34da6a3ce929d0e0e4736"
)

func TestOneTrace(t *testing.T) {
	tracing, spans := opened(t, 1e6)
	h := server(tracing, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ask(h, "GET", podsPath+"?watch=false&token=hidden", map[string]string{"Authorization": "Bearer good", "Audit-ID": "id-1"})
	all := spans()
	root, ok := all["GET "+podsSpan]
	if !ok || len(all) != 4 {
		t.Fatalf("spans %v", all)
	}
	if root.Parent.IsValid() || valueOf(root, AuditID) != "id-1" || valueOf(root, "http.response.status_code") != "200" || valueOf(root, "url.path") != podsPath {
		t.Errorf("root %+v", root)
	}
	for name, want := range map[string]map[attribute.Key]string{
		"authentication": {Verdict: "allow", Part: "credential", Reason: "jane in "},
		"authorization":  {Verdict: "allow", Part: "RBAC", Sources: `["RoleBinding shop/devs"]`, Reason: "RBAC: allowed", Steps: "2"},
		"audit":          {Verdict: "allow", Stage: "ResponseComplete", Level: "Metadata"},
	} {
		span := all[name]
		if span.SpanContext.TraceID() != root.SpanContext.TraceID() || span.Parent.SpanID() != root.SpanContext.SpanID() {
			t.Errorf("%s is not in the request's span: %+v", name, span)
		}
		if span.StartTime.Before(root.StartTime) || span.EndTime.After(root.EndTime) || span.EndTime.Before(span.StartTime) {
			t.Errorf("%s is from %v to %v, the request from %v to %v", name, span.StartTime, span.EndTime, root.StartTime, root.EndTime)
		}
		want[AuditID], want[Gate] = "id-1", name
		for key, value := range want {
			if got := valueOf(span, key); got != value {
				t.Errorf("%s: %s is %q, want %q", name, key, got, value)
			}
		}
	}
	for name, span := range all {
		for _, kv := range span.Attributes {
			if strings.Contains(kv.Value.String(), "hidden") {
				t.Errorf("%s: %s has the query", name, kv.Key)
			}
		}
	}
	if n := tracing.live.some.Load(); n != 0 || len(tracing.live.byID) != 0 {
		t.Errorf("%d requests are live", n)
	}
}

// A request that is refused has its trace too, and the gate that refused says so.
func TestRefused(t *testing.T) {
	tracing, spans := opened(t, 1e6)
	h := server(tracing, http.NotFoundHandler())
	ask(h, "GET", podsPath, map[string]string{"Authorization": "Bearer bad", "Audit-ID": "id-2", "Traceparent": parent})
	all := spans()
	root := all["GET"]
	if len(all) != 3 || valueOf(root, "http.response.status_code") != "401" || root.SpanContext.TraceID().String() == parentID {
		t.Fatalf("spans %+v", all)
	}
	if who := all["authentication"]; who.Parent.SpanID() != root.SpanContext.SpanID() || valueOf(who, Verdict) != "deny" || valueOf(who, Reason) != "no such token" {
		t.Errorf("authentication %+v", who)
	}
	if all["audit"].Parent.SpanID() != root.SpanContext.SpanID() {
		t.Errorf("audit %+v", all["audit"])
	}

	tracing, spans = opened(t, 1e6)
	ask(server(tracing, http.NotFoundHandler()), "DELETE", podsPath+"/x", map[string]string{"Authorization": "Bearer good"})
	if may := spans()["authorization"]; valueOf(may, Verdict) != "no_opinion" {
		t.Errorf("authorization %+v", may)
	}
}

// Whose traceparent counts is upstream's rule: of those who could do anything anyway.
// The others' is a link.
func TestTraceparent(t *testing.T) {
	for _, c := range []struct {
		groups   string
		sampled  int32
		parent   string
		spans    int
		followed bool
	}{
		{"system:masters", 0, parent, 4, true},
		{"system:masters", 1e6, strings.TrimSuffix(parent, "1") + "0", 0, false}, // its sender does not sample it
		{"devs", 1e6, parent, 4, false},
		{"devs", 0, parent, 0, false},
		{"devs", 0, "", 0, false},
	} {
		tracing, spans := opened(t, c.sampled)
		ask(server(tracing, http.NotFoundHandler()), "GET", podsPath, map[string]string{"Authorization": "Bearer good", "X-Groups": c.groups, "Traceparent": c.parent})
		all := spans()
		if len(all) != c.spans {
			t.Errorf("%+v: %d spans", c, len(all))
		}
		for _, span := range all {
			if followed := span.SpanContext.TraceID().String() == parentID; followed != c.followed {
				t.Errorf("%+v: %s is in trace %s", c, span.Name, span.SpanContext.TraceID())
			}
		}
		if root := all["GET "+podsSpan]; c.spans > 0 && !c.followed && (len(root.Links) != 1 || root.Links[0].SpanContext.TraceID().String() != parentID) {
			t.Errorf("%+v: links %v", c, root.Links)
		}
	}
}

// Where tracing is off a server is built as if the package were not there, and a gate
// that looks for a span finds none at no cost.
func TestOffCostsNothing(t *testing.T) {
	tracing, err := Open(t.Context(), Options{Settings: settings(1e6)})
	if tracing != nil || err != nil {
		t.Fatalf("opened %v, %v", tracing, err)
	}
	authz := forbidding{}
	if got := tracing.Authorizer(authz); got != authorizer.Authorizer(authz) {
		t.Errorf("authorizer is %T", got)
	}
	if got := tracing.Audit(sink{}); got != audit.Backend(sink{}) {
		t.Errorf("backend is %T", got)
	}
	if tracing.Encryption(nil) != nil {
		t.Error("there are transformers")
	}
	tracing.Close()
	if tracing.Provider().Tracer("x") == nil || tracing.Chain().Tracer("x") == nil {
		t.Error("upstream's chain has no tracer")
	}
	mux := http.NewServeMux()
	if got := tracing.Handler(mux); got != http.Handler(mux) {
		t.Errorf("handler is %T", got)
	}
	r := httptest.NewRequest("POST", "/authorize", nil)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		inner, review := tracing.Review(ctx, r)
		inner, span := Start(inner, "authorization", "authorization")
		inner = span.Record(inner)
		span.EndAuthorization(authorizer.DecisionAllow, "", nil)
		review.End(200)
		if inner != ctx {
			t.Error("the context has changed")
		}
	}); n != 0 {
		t.Errorf("%v allocations where tracing is off", n)
	}
}

// BenchmarkUnsampled is what tracing costs a request that is not sampled.
func BenchmarkUnsampled(b *testing.B) {
	r := httptest.NewRequest("GET", podsPath, nil)
	r.Header.Set("Authorization", "Bearer good")
	for name, perMillion := range map[string]int32{"off": -1, "on": 0} {
		b.Run(name, func(b *testing.B) {
			var tracing *Tracing
			if perMillion >= 0 {
				tracing, _ = opened(b, perMillion)
			}
			h, w := server(tracing, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}

type plugin struct {
	admission.Interface
	err  error
	took time.Duration
	step *gate.Step
}

func (p plugin) Validate(ctx context.Context, _ admission.Attributes, _ admission.ObjectInterfaces) error {
	time.Sleep(p.took)
	if p.step != nil {
		gate.RecorderFrom(ctx).Record(*p.step)
	}
	return p.err
}

func TestAdmission(t *testing.T) {
	policy := &gate.Step{Gate: "admission", Part: "policy", Opinion: gate.Deny, Reason: "no latest", Sources: []gate.Source{{Kind: "K8sTags", Name: "no-latest"}}}
	for name, c := range map[string]struct {
		plugin   plugin
		resource string
		spans    int
		verdict  string
		reason   string
		sources  string
	}{
		"a gate":             {plugin{}, "pods", 1, "allow", "", ""},
		"a gate that speaks": {plugin{step: policy, err: errors.New("no latest")}, "pods", 1, "deny", "no latest", `["K8sTags no-latest"]`},
		"about a Secret":     {plugin{step: policy, err: errors.New("hunter2 is no password")}, "secrets", 1, "deny", "", `["K8sTags no-latest"]`},
		"another":            {plugin{}, "pods", 0, "", "", ""},
		"another, slow":      {plugin{took: 2 * slow}, "pods", 1, "allow", "", ""},
		"another, refusing":  {plugin{err: errors.New("too many")}, "pods", 1, "deny", "too many", ""},
		"another, in time":   {plugin{err: context.DeadlineExceeded}, "pods", 1, "deny", "the time for the request was over", ""},
	} {
		tracing, spans := opened(t, 1e6)
		d := &Admission{Always: map[string]bool{"P": strings.HasPrefix(name, "a")}, Recording: map[string]bool{"P": true}}
		if strings.HasPrefix(name, "another") {
			d.Always = nil
		}
		ctx, root := tracing.tracer.Start(t.Context(), "root")
		a := admission.NewAttributesRecord(nil, nil, schema.GroupVersionKind{}, "shop", "x", schema.GroupVersionResource{Version: "v1", Resource: c.resource}, "", admission.Create, nil, false, nil)
		p := d.Decorate(c.plugin, "P").(admission.ValidationInterface)
		if _, mutates := p.(admission.MutationInterface); mutates {
			t.Errorf("%s: a plugin that mutates nothing is asked to", name)
		}
		if err := p.Validate(ctx, a, nil); err != c.plugin.err {
			t.Errorf("%s: the verdict is %v", name, err)
		}
		root.End()
		all := spans()
		span, ok := all["admission validate P"]
		if len(all) != c.spans+1 || ok != (c.spans > 0) {
			t.Errorf("%s: spans %v", name, all)
			continue
		}
		if !ok {
			continue
		}
		if valueOf(span, Verdict) != c.verdict || valueOf(span, Reason) != c.reason || valueOf(span, Sources) != c.sources || valueOf(span, Part) != "P" || valueOf(span, Phase) != "validate" {
			t.Errorf("%s: %v", name, span.Attributes)
		}
		if c.plugin.step != nil && len(span.Events) != 1 {
			t.Errorf("%s: events %v", name, span.Events)
		}
	}
}

type mutating struct{ admission.MutationInterface }

func (mutating) Admit(context.Context, admission.Attributes, admission.ObjectInterfaces) error {
	return errors.New("not this")
}

type both struct {
	mutating
	plugin
}

func (both) Handles(admission.Operation) bool { return true }

// A plugin does what it did, and no phase more.
func TestDecoratedPlugins(t *testing.T) {
	d := &Admission{}
	if _, validates := d.Decorate(mutating{}, "P").(admission.ValidationInterface); validates {
		t.Error("a plugin that validates nothing is asked to")
	}
	p := d.Decorate(both{plugin: plugin{err: errors.New("nor that")}}, "P")
	if !p.Handles(admission.Create) {
		t.Error("it is not asked")
	}
	if err := p.(admission.MutationInterface).Admit(t.Context(), nil, nil); err == nil || err.Error() != "not this" {
		t.Errorf("mutates: %v", err)
	}
	if err := p.(admission.ValidationInterface).Validate(t.Context(), nil, nil); err == nil || err.Error() != "nor that" {
		t.Errorf("validates: %v", err)
	}
	if neither := d.Decorate(admission.NewHandler(), "P"); neither == nil {
		t.Error("a plugin of neither sort is gone")
	}
}

type cipher struct {
	value.Transformer
	out string
	err error
}

func (c cipher) TransformToStorage(context.Context, []byte, value.Context) ([]byte, error) {
	return []byte(c.out), c.err
}

type ciphers struct{ value.Transformer }

func (c ciphers) TransformerForResource(schema.GroupResource) value.Transformer { return c }

func TestEncryption(t *testing.T) {
	for _, c := range []struct {
		cipher  cipher
		verdict string
		part    string
	}{
		{cipher{out: "k8s:enc:secretbox:v1:key1:xyz"}, "mutate", "secretbox"},
		{cipher{out: `{"kind":"Pod"}`}, "", ""},
		{cipher{out: "k8"}, "", ""},
		{cipher{err: errors.New("hunter2 is no key")}, "deny", ""},
	} {
		tracing, spans := opened(t, 1e6)
		ctx, root := tracing.tracer.Start(t.Context(), "root")
		out, err := tracing.Encryption(ciphers{c.cipher}).TransformerForResource(schema.GroupResource{}).TransformToStorage(ctx, []byte("plain"), nil)
		if string(out) != c.cipher.out || err != c.cipher.err {
			t.Errorf("%+v: %s, %v", c, out, err)
		}
		root.End()
		span, ok := spans()["encryption"]
		if ok != (c.verdict != "") || valueOf(span, Verdict) != c.verdict || valueOf(span, Part) != c.part || strings.Contains(valueOf(span, Reason), "hunter2") {
			t.Errorf("%+v: %v", c, span.Attributes)
		}
	}
}

func TestReview(t *testing.T) {
	tracing, spans := opened(t, 0)
	r := httptest.NewRequest("POST", "/authorize?timeout=10s", nil)
	if _, review := tracing.Review(t.Context(), r); review != nil {
		t.Error("a review is sampled that nobody asked to be")
	}
	r.Header.Set("Traceparent", parent)
	ctx, review := tracing.Review(t.Context(), r)
	_, span := Start(ctx, "authorization", "authorization")
	span.EndAuthorization(authorizer.DecisionDeny, "Guard: no", errors.New("no answer"))
	review.End(200)
	all := spans()
	root, may := all["POST /authorize"], all["authorization"]
	if root.Parent.SpanID().String() != "00f067aa0ba902b7" || !root.Parent.IsRemote() || may.Parent.SpanID() != root.SpanContext.SpanID() || may.SpanContext.TraceID().String() != parentID {
		t.Errorf("spans %+v", all)
	}
	if valueOf(may, Verdict) != "deny" || valueOf(may, Failed) != "authorizer" || valueOf(root, "http.response.status_code") != "200" {
		t.Errorf("spans %+v", all)
	}
}

func TestScrub(t *testing.T) {
	const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl"
	for key, c := range map[attribute.Key][2]string{
		"http.target": {"/api/v1/pods/x/exec?command=hunter2", "/api/v1/pods/x/exec"},
		"url.full":    {"https://h/api/v1/services/x/proxy/hunter2?a=b", "https://h/api/v1/services/x/proxy/"},
		"url.path":    {"/api/v1/namespaces/a/pods", "/api/v1/namespaces/a/pods"},
		Reason:        {"the token " + jwt + " is not known", "the token [withheld] is not known"},
		"client":      {"bootstrap abcdef.0123456789abcdef", "bootstrap [withheld]"},
		"key":         {"a\n-----BEGIN EC PRIVATE KEY-----\nhunter2\n-----END", "a\n[withheld]"},
		"words":       {"policy.authorizationpol and rbac.authorization.k8s.io", "policy.authorizationpol and rbac.authorization.k8s.io"},
	} {
		got := scrub([]attribute.KeyValue{key.String(c[0]), attribute.String("url.query", "command=hunter2"), Sources.StringSlice([]string{"x " + jwt})})
		if len(got) != 2 || got[0].Value.AsString() != c[1] || got[1].Value.AsStringSlice()[0] != "x [withheld]" {
			t.Errorf("%s: %q became %v", key, c[0], got)
		}
	}
	tracing, spans := opened(t, 1e6)
	_, span := tracing.tracer.Start(t.Context(), "name "+jwt)
	span.AddEvent("event "+jwt, upstream.WithAttributes(Reason.String(jwt)))
	span.SetStatus(1, jwt)
	span.End()
	for _, stub := range spans() {
		if text := stub.Name + stub.Events[0].Name + stub.Events[0].Attributes[0].Value.AsString() + stub.Status.Description; strings.Contains(text, "eyJ") {
			t.Errorf("exported %q", text)
		}
	}
}

// A collector that takes connections and answers nothing, or is not there, holds up
// neither requests nor the end.
func TestDeadCollector(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, endpoint := range []string{silent.Addr().String(), "127.0.0.1:1"} {
		o := settings(1e6)
		o.Endpoint = endpoint
		tracing, err := Open(t.Context(), Options{Settings: o})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range 3 * queueSpans {
			_, span := tracing.tracer.Start(t.Context(), "x")
			span.End()
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s: spans took %v", endpoint, took)
		}
		began = time.Now()
		tracing.Close()
		if took := time.Since(began); took > closing+time.Second {
			t.Errorf("%s: the end took %v", endpoint, took)
		}
	}
}

func TestSecurity(t *testing.T) {
	for _, c := range []struct {
		o    v1alpha1.TracingOptions
		want string
	}{
		{v1alpha1.TracingOptions{Endpoint: "nowhere"}, "send traces to nowhere"},
		{v1alpha1.TracingOptions{Endpoint: "localhost:4317", CAFile: "/no/such"}, "read tracing.caFile: open /no/such"},
		{v1alpha1.TracingOptions{Endpoint: "localhost:4317", CAFile: "trace_test.go"}, "holds no certificate"},
		{v1alpha1.TracingOptions{Endpoint: "collector:4317"}, ""},
		{v1alpha1.TracingOptions{Endpoint: "collector:4317", Insecure: true}, ""},
	} {
		tracing, err := Open(t.Context(), Options{Settings: c.o})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
		tracing.Close()
	}
}

var _ sdk.SpanExporter = scrubbed{}
