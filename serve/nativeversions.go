package serve

import (
	"maps"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy/follow"
)

// nativeVersions tell whether the policies in CEL that were compiled are those that
// upstream's plugins have been told of. It is not safe for concurrent use.
//
// Upstream's plugins read their policies by watches of their own. Those may be ahead of
// ours, and a policy that was just written must not be passed by because ours has not
// seen it. The plugins' informers are shared within the server: who listens to them too
// knows what the plugins know.
type nativeVersions struct {
	// told is what the plugins' watches say, and compiled what was compiled.
	told, compiled map[gate.Source]nativeVersion
	// differ is how many are not the same in both.
	differ int
}

// nativeVersion is one state of what a policy or a binding says. A change of its status
// is none.
type nativeVersion struct {
	uid        types.UID
	generation int64
}

func versionOf(o metav1.Object) nativeVersion { return nativeVersion{o.GetUID(), o.GetGeneration()} }

// tell notes what a watch says of an object; nil says that it is gone.
func (v *nativeVersions) tell(of gate.Source, o metav1.Object) {
	if v.differs(of) {
		v.differ--
	}
	if o == nil {
		delete(v.told, of)
	} else {
		if v.told == nil {
			v.told = map[gate.Source]nativeVersion{}
		}
		v.told[of] = versionOf(o)
	}
	if v.differs(of) {
		v.differ++
	}
}

// compile notes what was compiled.
func (v *nativeVersions) compile(state *follow.State) {
	v.compiled, v.differ = map[gate.Source]nativeVersion{}, 0
	for _, o := range state.Objects {
		if isNative(o.GetKind()) {
			v.compiled[gate.Source{Kind: o.GetKind(), Name: o.GetName()}] = versionOf(o)
		}
	}
	all := maps.Clone(v.compiled)
	maps.Copy(all, v.told)
	for of := range all {
		if v.differs(of) {
			v.differ++
		}
	}
}

func (v *nativeVersions) differs(of gate.Source) bool {
	told, there := v.told[of]
	compiled, known := v.compiled[of]
	return there != known || told != compiled
}

// listener has tell called for each change that an informer of a kind tells of.
func listener(kind string, tell func(gate.Source, metav1.Object)) cache.ResourceEventHandler {
	each := func(object any, gone bool) {
		if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = last.Obj
		}
		o, err := meta.Accessor(object)
		if err != nil {
			return // an informer of a kind tells of its objects
		}
		of := gate.Source{Kind: kind, Name: o.GetName()}
		if gone {
			o = nil
		}
		tell(of, o)
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { each(object, false) },
		UpdateFunc: func(_, object any) { each(object, false) },
		DeleteFunc: func(object any) { each(object, true) },
	}
}

// whole reports whether every binding of a policy that is there has become a policy in
// force: of one that the engine left out nothing could be vouched for.
func whole(state *follow.State) bool {
	there := map[string]bool{}
	for _, o := range state.Objects {
		there[o.GetKind()+"/"+o.GetName()] = true
	}
	bound := 0
	for _, o := range state.Objects {
		policyKind := boundBy[o.GetKind()]
		spec, _ := o.Object["spec"].(map[string]any)
		if name, _ := spec["policyName"].(string); policyKind != "" && there[policyKind+"/"+name] {
			bound++
		}
	}
	return bound == len(state.Policies)
}

// boundBy is the kind of policy of each kind of binding.
var boundBy = map[string]string{
	"ValidatingAdmissionPolicyBinding": "ValidatingAdmissionPolicy",
	"MutatingAdmissionPolicyBinding":   "MutatingAdmissionPolicy",
}

func isNative(kind string) bool {
	for binding, policy := range boundBy {
		if kind == binding || kind == policy {
			return true
		}
	}
	return false
}
