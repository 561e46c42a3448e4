package lint

import (
	"fmt"
	"strings"

	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/gatehouse-io/gatehouse/policy"
)

// Needs is what an object needs of the API server that is to take it.
type Needs struct {
	// Minor is the first release that takes it: 37 for 1.37; 0 where it needs none that
	// is supported.
	Minor int
	// Why names what is new.
	Why string
}

// introduced are the releases that the kinds were first served in.
var introduced = map[string]int{
	"ValidatingAdmissionPolicy/v1beta1": 28, "ValidatingAdmissionPolicy/v1": 30,
	"MutatingAdmissionPolicy/v1alpha1": 32, "MutatingAdmissionPolicy/v1beta1": 34, "MutatingAdmissionPolicy/v1": 36,
}

// first and last are the releases whose environments are tried. A server lets new
// policies use the environment of the release before it.
const first, last = 30, 38

// NeedsOf finds the first release of Kubernetes whose API server takes a policy of CEL
// as a new one. What does not compile at all needs nothing here: that is a problem of
// its own.
func (e *Environments) NeedsOf(o policy.Object) (n Needs) {
	kind := o.GetKind()
	if o.GroupVersionKind().Group != "admissionregistration.k8s.io" {
		return n
	}
	served := strings.TrimSuffix(kind, "Binding") + "/" + o.GroupVersionKind().Version
	if minor := introduced[served]; minor > 0 {
		n = Needs{minor, fmt.Sprintf("it serves %s in %s", kind, o.GetAPIVersion())}
	}
	for _, one := range expressionsOf(o) {
		if minor := e.needs(o, one.text); minor > n.Minor {
			n = Needs{minor, one.path + " uses what no release before it lets a new policy use"}
		}
	}
	return n
}

// needs is the first release that compiles an expression as a new one; 0 where none
// does. Variables are taken to be of any type, so a call of a method that no type of a
// release has counts, and one that some type has does not.
func (e *Environments) needs(o policy.Object, text string) int {
	for minor := first; minor <= last; minor++ {
		env, err := e.of(o, uint(minor-1), environment.NewExpressions)
		if err != nil {
			return 0
		}
		if _, issues := env.Compile(text); issues == nil || issues.Err() == nil {
			return minor
		}
	}
	return 0
}
