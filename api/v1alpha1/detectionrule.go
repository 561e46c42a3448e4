package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// DetectionRule says which requests, of those that were made, somebody is told
// about: what is matched, what is counted, and the sentence that is written.
//
// A request is judged once, by the first of its audit events that has an answer:
// ResponseStarted for watches, exec and the like, ResponseComplete for the others.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=dr
// +kubebuilder:printcolumn:name="Severity",type=string,JSONPath=`.spec.severity`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Sighted",type=string,JSONPath=`.status.conditions[?(@.type=="Sighted")].status`
// +kubebuilder:printcolumn:name="Title",type=string,JSONPath=`.spec.title`
type DetectionRule struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec DetectionRuleSpec `json:"spec"`

	// Status is what the detection gate made of the rule.
	// +optional
	Status DetectionRuleStatus `json:"status,omitempty"`
}

// DetectionRuleList is a list of DetectionRules.
//
// +kubebuilder:object:root=true
type DetectionRuleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []DetectionRule `json:"items"`
}

// DetectionRuleSpec is what a rule looks for, and what it says.
//
// +kubebuilder:validation:XValidation:rule="[has(self.count), has(self.distinct), has(self.rate), has(self.firstSeen), has(self.sequence), has(self.absence)].filter(x, x).size() <= 1",message="set at most one of count, distinct, rate, firstSeen, sequence and absence"
type DetectionRuleSpec struct {
	// Title says in a few words what is noticed.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Title string `json:"title"`

	// Severity of a finding: info, low, medium, high or critical.
	Severity DetectionSeverity `json:"severity"`

	// Attack is where the rule stands in MITRE ATT&CK. Default: nowhere.
	// +optional
	Attack DetectionAttack `json:"attack,omitempty"`

	// Match are the requests the rule is asked about at all. Rules are found by it, so
	// that one costs nothing where it has no say. Default: every request.
	// +optional
	Match DetectionMatch `json:"match,omitempty"`

	// Condition is a CEL expression over the event of the request that must be true:
	// event has the fields of an Event of audit.k8s.io/v1. To these come the variables
	// user, actor (who was impersonated, or else user), address (the last of sourceIPs,
	// the only one a client cannot choose), ns (the namespace), who (user,
	// account, node or controller: what kind of user it is), object (what was written, of the
	// response where that is recorded), pod (the PodSpec in it, wherever it stands) and
	// containers (all kinds of them). What cannot be evaluated does not match, and is
	// counted. Default: true.
	// +optional
	// +kubebuilder:validation:MaxLength=10240
	Condition string `json:"condition,omitempty"`

	// Key are CEL expressions whose values tell one finding from another, and what is
	// counted from what else is. Default: user and ns.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Key []string `json:"key,omitempty"`

	// Count fires at so many requests within a window.
	// +optional
	Count *DetectionCount `json:"count,omitempty"`

	// Distinct fires at so many different values within a window.
	// +optional
	Distinct *DetectionDistinct `json:"distinct,omitempty"`

	// Rate fires at so much within a window, and at so many times what is usual.
	// +optional
	Rate *DetectionRate `json:"rate,omitempty"`

	// FirstSeen fires at a value that has not been seen before.
	// +optional
	FirstSeen *DetectionFirstSeen `json:"firstSeen,omitempty"`

	// Sequence fires where steps follow each other within a window.
	// +optional
	Sequence *DetectionSequence `json:"sequence,omitempty"`

	// Absence fires where a request does not come.
	// +optional
	Absence *DetectionAbsence `json:"absence,omitempty"`

	// Quiet is how long nothing must happen until a finding is over. Default: 1h.
	// +optional
	Quiet *metav1.Duration `json:"quiet,omitempty"`

	// Keys is how many keys are remembered; of more, those go that were not seen for
	// longest, and are counted. Default: 10000.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Keys int32 `json:"keys,omitempty"`

	// Message is the sentence of a finding. {{ }} around a CEL expression stands for its
	// value; beside the variables of the condition there are count, what was counted,
	// and values, up to five of them. Texts of an event were written by clients: whoever
	// shows a message escapes it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`

	// Runbook is the name of the page, or a URL, that says what to do. Default: the
	// name of the rule.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Runbook string `json:"runbook,omitempty"`

	// FalsePositives says when a finding means nothing bad, and what to do about it.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	FalsePositives string `json:"falsePositives,omitempty"`

	// Needs is what the audit policy must record. Default: what the expressions mention.
	// +optional
	Needs DetectionNeeds `json:"needs,omitempty"`

	// Examples hold the rule to what it is meant to do: it is refused where one does not
	// come out as it says.
	// +optional
	Examples DetectionExamples `json:"examples,omitempty"`
}

// DetectionSeverity is how bad a finding is.
//
// +kubebuilder:validation:Enum=info;low;medium;high;critical
type DetectionSeverity string

// Severities, from the mildest up.
const (
	SeverityInfo     DetectionSeverity = "info"
	SeverityLow      DetectionSeverity = "low"
	SeverityMedium   DetectionSeverity = "medium"
	SeverityHigh     DetectionSeverity = "high"
	SeverityCritical DetectionSeverity = "critical"
)

// DetectionAttack names tactics and techniques of MITRE ATT&CK.
type DetectionAttack struct {
	// Tactics by name without spaces, such as PrivilegeEscalation.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=14
	// +kubebuilder:validation:items:Pattern=`^(Reconnaissance|ResourceDevelopment|InitialAccess|Execution|Persistence|PrivilegeEscalation|DefenseEvasion|CredentialAccess|Discovery|LateralMovement|Collection|CommandAndControl|Exfiltration|Impact)$`
	Tactics []string `json:"tactics,omitempty"`

	// Techniques by number, such as T1552.007.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Pattern=`^T[0-9]{4}(\.[0-9]{3})?$`
	Techniques []string `json:"techniques,omitempty"`
}

// DetectionMatch selects requests: every field that is set must match.
type DetectionMatch struct {
	// Verbs of audit events; get for a WebSocket. Default: every verb.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Verbs []string `json:"verbs,omitempty"`

	// Resources are RESOURCE or RESOURCE.GROUP, either with /SUBRESOURCE: `pods` is the
	// resource without its subresources, `pods/exec` one of them, `pods/*` all of them,
	// `*` every resource, `*/scale` one subresource of each. A resource without a group
	// means every group. A `*` may begin or end a name. Default: every resource, and
	// what is none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Resources []string `json:"resources,omitempty"`

	// Paths of requests for no resource, such as /logs/*; a `*` may begin or end one.
	// Where resources is set too, either is enough. Default: none where resources is
	// set, else all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Paths []string `json:"paths,omitempty"`

	// Stages of audit events. Default: ResponseStarted, ResponseComplete and Panic.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:Enum=RequestReceived;ResponseStarted;ResponseComplete;Panic
	Stages []string `json:"stages,omitempty"`
}

// DetectionCount counts requests.
type DetectionCount struct {
	// AtLeast is how many make a finding.
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=10000
	AtLeast int32 `json:"atLeast"`

	// Window is the time within which they count.
	Window metav1.Duration `json:"window"`
}

// DetectionDistinct counts different values.
type DetectionDistinct struct {
	// Of is a CEL expression.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Of string `json:"of"`

	// AtLeast is how many make a finding.
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=10000
	AtLeast int32 `json:"atLeast"`

	// Window is the time within which they count.
	Window metav1.Duration `json:"window"`

	// Unseen has values count alone that the key has not had for so long before: what
	// somebody does every day is not told each day. Default: all count.
	// +optional
	Unseen *metav1.Duration `json:"unseen,omitempty"`
}

// DetectionRate adds up what requests weigh.
type DetectionRate struct {
	// Of is a CEL expression that gives a number: what one request weighs. Default: 1.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Of string `json:"of,omitempty"`

	// AtLeast is the sum within the window that makes a finding.
	// +kubebuilder:validation:Minimum=1
	AtLeast int64 `json:"atLeast"`

	// Window is the time within which is added up, to a thirtieth of it.
	Window metav1.Duration `json:"window"`

	// Over makes a finding depend on what is usual. Default: it does not.
	// +optional
	Over *DetectionBaseline `json:"over,omitempty"`
}

// DetectionBaseline is what is usual.
type DetectionBaseline struct {
	// Factor is how many times the average of a window of the time before makes a
	// finding.
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=1000000
	Factor int32 `json:"factor"`

	// Before is the time whose average is taken, to a twenty-fourth of it. What a key
	// was before it was first seen is nothing.
	Before metav1.Duration `json:"before"`
}

// DetectionFirstSeen remembers values.
type DetectionFirstSeen struct {
	// Of is a CEL expression.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Of string `json:"of"`

	// Learn is the time from when a key is first seen in which values are learned and
	// make no finding.
	Learn metav1.Duration `json:"learn"`

	// Forget is when a value is forgotten that does not come any more. Default: 720h.
	// +optional
	Forget *metav1.Duration `json:"forget,omitempty"`

	// Values is how many are remembered of a key. Default: 1000.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	Values int32 `json:"values,omitempty"`
}

// DetectionSequence is what follows what. The rule's match and condition count for
// every step.
type DetectionSequence struct {
	// Steps in the order of time. A request is one step at most of a finding.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=2
	// +kubebuilder:validation:MaxItems=8
	Steps []DetectionStep `json:"steps"`

	// Window is the time from the first to the last.
	Window metav1.Duration `json:"window"`
}

// DetectionStep is one step of a sequence, or what an absence waits after.
type DetectionStep struct {
	// Match are the requests that may be the step. Default: those of the rule.
	// +optional
	Match DetectionMatch `json:"match,omitempty"`

	// Condition that they must meet. Default: true.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Condition string `json:"condition,omitempty"`

	// Times is how many requests must come that are the step; all steps of a sequence
	// together at most 16. An absence waits after one. Default: 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=15
	Times int32 `json:"times,omitempty"`
}

// DetectionAbsence waits for a request of the rule.
type DetectionAbsence struct {
	// After is the request after which one is waited for. The rule's match and condition
	// do not count for it. Default: a request of the rule itself, so that it must come
	// again and again once it has come.
	// +optional
	After *DetectionStep `json:"after,omitempty"`

	// Window is how long is waited.
	Window metav1.Duration `json:"window"`
}

// DetectionNeeds is what must be recorded for a rule to fire.
type DetectionNeeds struct {
	// Level is the lowest audit level: Metadata, Request or RequestResponse. Requests
	// that are recorded below it are not judged.
	// +optional
	// +kubebuilder:validation:Enum=Metadata;Request;RequestResponse
	Level string `json:"level,omitempty"`

	// Fields of the event, such as user.groups.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	Fields []string `json:"fields,omitempty"`
}

// DetectionExamples are what a rule is tested with when it is loaded.
type DetectionExamples struct {
	// Positive make a finding.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Positive []DetectionExample `json:"positive,omitempty"`

	// Negative make none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Negative []DetectionExample `json:"negative,omitempty"`
}

// DetectionExample are events in the order in which they come.
type DetectionExample struct {
	// Says in a few words what happens.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Says string `json:"says,omitempty"`

	// Events that come.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Events []DetectionEvent `json:"events"`

	// Until is how long after the first event is waited for an absence. Default: until
	// the last event.
	// +optional
	Until *metav1.Duration `json:"until,omitempty"`
}

// DetectionEvent is an event of an example.
type DetectionEvent struct {
	// At is when it comes, from the beginning of the example. Default: with the event
	// before it.
	// +optional
	At *metav1.Duration `json:"at,omitempty"`

	// Repeat is how often it comes. {n} in any text of the event stands for 1, 2, 3 and
	// so on. Default: once.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Repeat int32 `json:"repeat,omitempty"`

	// Every is the time between two of them. Default: 1s.
	// +optional
	Every *metav1.Duration `json:"every,omitempty"`

	// Event is an Event of audit.k8s.io/v1. What it leaves out becomes: auditID and the
	// timestamps, something suitable; stage, ResponseComplete; level, the lowest that
	// has the bodies it has; responseStatus, 200; and the annotation
	// authorization.k8s.io/decision, allow, or forbid for 403.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	Event runtime.RawExtension `json:"event"`
}

// DetectionRuleStatus is what the detection gate made of a rule.
type DetectionRuleStatus struct {
	// Conditions: Accepted is True where the rule is in force; Sighted is True where
	// the audit policy records what it needs. Where one is False, its message says why.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ObservedGeneration is the generation the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// LastFired is when it last made a finding, to the minute.
	// +optional
	LastFired *metav1.Time `json:"lastFired,omitempty"`
}

// Of a DetectionRule's conditions.
const (
	DetectionAccepted = "Accepted" // a condition's type
	DetectionInForce  = "InForce"  // reason of True
	DetectionInvalid  = "Invalid"  // reason of False: it does not compile, or an example fails

	DetectionSighted = "Sighted" // a condition's type
	DetectionSees    = "Sees"    // reason of True
	DetectionPartly  = "Partly"  // reason of False: some of its requests are not recorded
	DetectionBlind   = "Blind"   // reason of False: none are, or without what it needs
)
