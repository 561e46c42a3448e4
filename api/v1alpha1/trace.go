package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TraceSource is what said something: an object of the cluster, or a place in a
// file. An object that was read from a file has both.
type TraceSource struct {
	// Kind of the object.
	// +optional
	Kind string `json:"kind,omitempty"`

	// Namespace of the object.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// Name of the object.
	// +optional
	Name string `json:"name,omitempty"`

	// Part of the object, such as rules[2].
	// +optional
	Part string `json:"part,omitempty"`

	// File it was read from.
	// +optional
	File string `json:"file,omitempty"`

	// Line in the file, from 1; 0 where it is not known.
	// +optional
	Line int32 `json:"line,omitempty"`
}

// TraceMiss is something that nearly allowed a request, and what it lacks.
type TraceMiss struct {
	// Sources are the binding, then the role and its rule.
	// +optional
	// +listType=atomic
	Sources []TraceSource `json:"sources,omitempty"`

	// Lacks is what the rule would have to have: "verb delete".
	Lacks string `json:"lacks"`
}

// TraceStep is what one part of one gate made of a request.
type TraceStep struct {
	// Gate is authentication, authorization or admission.
	Gate string `json:"gate"`

	// Part of the gate: RBAC, Node, Guard, the name of a webhook.
	Part string `json:"part"`

	// Opinion is allow, deny, no opinion, mutate or warn.
	// +kubebuilder:validation:Enum=allow;deny;no opinion;mutate;warn
	Opinion string `json:"opinion"`

	// Reason is one sentence.
	// +optional
	Reason string `json:"reason,omitempty"`

	// Sources said so, the most specific first.
	// +optional
	// +listType=atomic
	Sources []TraceSource `json:"sources,omitempty"`

	// Misses are the nearest ones to an allow, the nearest first.
	// +optional
	// +listType=atomic
	Misses []TraceMiss `json:"misses,omitempty"`

	// Patch is the RFC 6902 patch of a step that changed the object, in JSON.
	// +optional
	Patch string `json:"patch,omitempty"`

	// Took is how long the step took.
	// +optional
	Took metav1.Duration `json:"took,omitempty"`
}
