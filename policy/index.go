package policy

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/labels"
)

// index finds the policies that can match a request. What the places of a cluster
// come to is worked out when one is first seen, and kept; what a namespace comes to
// is kept as long as its labels stay.
type index[P Policy] struct {
	all []P // in the order they are asked; the index keeps it
	// selectors of each policy, as it gave them: asked once.
	of [][]Selector

	// places is replaced as a whole, under writing, and never changed: the places of
	// a cluster are few, and soon all seen.
	places  atomic.Pointer[map[placeKey]*candidates[P]]
	writing sync.Mutex
}

// placeKey has the group of the resource too, which may differ from the kind's.
type placeKey struct {
	place
	resourceGroup string
}

// mostPlaces and mostNamespaces bound what is kept: places are made of what a
// server serves, but in files anything may be written.
const mostPlaces, mostNamespaces = 4096, 16384

// candidates are what can match at one place.
type candidates[P Policy] struct {
	policies  []P
	selectors [][]Selector // those of each that take the place
	// everywhere says that no selector of them looks at the namespace.
	everywhere bool
	namespaces sync.Map // name → *covered[P]
	kept       atomic.Int32
}

type covered[P Policy] struct {
	known    bool
	labels   labels.Set
	policies []P
}

func (x *index[P]) build(policies []P) {
	x.all = policies
	x.of = make([][]Selector, len(policies))
	for i, p := range policies {
		x.of[i] = p.Selectors()
	}
}

// matching are the policies that can match a request, in their order. The caller
// must not change it.
func (x *index[P]) matching(ctx context.Context, r *Request) []P {
	if len(x.all) == 0 {
		return nil
	}
	c := x.at(placeKey{placeOf(r), r.GetResource().Group})
	if c.everywhere || len(c.policies) == 0 {
		return c.policies
	}
	name, known, set := namespaceOf(ctx, r)
	if found, ok := c.namespaces.Load(name); ok {
		if found := found.(*covered[P]); found.known == known && maps.Equal(found.labels, set) {
			return found.policies
		}
	}
	fresh := &covered[P]{known: known, labels: maps.Clone(set)}
	for i, p := range c.policies {
		if slices.ContainsFunc(c.selectors[i], func(s Selector) bool { return s.covers(name, known, set) }) {
			fresh.policies = append(fresh.policies, p)
		}
	}
	if c.kept.Add(1) > mostNamespaces {
		c.namespaces.Clear()
		c.kept.Store(0)
	}
	c.namespaces.Store(name, fresh)
	return fresh.policies
}

func (x *index[P]) at(key placeKey) *candidates[P] {
	if places := x.places.Load(); places != nil {
		if found, ok := (*places)[key]; ok {
			return found
		}
	}
	c := &candidates[P]{everywhere: true}
	for i, p := range x.all {
		var takes []Selector
		for j := range x.of[i] {
			if s := &x.of[i][j]; s.takes(key.place, key.resourceGroup) {
				takes = append(takes, *s)
				if s.Namespaces != nil || s.NamespaceSelector != nil {
					c.everywhere = false
				}
			}
		}
		if takes != nil {
			c.policies, c.selectors = append(c.policies, p), append(c.selectors, takes)
		}
	}
	x.writing.Lock()
	defer x.writing.Unlock()
	places := map[placeKey]*candidates[P]{key: c}
	if before := x.places.Load(); before != nil && len(*before) < mostPlaces {
		maps.Copy(places, *before)
	}
	x.places.Store(&places)
	return c
}

func (x *index[P]) selectors() []Selector { return slices.Concat(x.of...) }
