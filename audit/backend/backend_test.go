package backend

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	upstream "k8s.io/apiserver/pkg/audit"
	logbackend "k8s.io/apiserver/plugin/pkg/audit/log"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/redact"
)

const planted = "hunter2"

// sink keeps events, once hold is closed.
type sink struct {
	mu     sync.Mutex
	events []*audit.Event
	hold   chan struct{}
	err    error
	panics bool
}

func (s *sink) Append(ctx context.Context, events []*audit.Event) error {
	if s.panics {
		panic(planted)
	}
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if s.err != nil {
		return s.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, events...)
	return nil
}

func redactor() *redact.Redactor { return redact.New(redact.Options{Key: []byte("k")}) }

func secretEvent() *auditinternal.Event {
	body := `{"kind":"Secret","data":{"a":"` + planted + `"}}`
	return &auditinternal.Event{
		Level: "RequestResponse", AuditID: "id", Stage: "ResponseComplete", Verb: "create", RequestURI: "/x?command=" + planted + "&token=" + planted, UserAgent: "Bearer " + planted + planted + planted,
		User: authenticationv1.UserInfo{Username: "jane"}, ObjectRef: &auditinternal.ObjectReference{Resource: "secrets", Name: "db"},
		ResponseStatus: &metav1.Status{Code: 422, Message: planted, Details: &metav1.StatusDetails{Name: "db", Causes: []metav1.StatusCause{{Message: planted}}}},
		RequestObject:  &runtime.Unknown{Raw: []byte(body), ContentType: runtime.ContentTypeJSON}, ResponseObject: &runtime.Unknown{Raw: []byte(body), ContentType: runtime.ContentTypeJSON},
		StageTimestamp: metav1.NowMicro(), Annotations: map[string]string{"patch.webhook.admission.k8s.io/round_0_index_0": `{"patch":[{"op":"add","path":"/data/a","value":"` + planted + `"}]}`},
	}
}

func TestKeepsAndRedacts(t *testing.T) {
	s := &sink{}
	b := New(Options{Sink: s, Redactor: redactor()})
	e := secretEvent()
	before := e.DeepCopy()
	if !b.ProcessEvents(e, nil) || len(s.events) != 1 || b.Kept() != 2 || b.Lost() != 0 {
		t.Fatalf("kept %d of %d, lost %d", b.Kept(), len(s.events), b.Lost())
	}
	if !metaEqual(e, before) {
		t.Error("the server's event was changed")
	}
	got := s.events[0]
	if got.Source != "serve" || got.User != "jane" || got.Name != "db" || strings.Contains(string(got.Request)+string(got.Response)+got.URI+got.Message+got.UserAgent, planted) {
		t.Errorf("kept %+v", got)
	}
	if !b.ProcessEvents() || !b.ProcessEvents(&auditinternal.Event{}, nil) {
		t.Error("an empty event was not kept")
	}
	if b.String() != "gatehouse" || b.Run(nil) != nil {
		t.Error("name or run")
	}
}

func metaEqual(a, b *auditinternal.Event) bool {
	return bytes.Equal(a.RequestObject.Raw, b.RequestObject.Raw) && a.RequestURI == b.RequestURI && a.ResponseStatus.Message == b.ResponseStatus.Message && len(a.ResponseStatus.Details.Causes) == len(b.ResponseStatus.Details.Causes) &&
		a.Annotations["patch.webhook.admission.k8s.io/round_0_index_0"] == b.Annotations["patch.webhook.admission.k8s.io/round_0_index_0"]
}

func TestWhatIsNotKeptIsTold(t *testing.T) {
	var log bytes.Buffer
	klog.LogToStderr(false)
	klog.SetOutput(&log)
	defer klog.LogToStderr(true)
	told := 0
	var why error
	s := &sink{err: errors.New("disk full")}
	b := New(Options{Sink: s, Redactor: redactor(), Lost: func(n int, err error) { told += n; why = err }})
	if b.ProcessEvents(secretEvent()) || b.Lost() != 1 || told != 1 || !errors.Is(why, s.err) {
		t.Errorf("lost %d, told %d: %v", b.Lost(), told, why)
	}
	s.panics = true
	if b.ProcessEvents(secretEvent()) || b.Lost() != 2 || strings.Contains(why.Error(), planted) {
		t.Errorf("lost %d: %v", b.Lost(), why)
	}
	klog.Flush()
	if !strings.Contains(log.String(), "disk full") || strings.Contains(log.String(), planted) {
		t.Errorf("the log says %s", log.String())
	}
}

func TestCallsWaitAndShutdownToo(t *testing.T) {
	s := &sink{hold: make(chan struct{})}
	b := New(Options{Sink: s, Redactor: redactor()})
	results := make(chan bool, 3)
	for range 3 {
		go func() { results <- b.ProcessEvents(secretEvent()) }()
	}
	select {
	case <-results:
		t.Fatal("a call returned before its event was kept")
	case <-time.After(20 * time.Millisecond):
	}
	close(s.hold)
	for range 3 {
		if !<-results {
			t.Error("an event was lost")
		}
	}
	b.Shutdown()
	if b.Kept() != 3 || b.ProcessEvents(secretEvent()) || b.Lost() != 1 {
		t.Errorf("kept %d, lost %d", b.Kept(), b.Lost())
	}
	b.Shutdown()
}

// The log file of upstream's own backend holds nothing that was planted, and a patch in
// YAML, which it cannot print otherwise, is in it.
func TestRedactingBeforeUpstreamsLog(t *testing.T) {
	var out bytes.Buffer
	b := Redacting(redactor(), logbackend.NewBackend(&out, logbackend.FormatJson, auditv1.SchemeGroupVersion))
	e := secretEvent()
	before := e.DeepCopy()
	yaml := secretEvent()
	yaml.Verb, yaml.RequestObject = "patch", &runtime.Unknown{Raw: []byte("kind: Secret\ndata: {a: " + planted + "}\n"), ContentType: runtime.ContentTypeJSON}
	broken := secretEvent()
	broken.RequestObject.Raw = []byte(planted)
	if !b.ProcessEvents(e, yaml, broken, nil, &auditinternal.Event{}) {
		t.Error("not written")
	}
	if strings.Contains(out.String(), planted) || strings.Count(out.String(), "\n") != 4 || !strings.Contains(out.String(), `"requestObject":{"data":{"a":"gatehouse:redacted:secret"},"kind":"Secret"}`) {
		t.Errorf("the log holds %s", out.String())
	}
	if !metaEqual(e, before) {
		t.Error("the server's event was changed")
	}
	if b.String() != "redacted<log>" || b.Run(nil) != nil {
		t.Error(b.String())
	}
	b.Shutdown()
	plain := &auditinternal.Event{ResponseStatus: &metav1.Status{Message: "m", Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Message: "https://a:" + planted + "@h"}}}}}
	if got := Redacted(redactor(), plain).ResponseStatus.Details.Causes; len(got) != 1 || strings.Contains(got[0].Message, planted) {
		t.Errorf("%+v", got)
	}
}

// careless is a log that changes what it was given, as upstream's does that cuts long ones.
type careless struct {
	upstream.Backend
	answer bool
	down   int
}

func (c *careless) ProcessEvents(events ...*auditinternal.Event) bool {
	ok := c.Backend.ProcessEvents(events...)
	for _, e := range events {
		e.Annotations["audit.k8s.io/truncated"] = "true"
		e.RequestObject, e.RequestURI = nil, ""
	}
	return ok && c.answer
}

func (c *careless) Shutdown() { c.down++ }

// TestLogAndStoreHaveWhatTheyHadApart redacts once for both, and each has what it had of
// two backends that redacted by themselves.
func TestLogAndStoreHaveWhatTheyHadApart(t *testing.T) {
	events := func() []*auditinternal.Event {
		yaml := secretEvent()
		yaml.Verb, yaml.RequestObject = "patch", &runtime.Unknown{Raw: []byte("kind: Secret\ndata: {a: " + planted + "}\n"), ContentType: runtime.ContentTypeJSON}
		all := []*auditinternal.Event{secretEvent(), nil, yaml, {AuditID: "empty", Annotations: map[string]string{}}, secretEvent()}
		for _, e := range all {
			if e != nil {
				e.StageTimestamp = metav1.NewMicroTime(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
			}
		}
		return all
	}
	var apartLog, log bytes.Buffer
	file := func(to *bytes.Buffer) upstream.Backend {
		return logbackend.NewBackend(to, logbackend.FormatJson, auditv1.SchemeGroupVersion)
	}
	apart, together := &sink{}, &sink{}
	careful := &careless{Backend: file(&log), answer: true}
	b := New(Options{Sink: together, Redactor: redactor(), Log: careful})
	if !upstream.Union(Redacting(redactor(), file(&apartLog)), New(Options{Sink: apart, Redactor: redactor()})).ProcessEvents(events()...) || !b.ProcessEvents(events()...) {
		t.Fatal("not kept")
	}
	if apartLog.String() != log.String() || log.Len() == 0 || strings.Contains(log.String(), planted) {
		t.Errorf("the log holds\n%s\nand held\n%s", log.String(), apartLog.String())
	}
	if !reflect.DeepEqual(apart.events, together.events) || len(together.events) != 4 {
		t.Errorf("kept %+v, and before %+v", together.events, apart.events)
	}
	// What one of them does not take is said, and the other has it.
	careful.answer = false
	if b.ProcessEvents(secretEvent()) || len(together.events) != 5 || b.Lost() != 0 {
		t.Error("an event that was not logged was answered for, or not kept")
	}
	careful.answer, together.err = true, errors.New("disk full")
	before := log.Len()
	if b.ProcessEvents(secretEvent()) || b.Lost() != 1 || log.Len() == before {
		t.Error("an event that was not kept was answered for, or not logged")
	}
	if b.String() != "gatehouse,redacted<log>" || b.Run(nil) != nil {
		t.Error(b.String())
	}
	if b.Shutdown(); careful.down != 1 {
		t.Error("the log was not shut down")
	}
}
