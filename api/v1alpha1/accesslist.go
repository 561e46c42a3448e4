package v1alpha1

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AccessList asks what a subject can do, cluster-wide and in each namespace. It
// is created like a SubjectAccessReview, answered at once and never stored.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.spec.user`
// +kubebuilder:printcolumn:name="Incomplete",type=boolean,JSONPath=`.status.incomplete`
type AccessList struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec AccessListSpec `json:"spec"`

	// Status is filled in by the server.
	// +optional
	Status AccessListStatus `json:"status,omitempty"`
}

// AccessListSpec names the subject: a user, groups, both, or a service account.
// Default: who creates the list.
//
// +kubebuilder:validation:XValidation:rule="!has(self.serviceAccount) || !(has(self.user) || has(self.groups))",message="set serviceAccount, or user and groups"
type AccessListSpec struct {
	// User by the name the server knows them by.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	User string `json:"user,omitempty"`

	// Groups the subject is in. Default: none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10000
	Groups []string `json:"groups,omitempty"`

	// ServiceAccount of the cluster; the groups every one is in are added.
	// +optional
	ServiceAccount *AccessServiceAccount `json:"serviceAccount,omitempty"`

	// Namespace limits the answer to this one and what holds cluster-wide.
	// Default: every namespace.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
}

// AccessServiceAccount names a service account.
type AccessServiceAccount struct {
	// Namespace of the service account.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`

	// Name of the service account.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// AccessListStatus is what the subject can do.
type AccessListStatus struct {
	// Cluster are the rules that hold in every namespace and outside of them.
	// +optional
	// +listType=atomic
	Cluster []AccessRule `json:"cluster,omitempty"`

	// Namespaces are the rules that hold in one namespace each.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	Namespaces []NamespaceAccess `json:"namespaces,omitempty"`

	// Incomplete says that the subject may be able to do more, for the reasons in
	// errors.
	// +optional
	Incomplete bool `json:"incomplete,omitempty"`

	// Errors are what could not be evaluated: a role that does not exist, an
	// authorizer that cannot be asked this question.
	// +optional
	// +listType=atomic
	Errors []string `json:"errors,omitempty"`
}

// NamespaceAccess is what a subject can do in one namespace, besides what it can
// do cluster-wide.
type NamespaceAccess struct {
	// Namespace the rules hold in.
	Namespace string `json:"namespace"`

	// Rules that hold in it.
	// +optional
	// +listType=atomic
	Rules []AccessRule `json:"rules,omitempty"`
}

// AccessRule is one rule, and what grants it.
type AccessRule struct {
	rbacv1.PolicyRule `json:",inline"`

	// Sources are the binding, then the role with the rule as its part.
	// +optional
	// +listType=atomic
	Sources []TraceSource `json:"sources,omitempty"`

	// ExpiresAt is when the grant ends. Default: never.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
}
