package scan

import (
	"context"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/follow"
)

// Reason is why objects are judged.
type Reason int

// The reasons.
const (
	Object    Reason = iota // it is new, or has changed
	Policy                  // a policy that can match it has
	Exception               // an Exception has changed or ended
	Namespace               // the labels of its namespace have changed
	Lookup                  // what a policy looks up has changed
)

var reasons = [...]string{"object", "policy", "exception", "namespace", "lookup"}

func (r Reason) String() string { return reasons[r] }

// trigger says which objects are to be judged again. A field that is not set leaves
// none out.
type trigger struct {
	reason    Reason
	namespace string
	// touched are policies one of which can match it.
	touched *policy.Set
	// reported says that only objects with a report are meant.
	reported bool
}

func (s *Scanner) pulls(ctx context.Context, t *trigger, o Item, of Resource) bool {
	return (t.namespace == "" || t.namespace == o.GetNamespace()) &&
		(!t.reported || s.reports.Get(o.GetUID()) != nil) &&
		(t.touched == nil || t.touched.Touches(ctx, s.request(o, of)))
}

// stated is what an object of a policy says, without what does not count.
type stated struct {
	object *unstructured.Unstructured
	hash   uint64
}

// statedBy are the objects of a State by what tells them apart.
func (h *hashes) statedBy(state *follow.State, before map[gate.Source]stated) map[gate.Source]stated {
	all := make(map[gate.Source]stated, len(state.Objects))
	for _, o := range state.Objects {
		key := gate.Source{Kind: o.GetObjectKind().GroupVersionKind().GroupKind().String(), Namespace: o.GetNamespace(), Name: o.GetName()}
		if last, ok := before[key]; ok && last.object == o.Unstructured {
			all[key] = last
			continue
		}
		all[key] = stated{o.Unstructured, h.of(o.Unstructured)}
	}
	return all
}

// changes are the triggers of one State after another of the same Follower, which may
// be nil.
func changes(before, after *follow.State, was, is map[gate.Source]stated) []trigger {
	changed := map[gate.Source]bool{} // kind without its group: as policies name their objects
	exceptions := false
	for _, all := range []map[gate.Source]stated{was, is} {
		for key, one := range all {
			a, there := was[key]
			b, still := is[key]
			if there && still && a.hash == b.hash {
				continue
			}
			if kind := one.object.GroupVersionKind(); kind.Group == "gatehouse.io" && kind.Kind == "Exception" {
				exceptions = true
				continue
			}
			changed[gate.Source{Kind: one.object.GetKind(), Namespace: one.object.GetNamespace(), Name: one.object.GetName()}] = true
		}
	}
	var triggers []trigger
	if exceptions {
		triggers = append(triggers, trigger{reason: Exception, reported: true})
	}
	if len(changed) == 0 {
		return triggers
	}
	var policies []policy.Policy
	if before != nil {
		policies = slices.Clone(before.Policies)
	}
	policies = append(policies, after.Policies...)
	// What no policy claims may be a part of any that does not tell its parts.
	unclaimed := maps.Clone(changed)
	for _, p := range policies {
		for _, source := range sourcesOf(p) {
			delete(unclaimed, source)
		}
	}
	touched := slices.DeleteFunc(policies, func(p policy.Policy) bool {
		if _, tells := p.(policy.Compound); !tells && len(unclaimed) > 0 {
			return false
		}
		return !slices.ContainsFunc(sourcesOf(p), func(source gate.Source) bool { return changed[source] })
	})
	if len(touched) > 0 {
		triggers = append(triggers, trigger{reason: Policy, touched: policy.NewSet(touched, policy.Options{})})
	}
	return triggers
}

// sourcesOf are the objects that a policy is made of, without where they are written.
func sourcesOf(p policy.Policy) []gate.Source {
	sources := []gate.Source{p.Source()}
	if c, ok := p.(policy.Compound); ok {
		sources = slices.Clone(c.Sources())
	}
	for i := range sources {
		sources[i] = gate.Source{Kind: sources[i].Kind, Namespace: sources[i].Namespace, Name: sources[i].Name}
	}
	return sources
}

// lookingUp is the trigger of a change among objects of some kinds; nil where no
// policy looks them up.
func lookingUp(states []*follow.State, kinds map[schema.GroupVersionKind]bool) *trigger {
	var touched []policy.Policy
	for _, state := range states {
		for _, p := range state.Policies {
			if c, tells := p.(policy.Compound); tells && !slices.ContainsFunc(c.Lookups(), func(k schema.GroupVersionKind) bool { return kinds[k] }) {
				continue
			}
			touched = append(touched, p)
		}
	}
	if touched == nil {
		return nil
	}
	return &trigger{reason: Lookup, touched: policy.NewSet(touched, policy.Options{})}
}
