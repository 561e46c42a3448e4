package query_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/celevent"
)

var start = time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)

// log is events that are written one after another.
type log struct {
	audit.Memory
	n int
}

// event is one line: USER VERB RESOURCE[.GROUP][/SUBRESOURCE] NAMESPACE/NAME [CODE], at so many
// seconds after start.
func (l *log) event(seconds float64, line string, change ...func(*audit.Event)) *audit.Event {
	l.n++
	f := strings.Fields(line)
	e := &audit.Event{
		ID: fmt.Sprintf("id-%03d", l.n), Stage: audit.StageComplete, Level: "Metadata", Source: "serve", Code: 200,
		Time: start.Add(time.Duration(seconds * float64(time.Second))), User: f[0], Verb: f[1],
		Annotations: map[string]string{audit.AnnotationDecision: "allow"},
	}
	e.Received = e.Time.Add(-5 * time.Millisecond)
	if e.Verb == "create" {
		e.Code = 201
	}
	resource, sub, _ := strings.Cut(f[2], "/")
	e.Subresource = sub
	e.Resource, e.APIGroup, _ = strings.Cut(resource, ".")
	e.Namespace, e.Name, _ = strings.Cut(f[3], "/")
	e.URI = "/x/" + f[2] + "/" + f[3]
	if len(f) > 4 {
		fmt.Sscan(f[4], &e.Code)
	}
	for _, c := range change {
		c(e)
	}
	l.Add(e)
	return e
}

func request(body string) func(*audit.Event) {
	return func(e *audit.Event) {
		e.Request = []byte(body)
		if e.Level == "Metadata" {
			e.Level = "Request"
		}
	}
}

func response(body string) func(*audit.Event) {
	return func(e *audit.Event) { e.Response, e.Level = []byte(body), "RequestResponse" }
}

func as(user string) func(*audit.Event) { return func(e *audit.Event) { e.AsUser = user } }

// owned is the body of an object with an owner, APIVERSION KIND NAME UID.
func owned(kind, name, uid, owner string) string {
	refs := "[]"
	if f := strings.Fields(owner); len(f) == 4 {
		refs = fmt.Sprintf(`[{"apiVersion":%q,"kind":%q,"name":%q,"uid":%q,"controller":true}]`, f[0], f[1], f[2], f[3])
	}
	return fmt.Sprintf(`{"kind":%q,"metadata":{"name":%q,"uid":%q,"ownerReferences":%s}}`, kind, name, uid, refs)
}

func controller(name string) string { return "system:serviceaccount:kube-system:" + name }

func where(t testing.TB, expression string) *celevent.Program {
	t.Helper()
	env, err := celevent.NewEnv(celevent.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := env.Compile(expression, celevent.Bool)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func object(text string) (o map[string]any) {
	if json.Unmarshal([]byte(text), &o) != nil {
		return nil
	}
	return o
}
