package guard

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/dynamic/fake"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// A Guard's status says whether it is in force as it is written, and why not.
func TestReporter(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	guard := func(name, condition string) *v1alpha1.Guard {
		return &v1alpha1.Guard{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Guard"},
			ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 3},
			Spec:       v1alpha1.GuardSpec{Subjects: v1alpha1.GuardSubjects{All: true}, Resources: []string{"pods"}, Condition: condition, Reason: "r"},
		}
	}
	client := fake.NewSimpleDynamicClient(scheme, guard("good", ""), guard("bad", "request.nothing"))
	resource := v1alpha1.SchemeGroupVersion.WithResource("guards")
	factory := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	a := New(Options{})
	if err := a.Follow(factory.ForResource(resource).Informer()); err != nil {
		t.Fatal(err)
	}
	r, err := NewReporter(a, client.Resource(resource), factory.ForResource(resource).Informer())
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(ctx.Done())
	go r.Run(ctx)
	for name, want := range map[string]struct {
		status metav1.ConditionStatus
		reason string
	}{"good": {metav1.ConditionTrue, v1alpha1.GuardInForce}, "bad": {metav1.ConditionFalse, v1alpha1.GuardInvalid}} {
		var g v1alpha1.Guard
		for range 500 {
			var found *unstructured.Unstructured
			if found, err = client.Resource(resource).Get(ctx, name, metav1.GetOptions{}); err != nil {
				t.Fatal(err)
			}
			g = v1alpha1.Guard{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found.Object, &g); err != nil {
				t.Fatal(err)
			}
			if len(g.Status.Conditions) > 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		c := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.GuardAccepted)
		if c == nil || c.Status != want.status || c.Reason != want.reason || c.Message == "" || g.Status.ObservedGeneration != 3 {
			t.Errorf("%s: status %+v", name, g.Status)
		}
	}
}
