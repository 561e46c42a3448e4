package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Exception lets named objects or people break named policies, of whatever
// language, until it expires. It says why, and whose it is.
//
// It is used where one of its policies refuses, warns or reports something, and
// every field of match and subjects that is set matches. What was let through is a
// step of the trace that names the Exception.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=exc
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.spec.owner`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.spec.expiresAt`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Used",type=string,JSONPath=`.status.lastUsed`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
type Exception struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ExceptionSpec `json:"spec"`

	// Status is what the policy gate made of the Exception.
	// +optional
	Status ExceptionStatus `json:"status,omitempty"`
}

// ExceptionList is a list of Exceptions.
//
// +kubebuilder:object:root=true
type ExceptionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Exception `json:"items"`
}

// ExceptionSpec says from what, for which objects and whom, why, and until when.
//
// +kubebuilder:validation:XValidation:rule="has(self.match) || has(self.subjects)",message="say for what or for whom it is: set match or subjects; for everything, switch the policy off"
type ExceptionSpec struct {
	// Policies that may be broken.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Policies []ExceptedPolicy `json:"policies"`

	// Match are the objects. Default: all.
	// +optional
	Match *ExceptionMatch `json:"match,omitempty"`

	// Subjects are the people and service accounts who may ask. Default: everybody.
	// An object that exists already is judged for nobody in particular, and an
	// Exception with subjects does not count for it.
	// +optional
	// +kubebuilder:validation:XValidation:rule="(has(self.users) && self.users.size() > 0) || (has(self.groups) && self.groups.size() > 0) || (has(self.serviceAccounts) && self.serviceAccounts.size() > 0)",message="name at least one user, group or service account"
	Subjects *GuardSubjects `json:"subjects,omitempty"`

	// Reason says why, in a sentence.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`

	// Owner is who answers for it: a person, a team, a ticket.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Owner string `json:"owner"`

	// ExpiresAt is when it ends. From then on it counts for nothing, and is a finding.
	ExpiresAt metav1.Time `json:"expiresAt"`
}

// ExceptedPolicy names policies by the object that states them.
type ExceptedPolicy struct {
	// Kind is that of the object: ValidatingAdmissionPolicy, K8sRequiredLabels (the
	// kind of a Gatekeeper constraint), BuiltinPolicies. Default: every kind.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Kind string `json:"kind,omitempty"`

	// Name of the object; for BuiltinPolicies the name of the policy in it, such as
	// DisallowHostNetwork. Each `*` stands for any characters.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// ExceptionMatch selects objects. A field that is not set matches everything. In
// namespaces, names and images each `*` stands for any characters; nothing else is
// special, and there is no star that is not written.
//
// +kubebuilder:validation:MinProperties=1
type ExceptionMatch struct {
	// Kinds of the objects: Pod, Deployment.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Kinds []string `json:"kinds,omitempty"`

	// Namespaces the objects are in. What is in none does not match.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Namespaces []string `json:"namespaces,omitempty"`

	// NamespaceSelector selects by the labels of the namespace. What is in none does
	// not match.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// Names of the objects. An object that is to get its name from generateName has
	// that as its name here.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Names []string `json:"names,omitempty"`

	// Selector selects by the labels of the object.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// Images are references as containers have them. What a policy says of other
	// images, or of the object as a whole, stands, unless every image of the object
	// is among these.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Images []string `json:"images,omitempty"`
}

// ExceptionStatus is what the policy gate made of an Exception.
type ExceptionStatus struct {
	// Conditions: Accepted is True where the Exception counts. Where it is False, its
	// message says why.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ObservedGeneration is the generation the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// LastUsed is when something was last let through, to the minute.
	// +optional
	LastUsed *metav1.Time `json:"lastUsed,omitempty"`
}

// Of an Exception's condition Accepted.
const (
	ExceptionAccepted = "Accepted" // the condition's type

	ExceptionInForce = "InForce" // reason of True
	ExceptionInvalid = "Invalid" // reason of False: a field does not compile
	ExceptionExpired = "Expired" // reason of False: expiresAt is over
)
