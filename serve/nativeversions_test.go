package serve

import (
	"fmt"
	"math/rand/v2"
	"testing"

	v1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/follow"
)

func nativeObject(kind, name, uid string, generation int64, of string) policy.Object {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind}}
	u.SetName(name)
	u.SetUID(types.UID(uid))
	u.SetGeneration(generation)
	spec := map[string]any{"matchConstraints": map[string]any{"resourceRules": []any{map[string]any{"apiGroups": []any{""}, "apiVersions": []any{"v1"}, "operations": []any{"*"}, "resources": []any{"pods"}}}},
		"validations": []any{map[string]any{"expression": "true"}}}
	if of != "" {
		spec = map[string]any{"policyName": of, "validationActions": []any{"Deny"}}
	}
	u.Object["spec"] = spec
	return policy.Object{Unstructured: u, Source: gate.Source{Kind: kind, Name: name}}
}

// What differs is counted as it is told, in whatever order.
func TestNativeVersionsCountWhatDiffers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var v nativeVersions
	for range 5000 {
		name := fmt.Sprint("p", random.IntN(4))
		of := gate.Source{Kind: "ValidatingAdmissionPolicy", Name: name}
		switch random.IntN(4) {
		case 0:
			v.tell(of, nil)
		case 1, 2:
			v.tell(of, &metav1.ObjectMeta{UID: types.UID(fmt.Sprint(random.IntN(2))), Generation: int64(random.IntN(2))})
		default:
			state := &follow.State{}
			for i := range 4 {
				if random.IntN(2) == 0 {
					state.Objects = append(state.Objects, nativeObject(of.Kind, fmt.Sprint("p", i), fmt.Sprint(random.IntN(2)), int64(random.IntN(2)), ""))
				}
			}
			state.Objects = append(state.Objects, nativeObject("Exception", "e", "1", 1, ""))
			v.compile(state)
		}
		differ := 0
		for i := range 4 {
			if v.differs(gate.Source{Kind: of.Kind, Name: fmt.Sprint("p", i)}) {
				differ++
			}
		}
		if v.differ != differ {
			t.Fatalf("%d differ, and %d are counted", differ, v.differ)
		}
	}
}

// Policies are vouched for while they are what upstream's informers have told of.
func TestNativePoliciesAreVouchedForWhileUpstreamHasTheSame(t *testing.T) {
	client := fake.NewClientset(&v1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "1", Generation: 1}},
		&v1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "b", UID: "2", Generation: 1}})
	shared := informers.NewSharedInformerFactory(client, 0)
	n := &nativePolicies{}
	if n.vouching() != nil {
		t.Error("nothing has been heard")
	}
	if err := n.listen(shared); err != nil {
		t.Fatal(err)
	}
	engine := &lateCEL{}
	state := func(objects ...policy.Object) *follow.State {
		return &follow.State{Objects: objects, Policies: engine.Compile(objects).Policies}
	}
	both := []policy.Object{nativeObject("ValidatingAdmissionPolicy", "p", "1", 1, ""), nativeObject("ValidatingAdmissionPolicyBinding", "b", "2", 1, "p")}
	n.update(&n.policies, state(both...))
	if n.vouching() != nil {
		t.Error("the Exceptions have not been read, and the informers do not run")
	}
	n.update(&n.exceptions, state())
	if n.vouching() != nil {
		t.Error("the informers do not run")
	}
	shared.Start(t.Context().Done())
	if !cache.WaitForCacheSync(t.Context().Done(), n.told...) {
		t.Fatal("the informers have nothing")
	}
	if n.vouching() == nil {
		t.Error("both have the same")
	}
	tell := func(of string, generation int64, uid types.UID) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.versions.tell(gate.Source{Kind: "ValidatingAdmissionPolicy", Name: of}, &metav1.ObjectMeta{Generation: generation, UID: uid})
		n.compare()
	}
	tell("p", 2, "1")
	if n.vouching() != nil {
		t.Error("upstream has been told of a change")
	}
	changed := []policy.Object{nativeObject("ValidatingAdmissionPolicy", "p", "1", 2, ""), both[1]}
	n.update(&n.policies, state(changed...))
	if n.vouching() == nil {
		t.Error("it has been compiled")
	}
	tell("p", 2, "another")
	if n.vouching() != nil {
		t.Error("it has been made anew")
	}
	tell("p", 2, "1")
	tell("q", 1, "3")
	if n.vouching() != nil {
		t.Error("upstream has been told of another")
	}
	n.update(&n.policies, state(append(changed, nativeObject("ValidatingAdmissionPolicy", "q", "3", 1, ""))...))
	if n.vouching() == nil {
		t.Error("both have it, and no binding")
	}
	// An engine that drops a policy is not to be believed.
	dropped := state(append(changed, nativeObject("ValidatingAdmissionPolicy", "q", "3", 1, ""))...)
	dropped.Policies = nil
	n.update(&n.policies, dropped)
	if n.vouching() != nil {
		t.Error("a binding has become no policy")
	}
}
