package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/check"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/builtin"
)

// podKinds knows Pods.
type podKinds struct{}

func (podKinds) ResourceOf(kind schema.GroupKind) (string, bool, bool) {
	return "pods", true, kind == schema.GroupKind{Kind: "Pod"}
}

func (podKinds) KindOf(resource schema.GroupResource) (schema.GroupVersionKind, bool, bool) {
	return schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, true, resource.Resource == "pods"
}

// policyJudge asks the built-in policies of these names.
func policyJudge(t *testing.T, names ...any) *check.Judge {
	t.Helper()
	opts := check.Options{Engines: []policy.Engine{builtin.New(builtin.Options{})}, Kinds: podKinds{}}
	if len(names) > 0 {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "gatehouse.io/v1alpha1", "kind": "BuiltinPolicies", "metadata": map[string]any{"name": "all"},
			"spec": map[string]any{"policies": names}}}
		opts.Policies = []policy.Object{{Unstructured: o, Source: gate.Source{Kind: "BuiltinPolicies", Name: "all", File: "p.yaml", Line: 3}}}
	}
	j := check.New(opts)
	if len(j.Loaded.Problems) > 0 {
		t.Fatal(j.Loaded.Problems)
	}
	return j
}

// write is the event of a Pod that is created or updated.
func write(n int, verb string, privileged bool, edit func(*audit.Event)) *audit.Event {
	name := fmt.Sprint("pod-", n)
	body := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"namespace":"shop"},"spec":{"containers":[{"name":"c","image":"i","securityContext":{"privileged":%v}}]}}`, name, privileged)
	e := &audit.Event{ID: fmt.Sprint("id-", n), Stage: audit.StageComplete, Level: "Request", Time: begun.Add(time.Duration(n) * time.Second), Verb: verb, User: "jane", Groups: []string{"developers"},
		APIVersion: "v1", Resource: "pods", Namespace: "shop", Name: name, Code: 201, Request: []byte(body), Annotations: map[string]string{audit.AnnotationDecision: "allow"}}
	if edit != nil {
		edit(e)
	}
	return e
}

func TestJudge(t *testing.T) {
	events := []*audit.Event{
		write(1, "create", true, nil),
		write(2, "create", false, nil),
		write(3, "create", true, nil),
		write(4, "update", true, nil), // judged as if it had been privileged before: nothing new
		write(5, "create", true, func(e *audit.Event) { e.Request = nil }),
		write(6, "patch", true, nil),
		write(7, "delete", true, nil),
		write(8, "create", true, func(e *audit.Event) { e.Truncated = true }),
		write(9, "create", true, func(e *audit.Event) { e.Request = []byte(`{"half":`) }),
		write(10, "get", true, nil),
		write(11, "create", true, func(e *audit.Event) { e.Annotations = map[string]string{audit.AnnotationDecision: "forbid"} }),
		write(12, "create", true, func(e *audit.Event) { e.Stage = audit.StageReceived }),
		write(13, "create", true, func(e *audit.Event) { e.User = "ann" }),
	}
	for _, workers := range []int{1, 4} {
		r, err := Judge(context.Background(), memory(events).Scan(context.Background(), audit.Scan{Bodies: true}), PolicyOptions{Current: policyJudge(t), Proposed: policyJudge(t, map[string]any{"name": "DisallowPrivileged"}), Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		if r.Seen != 10 || r.Judged != 5 || r.Refused != 3 || r.Allowed != 0 || r.SameOld != 1 {
			t.Errorf("%+v", r)
		}
		want := []PolicyUnjudged{{OfDeletion, 1}, {OfPatch, 1}, {NoBody, 1}, {CutBody, 1}, {UnreadableBody, 1}}
		slices.SortFunc(want, func(a, b PolicyUnjudged) int {
			if a.Cause < b.Cause {
				return -1
			}
			return 1
		})
		if !slices.Equal(r.Unjudged, want) {
			t.Errorf("%+v", r.Unjudged)
		}
		if len(r.Flips) != 2 {
			t.Fatalf("%+v", r.Flips)
		}
		f := r.Flips[1] // jane's creations, after ann's
		if f.User != "jane" || f.Verb != "create" || f.Requests != 2 || !slices.Equal(f.Names, []string{"pod-1", "pod-3"}) || f.Event != "id-3" || len(f.Says) != 1 || f.Says[0].Message == "" || f.Says[0].Policy.Kind != "BuiltinPolicies" {
			t.Errorf("%+v", f)
		}
	}
	back, err := Judge(context.Background(), memory(events).Scan(context.Background(), audit.Scan{Bodies: true}), PolicyOptions{Proposed: policyJudge(t), Current: policyJudge(t, map[string]any{"name": "DisallowPrivileged"}), MaxFlips: 1})
	if err != nil {
		t.Fatal(err)
	}
	if back.Allowed != 3 || len(back.Flips) != 1 || back.Flips[0].Change != WouldAllow || back.More != 2 {
		t.Errorf("%+v", back)
	}
}

// What was there before an update is known from the response before it.
func TestRemembered(t *testing.T) {
	known := remembered{}
	first := write(1, "create", false, func(e *audit.Event) { e.Response = e.Request })
	if old := known.take(first); old != nil {
		t.Errorf("before a creation there is %s", old)
	}
	second := write(1, "update", true, nil)
	old := known.take(second)
	q, cause := questionOf(second, old)
	if cause != "" || q.OldObject == nil || q.OldObject == q.Object {
		t.Fatalf("%s %+v", cause, q)
	}
	containers, _, _ := unstructured.NestedSlice(q.OldObject.Object, "spec", "containers")
	if data, _ := json.Marshal(containers); string(data) != `[{"image":"i","name":"c","securityContext":{"privileged":false}}]` {
		t.Errorf("%s", data)
	}
	if old := known.take(write(1, "update", true, nil)); old != nil {
		t.Error("what an update without a response left is taken for known")
	}
}

func TestJudgeErrors(t *testing.T) {
	damaged := errors.New("damaged")
	_, err := Judge(context.Background(), func(yield func(*audit.Event, error) bool) { yield(nil, damaged) }, PolicyOptions{Current: policyJudge(t), Proposed: policyJudge(t)})
	if !errors.Is(err, damaged) {
		t.Errorf("error %v", err)
	}
}
