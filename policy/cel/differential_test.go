package cel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
)

// Worlds of one or two policies are made atOnce, with this many requests of each.
const atOnce, requests = 50, 24

// fuzzed are the requests where the fuzzer chooses the world: it takes an execution of
// more than ten seconds for one that hangs.
const fuzzed = 3

// world is some policies and both that judge by them.
type world struct {
	maker
	seed     uint64
	policies []policy.Object
	theirs   *upstream
	ours     *policy.Set
}

func newWorld(t testing.TB, seed uint64, kind string, in *cluster) *world {
	w := &world{maker: newMaker(t, seed), seed: seed}
	n := 1 // Upstream mutates in the order of a map: one policy alone can be compared.
	if kind == validatingPolicyKind {
		n += w.IntN(2)
	}
	w.policies = w.world(kind, n)
	w.theirs, w.ours = newUpstream(t, w.policies, in), newSet(t, w.policies)
	return w
}

// inWorlds compares in all worlds.
func inWorlds(t *testing.T, kind string, compare func(*testing.T, *world, *cluster)) {
	in := newCluster(t)
	count := worlds
	if testing.Short() {
		count = atOnce
	}
	for first := 0; first < count; first += atOnce {
		made := make([]*world, atOnce)
		for i := range made {
			made[i] = newWorld(t, uint64(first+i), kind, in)
		}
		for _, w := range made {
			w.theirs.ready(t)
			compare(t, w, in)
		}
	}
}

func inWorld(f *testing.F, kind string, compare func(*testing.T, *world, *cluster)) {
	in := newCluster(f)
	f.Add(uint64(1 << 40))
	f.Fuzz(func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, kind, in)
		w.theirs.ready(t)
		compare(t, w, in)
	})
}

func TestValidationEqualsUpstreams(t *testing.T) {
	seen := map[string]int{}
	inWorlds(t, validatingPolicyKind, func(t *testing.T, w *world, in *cluster) { compareValidation(t, w, in, seen, requests) })
	if testing.Short() || worlds == atOnce {
		return
	}
	// What has not come up has not been compared.
	for _, one := range []string{"allowed", "held", "held as served", "Invalid 422", "Forbidden 403", "Unauthorized 401", "RequestEntityTooLarge 413", "NotFound 404", "warned", "audited", "annotated",
		"compilation error", "resulted in error", "cost limit", "failed to configure policy", "failed to configure binding"} {
		if seen[one] == 0 {
			t.Errorf("no request came to %q: %v", one, seen)
		}
	}
}

func FuzzValidationEqualsUpstreams(f *testing.F) {
	inWorld(f, validatingPolicyKind, func(t *testing.T, w *world, in *cluster) { compareValidation(t, w, in, map[string]int{}, fuzzed) })
}

// count what kind of verdict it is.
func (v *verdict) count(seen map[string]int) {
	if !v.Refused {
		seen["allowed"]++
	} else {
		seen[fmt.Sprintf("%s %d", v.Reason, v.Code)]++
		for _, part := range []string{"compilation error", "resulted in error", "cost limit", "failed to configure policy", "failed to configure binding"} {
			if strings.Contains(v.Messages[0], part) {
				seen[part]++
			}
		}
	}
	for what, list := range map[string][]string{"warned": v.Warnings, "audited": v.Failures, "annotated": v.Annotations} {
		if len(list) > 0 {
			seen[what]++
		}
	}
}

func TestMutationEqualsUpstreams(t *testing.T) {
	changed, refused, same := 0, 0, 0
	inWorlds(t, mutatingPolicyKind, func(t *testing.T, w *world, in *cluster) {
		for range requests {
			switch a := w.request(); w.compareMutation(t, a, in) {
			case "":
				return
			case "changed":
				changed++
			case "refused":
				refused++
			default:
				same++
			}
		}
	})
	if !testing.Short() && worlds > atOnce && (changed < 100 || refused < 100 || same < 100) {
		t.Errorf("too little was compared: %d changed, %d refused, %d as they were", changed, refused, same)
	}
}

func FuzzMutationEqualsUpstreams(f *testing.F) {
	inWorld(f, mutatingPolicyKind, func(t *testing.T, w *world, in *cluster) {
		for range fuzzed {
			w.compareMutation(t, w.request(), in)
		}
	})
}

func compareValidation(t *testing.T, w *world, in *cluster, seen map[string]int, count int) {
	for range count {
		a := w.request()
		theirs := w.theirs.validate(t, a)
		mine, _ := ours(w.ours, a, in)
		theirs.count(seen)
		if !same(theirs, mine) {
			w.differs(t, a, theirs, mine)
			return
		}
		if !w.compareHolds(t, a, theirs, in, seen) {
			return
		}
	}
}

func (w *world) differs(t *testing.T, a admission.Attributes, theirs, mine verdict) {
	t.Helper()
	t.Errorf("seed %d: %s %s %s/%s in %q, of\n%s\nupstream %+v\nwe       %+v", w.seed, a.GetOperation(), a.GetResource().Resource, a.GetName(), a.GetSubresource(), a.GetNamespace(), wrote(w.policies), theirs, mine)
}

// same takes into account that upstream tells one refusal of several, which one by
// the order of a map.
func same(theirs, mine verdict) bool {
	if theirs.Refused != mine.Refused {
		return false
	}
	if theirs.Refused && !slices.Contains(mine.Messages, theirs.Messages[0]) {
		return false
	}
	// A namespace that is not there ends upstream's evaluation of everything.
	if theirs.Reason == "NotFound" {
		return true
	}
	return equal(theirs.Warnings, slices.Compact(mine.Warnings)) && equal(theirs.Failures, mine.Failures) && equal(theirs.Annotations, mine.Annotations)
}

func equal(a, b []string) bool { return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b) }

// compareMutation says what has become of the object; nothing where both differ.
func (w *world) compareMutation(t *testing.T, a admission.Attributes, in *cluster) string {
	theirs := w.theirs.mutate(t, copied(a))
	r := policy.NewRequest(a, nil, in)
	r.Authorizer, r.Objects = permissions{}, newInterfaces()
	was, _ := json.Marshal(a.GetObject())
	var mine verdict
	if a.GetOperation() != admission.Delete {
		out := w.ours.Mutate(context.Background(), r)
		for i := range out.Denials {
			mine.Refused = true
			mine.Messages = append(mine.Messages, out.Denials[i].Text())
		}
	}
	if is, _ := json.Marshal(a.GetObject()); string(is) != string(was) {
		t.Error("the object of the request was changed in place")
	}
	if after, err := r.Object(); err != nil {
		t.Fatal(err)
	} else if after != nil && !mine.Refused {
		js, _ := json.Marshal(after.Object)
		mine.Object = string(js)
	}
	if theirs.Refused != mine.Refused || theirs.Object != mine.Object {
		w.differs(t, a, theirs, mine)
		return ""
	}
	switch {
	case mine.Refused:
		return "refused"
	case mine.Object != "" && mine.Object != string(was):
		return "changed"
	}
	return "same"
}

func copied(a admission.Attributes) admission.Attributes {
	now, before := a.GetObject(), a.GetOldObject()
	if now != nil {
		now = now.DeepCopyObject()
	}
	if before != nil {
		before = before.DeepCopyObject()
	}
	return admission.NewAttributesRecord(now, before, a.GetKind(), a.GetNamespace(), a.GetName(), a.GetResource(), a.GetSubresource(), a.GetOperation(), a.GetOperationOptions(), a.IsDryRun(), a.GetUserInfo())
}

// mutate is upstream's plugin, and again where the policy may be invoked again, as the
// chain of an API server does.
func (u *upstream) mutate(t testing.TB, a admission.Attributes) verdict {
	var v verdict
	if !u.mutating.Handles(a.GetOperation()) {
		return v
	}
	var err error
	pristine := copied(a)
	// Its schemas are read in the background.
	waited := wait.PollUntilContextTimeout(context.Background(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		a = copied(pristine)
		err = u.mutating.Admit(context.Background(), a, newInterfaces())
		return !apierrors.IsServiceUnavailable(err), nil
	})
	if waited != nil {
		t.Fatal(err)
	}
	v.refuse(t, err)
	if o, ok := a.GetObject().(*unstructured.Unstructured); ok && !v.Refused {
		js, _ := json.Marshal(o.Object)
		v.Object = string(js)
	}
	return v
}
