package gatekeeper

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/rego"
)

// inventory keeps data.inventory equal to the cluster view, for the kinds that are
// looked up.
type inventory struct {
	mu    sync.Mutex // guards what follows
	kinds []schema.GroupVersionKind
	have  map[heldKey]*held
	made  rego.Inventory
}

type heldKey struct {
	kind            schema.GroupVersionKind
	namespace, name string
}

func (k *heldKey) path() []string {
	if k.namespace != "" {
		return []string{"namespace", k.namespace, k.kind.GroupVersion().String(), k.kind.Kind, k.name}
	}
	return []string{"cluster", k.kind.GroupVersion().String(), k.kind.Kind, k.name}
}

type held struct {
	object *unstructured.Unstructured
	seen   bool
}

func (i *inventory) wants(kinds []schema.GroupVersionKind) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.kinds = kinds
}

// sync puts in what is new and takes out what is gone. What is the same object as
// before is not looked at.
func (i *inventory) sync(ctx context.Context, cluster policy.Cluster) (*rego.Data, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.have == nil {
		i.have = map[heldKey]*held{}
	}
	for _, h := range i.have {
		h.seen = false
	}
	for _, kind := range i.kinds {
		objects, err := cluster.Objects(ctx, kind, "")
		if err != nil {
			if notServed(err) {
				continue
			}
			return nil, err
		}
		for _, o := range objects {
			key := heldKey{kind, o.GetNamespace(), o.GetName()}
			if h := i.have[key]; h != nil && h.object == o {
				h.seen = true
				continue
			}
			i.made.Put(key.path(), o.Object)
			i.have[key] = &held{o, true}
		}
	}
	for key, h := range i.have {
		if !h.seen {
			i.made.Remove(key.path())
			delete(i.have, key)
		}
	}
	return i.made.Data(), nil
}
