package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Mute keeps findings of detection rules from being told to anybody until it
// expires. They are made and counted all the same. It says why, and whose it is; one
// that has expired is a finding itself.
//
// A finding is muted where every field of match that is set matches it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.spec.owner`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.spec.expiresAt`
// +kubebuilder:printcolumn:name="Muted",type=integer,JSONPath=`.status.muted`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
type Mute struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec MuteSpec `json:"spec"`

	// Status is what the detection gate made of the Mute.
	// +optional
	Status MuteStatus `json:"status,omitempty"`
}

// MuteList is a list of Mutes.
//
// +kubebuilder:object:root=true
type MuteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Mute `json:"items"`
}

// MuteSpec says which findings, why, and until when.
type MuteSpec struct {
	// Match are the findings.
	Match MuteMatch `json:"match"`

	// Reason says why, in a sentence.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`

	// Owner is who answers for it: a person, a team, a ticket.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Owner string `json:"owner"`

	// ExpiresAt is when it ends. From then on it mutes nothing, and is a finding.
	ExpiresAt metav1.Time `json:"expiresAt"`
}

// MuteMatch selects findings. In rules, users and namespaces each `*` stands for any
// characters.
//
// +kubebuilder:validation:MinProperties=1
type MuteMatch struct {
	// Rules by name.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Rules []string `json:"rules,omitempty"`

	// Fingerprints of findings.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:Pattern=`^[0-9a-f]{16}$`
	Fingerprints []string `json:"fingerprints,omitempty"`

	// Users who made the requests.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Users []string `json:"users,omitempty"`

	// Namespaces the requests were for. What is for none does not match.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Namespaces []string `json:"namespaces,omitempty"`
}

// MuteStatus is what the detection gate made of a Mute.
type MuteStatus struct {
	// Conditions: Accepted is True where the Mute counts. Where it is False, its
	// message says why.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ObservedGeneration is the generation the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Muted is how many findings it kept quiet.
	// +optional
	Muted int64 `json:"muted,omitempty"`

	// LastUsed is when it last did, to the minute.
	// +optional
	LastUsed *metav1.Time `json:"lastUsed,omitempty"`
}

// Of a Mute's condition Accepted.
const (
	MuteAccepted = "Accepted" // the condition's type

	MuteInForce = "InForce" // reason of True
	MuteInvalid = "Invalid" // reason of False: a field does not compile
	MuteExpired = "Expired" // reason of False: expiresAt is over
)
