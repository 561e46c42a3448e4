package v1alpha1

import (
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// RequestReview puts one request before every gate and answers with what each
// made of it. It is created like a SubjectAccessReview, answered at once and
// never stored.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="Allowed",type=boolean,JSONPath=`.status.allowed`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`
type RequestReview struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec RequestReviewSpec `json:"spec"`

	// Status is filled in by the server.
	// +optional
	Status RequestReviewStatus `json:"status,omitempty"`
}

// RequestReviewSpec is the request. Exactly one of resourceAttributes and
// nonResourceAttributes is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.resourceAttributes) != has(self.nonResourceAttributes)",message="set exactly one of resourceAttributes and nonResourceAttributes"
// +kubebuilder:validation:XValidation:rule="has(self.resourceAttributes) || !(has(self.object) || has(self.oldObject))",message="object and oldObject need resourceAttributes"
// +kubebuilder:validation:XValidation:rule="has(self.user) || !(has(self.groups) || has(self.uid) || has(self.extra))",message="groups, uid and extra need user"
type RequestReviewSpec struct {
	// User whose request it is. Default: who creates the review, with their own
	// groups, uid and extra.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	User string `json:"user,omitempty"`

	// Groups the user is in. Default: none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10000
	Groups []string `json:"groups,omitempty"`

	// UID of the user. Default: none.
	// +optional
	UID string `json:"uid,omitempty"`

	// Extra is what the authenticator says of the user besides. Default: nothing.
	// +optional
	Extra map[string]authorizationv1.ExtraValue `json:"extra,omitempty"`

	// ResourceAttributes describe a request for a resource.
	// +optional
	ResourceAttributes *authorizationv1.ResourceAttributes `json:"resourceAttributes,omitempty"`

	// NonResourceAttributes describe a request for a path.
	// +optional
	NonResourceAttributes *authorizationv1.NonResourceAttributes `json:"nonResourceAttributes,omitempty"`

	// Object is the body of a create, and what an update or a patch would leave:
	// what admission is asked about. Default: none; a create or an update is then put
	// before the authorizers alone.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	Object *runtime.RawExtension `json:"object,omitempty"`

	// OldObject is what an update, a patch or a delete finds. Default: what is stored
	// under the name.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	OldObject *runtime.RawExtension `json:"oldObject,omitempty"`
}

// RequestReviewStatus is what the gates made of the request.
type RequestReviewStatus struct {
	// Allowed says that the request would pass.
	Allowed bool `json:"allowed"`

	// Denied says that a gate refuses the request; where neither is set, none
	// allows it, which refuses it as well.
	// +optional
	Denied bool `json:"denied,omitempty"`

	// Reason is that of the step which decided.
	// +optional
	Reason string `json:"reason,omitempty"`

	// Steps are what each part of each gate made of the request, in order. A gate
	// goes on after the first refusal, so that every obstacle is seen.
	// +optional
	// +listType=atomic
	Steps []TraceStep `json:"steps,omitempty"`
}
