package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of every kind Gatehouse adds.
const GroupName = "gatehouse.io"

// SchemeGroupVersion is the group and version of this package's kinds.
var SchemeGroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

// AddToScheme registers the stored and the virtual kinds of this package with a
// scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(SchemeGroupVersion,
		&Revocation{}, &RevocationList{},
		&Guard{}, &GuardList{},
		&Exception{}, &ExceptionList{},
		&BuiltinPolicies{}, &BuiltinPoliciesList{},
		&DetectionRule{}, &DetectionRuleList{},
		&Mute{}, &MuteList{},
		&RequestReview{}, &SubjectsReview{}, &AccessList{},
	)
	metav1.AddToGroupVersion(s, SchemeGroupVersion)
	return nil
}
