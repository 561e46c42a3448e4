package follow

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// reported is a world whose Follower has read it once, and a Reporter that a test
// calls itself.
type reported struct {
	*world
	*Reporter
	events *events.FakeRecorder
	at     time.Time
}

func newReported(t *testing.T, there ...runtime.Object) *reported {
	t.Helper()
	w := newWorld(t, append(there, definition(rules, "Rule"), definition(exceptions, "Exception"), definition(template, "ConstraintTemplate"))...)
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{})
	for of, kind := range map[schema.GroupVersionResource]string{rules: "Rule", exceptions: "Exception", template: "ConstraintTemplate"} {
		mapper.AddSpecific(of.GroupVersion().WithKind(kind), of, of, meta.RESTScopeRoot)
	}
	r := &reported{world: w, Reporter: NewReporter(w.Follower, w.client, mapper), events: events.NewFakeRecorder(100), at: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	r.now = func() time.Time { return r.at }
	w.run(t)
	w.await(t, "all has been read", func(s *State) bool { return len(s.Objects) == len(there) })
	w.client.ClearActions()
	return r
}

// once reports once, and returns how many writes that took. The watch has told the
// Follower of them when it returns.
func (r *reported) once(t *testing.T) (writes int) {
	t.Helper()
	if err := r.report(t.Context(), r.State(), r.events); err != nil {
		t.Fatal(err)
	}
	for _, action := range r.world.client.Actions() {
		if action.GetSubresource() == "status" {
			writes++
		}
	}
	r.world.client.ClearActions()
	for _, o := range r.State().Objects {
		if !cache.WaitForCacheSync(t.Context().Done(), func() bool {
			have := r.Follower.current(o)
			want := r.get(t, o)
			return have == nil || have.GetGeneration() != want.GetGeneration() || equalStatus(have, want)
		}) {
			t.Fatal("the watch does not tell of the status")
		}
	}
	r.world.client.ClearActions()
	return writes
}

func equalStatus(a, b *unstructured.Unstructured) bool {
	x, _ := runtime.Encode(unstructured.UnstructuredJSONScheme, a)
	y, _ := runtime.Encode(unstructured.UnstructuredJSONScheme, b)
	return string(x) == string(y)
}

func (r *reported) get(t *testing.T, o policy.Object) *unstructured.Unstructured {
	t.Helper()
	of := rules
	switch o.GetKind() {
	case "Exception":
		of = exceptions
	case "ConstraintTemplate":
		of = template
	}
	return must[*unstructured.Unstructured](t)(r.world.client.Resource(of).Get(context.WithoutCancel(t.Context()), o.GetName(), metav1.GetOptions{}))
}

func (r *reported) told() (all []string) {
	for len(r.events.Events) > 0 {
		all = append(all, <-r.events.Events)
	}
	return all
}

// accepted is the condition Accepted of an object: "False Invalid: message".
func accepted(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	var status struct {
		Conditions []metav1.Condition `json:"conditions"`
	}
	content, _, _ := unstructured.NestedMap(u.Object, "status")
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &status); err != nil {
		t.Fatal(err)
	}
	c := meta.FindStatusCondition(status.Conditions, "Accepted")
	if c == nil {
		return ""
	}
	return string(c.Status) + " " + c.Reason + ": " + c.Message
}

func of(kind, name string) policy.Object {
	u := &unstructured.Unstructured{}
	u.SetKind(kind)
	u.SetName(name)
	return policy.Object{Unstructured: u, Source: gate.Source{Kind: kind, Name: name}}
}

func TestAProblemIsToldInTheStatusAndAsOneEvent(t *testing.T) {
	broken := object(template, "ConstraintTemplate", "t", 3, map[string]any{"text": "broken"})
	r := newReported(t, broken, object(template, "ConstraintTemplate", "good", 1, map[string]any{"text": "one"}))
	if n := r.once(t); n != 2 {
		t.Errorf("%d statuses are written, want 2", n)
	}
	byPod, _, _ := unstructured.NestedSlice(r.get(t, of("ConstraintTemplate", "t")).Object, "status", "byPod")
	entry := byPod[0].(map[string]any)
	if len(byPod) != 1 || entry["id"] != "gatehouse" || entry["observedGeneration"] != int64(3) || entry["enforced"] != false {
		t.Errorf("status.byPod is %v", byPod)
	}
	if wrong := entry["errors"].([]any)[0].(map[string]any)["message"]; wrong != "it is broken. mend it" {
		t.Errorf("the error is %q", wrong)
	}
	if told := r.told(); len(told) != 1 || !strings.Contains(told[0], "Warning PolicyInvalid it is broken. mend it") {
		t.Errorf("events: %q", told)
	}
	for range 3 {
		if n := r.once(t); n != 0 {
			t.Errorf("%d statuses are written again, with nothing to say", n)
		}
	}
	if told := r.told(); told != nil {
		t.Errorf("it is told again: %q", told)
	}
	// Mended: the error goes, and what others wrote stays.
	next := r.get(t, of("ConstraintTemplate", "t")).DeepCopy()
	next.SetGeneration(4)
	next.Object["spec"] = map[string]any{"text": "two"}
	theirs, _, _ := unstructured.NestedSlice(next.Object, "status", "byPod")
	next.Object["status"] = map[string]any{"byPod": append(theirs, map[string]any{"id": "gatekeeper-audit-0"}), "created": true}
	must[*unstructured.Unstructured](t)(r.world.client.Resource(template).Update(t.Context(), next, metav1.UpdateOptions{}))
	r.await(t, "it is mended", func(s *State) bool { return len(s.Problems) == 0 })
	r.once(t)
	status, _, _ := unstructured.NestedMap(r.get(t, of("ConstraintTemplate", "t")).Object, "status")
	byPod = status["byPod"].([]any)
	if entry := byPod[0].(map[string]any); len(byPod) != 2 || entry["enforced"] != true || entry["errors"] != nil || status["created"] != true {
		t.Errorf("the status of the mended one is %v", status)
	}
}

func TestAnotherProgramsObjectIsToldOfAndNotWrittenTo(t *testing.T) {
	r := newReported(t, object(template, "ConstraintTemplate", "t", 1, map[string]any{"text": "foreign"}))
	if n := r.once(t); n != 0 {
		t.Errorf("%d statuses are written", n)
	}
	if told := r.told(); len(told) != 1 || !strings.Contains(told[0], "Warning PolicyInvalid it is not read") {
		t.Errorf("events: %q", told)
	}
}

func TestExceptionsSayWhetherTheyCount(t *testing.T) {
	r := newReported(t, exceptionOn("on", "2026-11-23T13:00:00Z"), exceptionOn("over", "2026-11-23T11:00:00Z"))
	r.once(t)
	if got := accepted(t, r.get(t, of("Exception", "on"))); got != "True InForce: in force as it is written" {
		t.Errorf("on: %s", got)
	}
	if got := accepted(t, r.get(t, of("Exception", "over"))); got != "False Expired: it ended at 2026-11-23T11:00:00Z, and counts for nothing" {
		t.Errorf("over: %s", got)
	}
	if n := r.once(t); n != 0 {
		t.Errorf("%d are written again", n)
	}
	r.at = r.at.Add(2 * time.Hour) // nobody changes it: it ends
	if n := r.once(t); n != 1 {
		t.Errorf("%d are written when one ends, want 1", n)
	}
	if got := accepted(t, r.get(t, of("Exception", "on"))); !strings.HasPrefix(got, "False Expired") {
		t.Errorf("on, two hours later: %s", got)
	}
}

func TestALostWriteIsMadeUpFor(t *testing.T) {
	r := newReported(t, exceptionOn("x", "2026-11-23T13:00:00Z"))
	r.once(t)
	// Somebody takes the status away: the next round writes it again, once.
	bare := exceptionOn("x", "2026-11-23T13:00:00Z")
	must[*unstructured.Unstructured](t)(r.world.client.Resource(exceptions).UpdateStatus(t.Context(), bare, metav1.UpdateOptions{}))
	if !cache.WaitForCacheSync(t.Context().Done(), func() bool {
		return r.Follower.current(r.State().Objects[0]).Object["status"] == nil
	}) {
		t.Fatal("the watch does not tell")
	}
	r.world.client.ClearActions()
	if n := r.once(t); n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
	if n := r.once(t); n != 0 {
		t.Errorf("%d writes more", n)
	}
}

func TestTheMessageOfAConditionEndsAtAWholeCharacter(t *testing.T) {
	if got := clip("aß", 2); got != "a" {
		t.Errorf("clip is %q", got)
	}
}
