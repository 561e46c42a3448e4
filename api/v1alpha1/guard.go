package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Guard refuses requests, whatever any role grants: whom it binds, what they
// may not do, and when. A deny wins over every allow, reads are covered, and the
// reason is shown to who is refused.
//
// A Guard touches a request where every field that is set matches; a field that
// is not set matches everything. A request that asks for many things at once (a
// list across all namespaces, a verb "*" in an access review) is touched where
// any part of it is guarded.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=gd
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Guard struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec GuardSpec `json:"spec"`

	// Status is what the authorization gate made of the Guard.
	// +optional
	Status GuardStatus `json:"status,omitempty"`
}

// GuardList is a list of Guards.
//
// +kubebuilder:object:root=true
type GuardList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Guard `json:"items"`
}

// GuardSpec says whom a Guard binds, what it refuses, and when.
//
// +kubebuilder:validation:XValidation:rule="has(self.apiGroups) || has(self.resources) || has(self.exceptResources) || has(self.names) || has(self.namespaces) || has(self.namespaceSelector) || has(self.nonResourceURLs)",message="say what is refused: set resources, nonResourceURLs, apiGroups, names, namespaces or namespaceSelector"
type GuardSpec struct {
	// Subjects are whom the Guard binds.
	//
	// +kubebuilder:validation:XValidation:rule="(has(self.all) && self.all) || (has(self.users) && self.users.size() > 0) || (has(self.groups) && self.groups.size() > 0) || (has(self.serviceAccounts) && self.serviceAccounts.size() > 0)",message="name at least one user, group or service account, or set all"
	Subjects GuardSubjects `json:"subjects"`

	// Except are whom the Guard does not bind although subjects names them: the
	// accounts for emergencies. One match is enough. Default: nobody.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.all) || !self.all",message="a Guard that excepts everybody binds nobody"
	Except *GuardSubjects `json:"except,omitempty"`

	// Verbs that are refused: get, list, watch, create, update, patch, delete,
	// deletecollection, impersonate and the like; for nonResourceURLs the HTTP
	// method in small letters. Default: every verb, as "*" says too.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Verbs []string `json:"verbs,omitempty"`

	// ExceptVerbs are not refused although verbs covers them: [get, list, watch]
	// makes a Guard that freezes, and lets people look. Default: none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^([^*]|..+)$`
	ExceptVerbs []string `json:"exceptVerbs,omitempty"`

	// APIGroups of the resources; "" is the core group. Default: every group, as
	// "*" says too.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	APIGroups []string `json:"apiGroups,omitempty"`

	// Resources that are refused, in the plural: `pods` is the resource without
	// its subresources, `pods/exec` one subresource, `pods/*` all subresources,
	// `*/scale` one subresource of every resource, `*` everything. Default: every
	// resource and subresource where the Guard is about resources at all, that is,
	// where nonResourceURLs is not the only one set of apiGroups, resources,
	// exceptResources, names, namespaces, namespaceSelector and nonResourceURLs.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^(\*|[^/*]+)(/(\*|[^/*]+))?$`
	Resources []string `json:"resources,omitempty"`

	// ExceptResources are not refused although resources covers them, written as
	// in resources. "Nothing but Secrets" is `exceptResources: [secrets]`.
	// Default: none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^([^/*]+|(\*|[^/*]+)/(\*|[^/*]+))$`
	ExceptResources []string `json:"exceptResources,omitempty"`

	// Names of objects; `*` in a name stands for any characters, `prod-*` for a
	// prefix. A request without a name (list, watch, deletecollection, create)
	// asks for every name and is refused too: leave its verb out where it shall
	// pass. Default: every name.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Names []string `json:"names,omitempty"`

	// Namespaces of the objects; `*` in a name stands for any characters. A
	// Namespace object counts as being in the namespace it is. A list or watch
	// across all namespaces reads guarded ones too and is refused; a request for a
	// resource that is in no namespace is not. Default: every namespace, and what
	// is in none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Namespaces []string `json:"namespaces,omitempty"`

	// NamespaceSelector limits the Guard to namespaces by their labels; where
	// namespaces is set, both must match. A namespace whose labels are not known
	// matches. Default: no limit.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// NonResourceURLs are paths that are refused, such as `/metrics`; `*` stands
	// for any characters. Default: none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^(\*|/.*)$`
	NonResourceURLs []string `json:"nonResourceURLs,omitempty"`

	// Windows are the times at which the Guard refuses; one that is open is
	// enough. Default: always.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Windows []GuardWindow `json:"windows,omitempty"`

	// Condition is a CEL expression that must be true, over `request`, the
	// SubjectAccessReviewSpec of the request: request.user, .groups, .uid, .extra,
	// .resourceAttributes (.namespace, .verb, .group, .version, .resource,
	// .subresource, .name, .fieldSelector, .labelSelector) and
	// .nonResourceAttributes (.path, .verb), as in upstream's
	// AuthorizationConfiguration. A condition that fails, or costs too much, counts
	// as true. Default: no condition.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=10240
	Condition string `json:"condition,omitempty"`

	// Mode is enforce, which refuses, or audit, which lets pass and writes the
	// annotation gatehouse.io/guard-audit into the audit event.
	// +optional
	// +kubebuilder:default=enforce
	// +kubebuilder:validation:Enum=enforce;audit
	Mode GuardMode `json:"mode,omitempty"`

	// Reason is shown to who is refused, and stands in the audit event.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`
}

// GuardMode is what a Guard does to a request it touches.
type GuardMode string

const (
	GuardEnforce GuardMode = "enforce"
	GuardAudit   GuardMode = "audit"
)

// GuardSubjects names users, groups and service accounts. Names are compared
// exactly.
type GuardSubjects struct {
	// All means everybody, anonymous requests included. Default: false.
	// +optional
	All bool `json:"all,omitempty"`

	// Users by the names the server knows them by, prefix included.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=10000
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^([^*]|..+)$`
	Users []string `json:"users,omitempty"`

	// Groups by the names the server knows them by. Everybody who has shown a
	// credential is in `system:authenticated`.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=10000
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^([^*]|..+)$`
	Groups []string `json:"groups,omitempty"`

	// ServiceAccounts of the cluster.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10000
	ServiceAccounts []GuardServiceAccount `json:"serviceAccounts,omitempty"`
}

// GuardServiceAccount names a service account, or all of a namespace.
type GuardServiceAccount struct {
	// Namespace of the service account.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[^*]*$`
	Namespace string `json:"namespace"`

	// Name of the service account; `*` is every account of the namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^(\*|[^*]+)$`
	Name string `json:"name"`
}

// GuardWindow is a time at which a Guard refuses: every field that is set must
// hold. A time of day is read from the clock on the wall of the time zone, so on
// a day on which clocks change a window is an hour longer or shorter.
//
// +kubebuilder:validation:XValidation:rule="has(self.days) || has(self.start) || has(self.end) || has(self.notBefore) || has(self.notAfter)",message="set at least one of days, start, end, notBefore and notAfter"
// +kubebuilder:validation:XValidation:rule="(has(self.start) ? self.start : '00:00') != (has(self.end) ? self.end : '24:00')",message="start and end are the same; leave both out for the whole day"
// +kubebuilder:validation:XValidation:rule="!has(self.notBefore) || !has(self.notAfter) || self.notBefore < self.notAfter",message="notAfter must lie after notBefore"
type GuardWindow struct {
	// Days of the week on which the window opens. Default: every day.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=7
	Days []GuardDay `json:"days,omitempty"`

	// Start is the time of day, HH:MM, at which the window opens. Default: 00:00.
	// +optional
	// +kubebuilder:validation:MaxLength=5
	// +kubebuilder:validation:Pattern=`^([01][0-9]|2[0-3]):[0-5][0-9]$`
	Start string `json:"start,omitempty"`

	// End is the time of day, HH:MM, at which the window closes; that minute is no
	// longer in it. Where it lies before start, the window closes on the next day.
	// Default: 24:00.
	// +optional
	// +kubebuilder:validation:MaxLength=5
	// +kubebuilder:validation:Pattern=`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`
	End string `json:"end,omitempty"`

	// TimeZone of days, start and end: a name of the IANA database such as
	// Europe/Berlin. Default: UTC.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_+/-]*$`
	TimeZone string `json:"timeZone,omitempty"`

	// NotBefore is the instant from which the window may be open. Default: no limit.
	// +optional
	NotBefore *metav1.Time `json:"notBefore,omitempty"`

	// NotAfter is the instant from which the window is closed for good. Default:
	// no limit.
	// +optional
	NotAfter *metav1.Time `json:"notAfter,omitempty"`
}

// GuardDay is a day of the week.
//
// +kubebuilder:validation:Enum=Monday;Tuesday;Wednesday;Thursday;Friday;Saturday;Sunday
type GuardDay string

// GuardStatus is what the authorization gate made of a Guard.
type GuardStatus struct {
	// Conditions: Accepted is True where the Guard is in force as it is written.
	// Where it is False, its message says why.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ObservedGeneration is the generation the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// Of a Guard's condition Accepted.
const (
	GuardAccepted = "Accepted" // the condition's type

	GuardInForce = "InForce" // reason of True
	GuardInvalid = "Invalid" // reason of False: a field does not compile
	GuardLockOut = "LockOut" // reason of False: nobody could delete Guards any more
)
