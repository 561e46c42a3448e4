package v1alpha1

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SubjectsReview asks who can do something, and through which binding and role.
// It is created like a SubjectAccessReview, answered at once and never stored.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="Verb",type=string,JSONPath=`.spec.verb`
// +kubebuilder:printcolumn:name="Resource",type=string,JSONPath=`.spec.resource`
// +kubebuilder:printcolumn:name="Incomplete",type=boolean,JSONPath=`.status.incomplete`
type SubjectsReview struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec SubjectsReviewSpec `json:"spec"`

	// Status is filled in by the server.
	// +optional
	Status SubjectsReviewStatus `json:"status,omitempty"`
}

// SubjectsReviewSpec is the action. Exactly one of resource and nonResourceURL is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.resource) != has(self.nonResourceURL)",message="set exactly one of resource and nonResourceURL"
// +kubebuilder:validation:XValidation:rule="!has(self.nonResourceURL) || !(has(self.group) || has(self.subresource) || has(self.name) || has(self.namespace))",message="group, subresource, name and namespace need resource"
type SubjectsReviewSpec struct {
	// Verb of the action: get, list, create and the like; for nonResourceURL the
	// HTTP method in small letters.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Verb string `json:"verb"`

	// Group of the API. Default: the core group.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`

	// Resource in the plural, such as pods.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Resource string `json:"resource,omitempty"`

	// Subresource such as log. Default: the resource itself.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Subresource string `json:"subresource,omitempty"`

	// Name of the object. Default: every object, which a rule limited to names
	// does not grant.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// Namespace of the object. Default: all namespaces, or none for a resource
	// that is in no namespace.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// NonResourceURL is a path such as /metrics.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	NonResourceURL string `json:"nonResourceURL,omitempty"`

	// Limit is the most subjects in one answer.
	// +optional
	// +kubebuilder:default=500
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=5000
	Limit int32 `json:"limit,omitempty"`

	// Continue is status.continue of the answer before. Default: from the start.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Continue string `json:"continue,omitempty"`
}

// SubjectsReviewStatus is who can. A subject stands in it once for each binding
// and rule that lets it.
type SubjectsReviewStatus struct {
	// Subjects who can.
	// +optional
	// +listType=atomic
	Subjects []SubjectAccess `json:"subjects,omitempty"`

	// Continue asks for the next subjects; empty where these are the last.
	// +optional
	Continue string `json:"continue,omitempty"`

	// Incomplete says that there may be subjects the answer does not have, for the
	// reasons in errors.
	// +optional
	Incomplete bool `json:"incomplete,omitempty"`

	// Errors are what could not be evaluated: a role that does not exist, an
	// authorizer that cannot be asked this question.
	// +optional
	// +listType=atomic
	Errors []string `json:"errors,omitempty"`
}

// SubjectAccess is one subject, and one way in which it can.
type SubjectAccess struct {
	// Kind is User, Group or ServiceAccount.
	// +kubebuilder:validation:Enum=User;Group;ServiceAccount
	Kind string `json:"kind"`

	// Namespace of a service account.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// Name of the subject.
	Name string `json:"name"`

	// Binding that binds the subject.
	Binding TraceSource `json:"binding"`

	// Role whose rule allows, with the rule as its part: rules[2].
	Role TraceSource `json:"role"`

	// Rule that allows.
	Rule rbacv1.PolicyRule `json:"rule"`

	// Wildcard says that the rule names the verb, group, resource or path by "*".
	// +optional
	Wildcard bool `json:"wildcard,omitempty"`

	// ViaGroup says that the subject stands for people who are not named: a group.
	// +optional
	ViaGroup bool `json:"viaGroup,omitempty"`

	// ExpiresAt is when the binding ends. Default: never.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
}
