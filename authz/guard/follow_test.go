package guard

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

type fakeInformer struct {
	handler cache.ResourceEventHandler
	synced  bool
}

func (f *fakeInformer) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	f.handler = h
	return fakeRegistration{f, nil}, nil
}

type fakeRegistration struct {
	informer *fakeInformer
	cache.ResourceEventHandlerRegistration
}

func (r fakeRegistration) HasSynced() bool { return r.informer.synced }

func TestFollow(t *testing.T) {
	informer := &fakeInformer{}
	a := New(Options{})
	if err := a.Follow(informer); err != nil {
		t.Fatal(err)
	}
	if err := a.Follow(informer); err == nil {
		t.Error("it follows twice")
	}
	const request = "anna get pods shop/a"
	if denied, reason := decide(t, a, request); !denied || reason != notSynced {
		t.Errorf("before the first list: %v, %q", denied, reason)
	}
	typed := parse(t, "typed", `{subjects: {users: [bob]}, resources: [pods]}`)
	raw := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": "raw"},
		"spec":     map[string]any{"subjects": map[string]any{"users": []any{"anna"}}, "resources": []any{"pods"}, "reason": "because"},
	}}
	informer.handler.OnAdd(&typed, true)
	informer.handler.OnAdd(raw, true)
	informer.synced = true
	if denied, reason := decide(t, a, request); !denied || reason != "Guard raw: because" || a.Len() != 2 {
		t.Errorf("%v, %q, %d Guards", denied, reason, a.Len())
	}

	broken := raw.DeepCopy()
	broken.Object["spec"] = "nothing"
	informer.handler.OnUpdate(raw, broken)
	if denied, _ := decide(t, a, request); !denied || a.Invalid()["raw"] == nil {
		t.Errorf("an object that cannot be read ended the good version; Invalid %v", a.Invalid())
	}
	informer.handler.OnAdd("no object", false)
	informer.handler.OnDelete(cache.DeletedFinalStateUnknown{Key: "raw", Obj: raw})
	informer.handler.OnDelete(cache.DeletedFinalStateUnknown{Key: "typed"})
	if denied, _ := decide(t, a, request); denied || a.Len() != 0 || len(a.Invalid()) != 0 {
		t.Errorf("denied %v, %d Guards, Invalid %v", denied, a.Len(), a.Invalid())
	}
	informer.handler.OnAdd(&v1alpha1.Guard{}, false)
	if a.Len() != 0 {
		t.Error("an empty Guard is in force")
	}
}
