package cel

import (
	"fmt"
	"slices"

	v1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gatehouse-io/gatehouse/policy"
)

// versions of the kinds; their fields are the same in all of them.
var versions = []string{"v1", "v1beta1", "v1alpha1"}

// read fills a typed object and gives it the defaults that an API server would. An
// unknown field is a fault: an API server drops it, with a warning that few read.
func read(from policy.Object, into any) []Fault {
	if version := from.GroupVersionKind().Version; !slices.Contains(versions, version) {
		return []Fault{{"apiVersion", fmt.Errorf("version %s of %s is not known", version, from.GetKind())}}
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(from.Object, into, true); err != nil {
		if !runtime.IsStrictDecodingError(err) {
			return []Fault{{"", err}}
		}
		return []Fault{{"", err}}
	}
	return nil
}

func setDefaults(m *v1.MatchResources) {
	if m == nil {
		return
	}
	if m.MatchPolicy == nil {
		equivalent := v1.Equivalent
		m.MatchPolicy = &equivalent
	}
	if m.NamespaceSelector == nil {
		m.NamespaceSelector = &metav1.LabelSelector{}
	}
	if m.ObjectSelector == nil {
		m.ObjectSelector = &metav1.LabelSelector{}
	}
}

func setFailurePolicy(p **v1.FailurePolicyType) {
	if *p == nil {
		fail := v1.Fail
		*p = &fail
	}
}
