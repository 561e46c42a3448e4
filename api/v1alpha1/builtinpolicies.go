package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BuiltinPolicies switches on policies that Gatehouse brings along: which, whether
// each refuses, warns or reports, and what is exempt. Nothing is on that no
// BuiltinPolicies names.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=builtinpolicies,singular=builtinpolicies,scope=Cluster,shortName=bip
// +kubebuilder:printcolumn:name="Policies",type=integer,JSONPath=`.status.policies`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Accepted")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BuiltinPolicies struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec BuiltinPoliciesSpec `json:"spec"`

	// Status is what the policy gate made of it.
	// +optional
	Status BuiltinPoliciesStatus `json:"status,omitempty"`
}

// BuiltinPoliciesList is a list of BuiltinPolicies.
//
// +kubebuilder:object:root=true
type BuiltinPoliciesList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []BuiltinPolicies `json:"items"`
}

// BuiltinPoliciesSpec says which policies are on, and what is exempt from them.
//
// +kubebuilder:validation:XValidation:rule="(has(self.sets) && self.sets.size() > 0) || (has(self.policies) && self.policies.size() > 0)",message="nothing is switched on: name policies or sets"
type BuiltinPoliciesSpec struct {
	// Sets switch on many policies at once. A policy that is listed under policies
	// too is as it is there. Default: none.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Sets []BuiltinSet `json:"sets,omitempty"`

	// Policies that are on. Default: those of sets.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Policies []BuiltinPolicy `json:"policies,omitempty"`

	// Exemptions from the policies of this object; one that matches is enough.
	// Unlike an Exception, one has no owner and no end. Default: none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Exemptions []BuiltinExemption `json:"exemptions,omitempty"`
}

// BuiltinAction is what becomes of a request that breaks a policy. A policy that
// changes objects does so where it is Enforce, and otherwise says what it would
// change.
//
// +kubebuilder:validation:Enum=Enforce;Warn;Report;Disabled
type BuiltinAction string

const (
	BuiltinEnforce  BuiltinAction = "Enforce"  // refuse it, or mend the object
	BuiltinWarn     BuiltinAction = "Warn"     // let it pass, and tell the client
	BuiltinReport   BuiltinAction = "Report"   // let it pass, and write it into the audit event
	BuiltinDisabled BuiltinAction = "Disabled" // do not look: takes a policy out of a set
)

// BuiltinSet is a set of policies, all with one action.
type BuiltinSet struct {
	// Name of the set. All is every policy that can do without parameters; Pods,
	// Network, Access and Secrets are the parts of All.
	// +kubebuilder:validation:Enum=All;Pods;Network;Access;Secrets
	Name string `json:"name"`

	// Action of its policies.
	// +optional
	// +kubebuilder:default=Enforce
	Action BuiltinAction `json:"action,omitempty"`
}

// BuiltinPolicy is one policy that is on, with what it can be told. Parameters
// carry the name of the policy they are for.
//
// +kubebuilder:validation:XValidation:rule="self.name == 'TrustedRepositories' ? has(self.trustedRepositories) : !has(self.trustedRepositories)",message="trustedRepositories belongs to TrustedRepositories, which cannot do without it"
// +kubebuilder:validation:XValidation:rule="self.name == 'ImagePullPolicy' ? has(self.imagePullPolicy) : !has(self.imagePullPolicy)",message="imagePullPolicy belongs to ImagePullPolicy, which cannot do without it"
// +kubebuilder:validation:XValidation:rule="self.name == 'IngressClassExemption' ? has(self.ingressClassExemption) : !has(self.ingressClassExemption)",message="ingressClassExemption belongs to IngressClassExemption, which cannot do without it"
// +kubebuilder:validation:XValidation:rule="self.name == 'EmptyDirSizeLimit' || !has(self.emptyDirSizeLimit)",message="emptyDirSizeLimit belongs to EmptyDirSizeLimit"
// +kubebuilder:validation:XValidation:rule="self.name == 'DefaultSeccomp' || !has(self.defaultSeccomp)",message="defaultSeccomp belongs to DefaultSeccomp"
// +kubebuilder:validation:XValidation:rule="self.name == 'LoadBalancerExemption' || !has(self.loadBalancerExemption)",message="loadBalancerExemption belongs to LoadBalancerExemption"
// +kubebuilder:validation:XValidation:rule="self.name == 'VirtualServiceGateway' || !has(self.virtualServiceGateway)",message="virtualServiceGateway belongs to VirtualServiceGateway"
// +kubebuilder:validation:XValidation:rule="self.name == 'DisallowPlaintextSecrets' || !has(self.disallowPlaintextSecrets)",message="disallowPlaintextSecrets belongs to DisallowPlaintextSecrets"
type BuiltinPolicy struct {
	// Name of the policy; `gatehouse policy list --builtin` shows them all.
	// +kubebuilder:validation:Enum=DisallowPodExec;DisallowHostPath;DisallowContainerSockets;RequireNonRoot;EmptyDirSizeLimit;RequireImageDigest;DisallowTiller;TrustedRepositories;DisallowHostNetwork;DisallowPrivileged;DisallowAddedCapabilities;DisallowHostPID;DisallowHostIPC;DisallowShareProcessNamespace;SafeToEvict;MutateSafeToEvict;DefaultSeccomp;ImagePullPolicy;DisallowUnconfinedAppArmor;IngressClassExemption;UniqueIngressHost;DisallowNginxSnippets;LoadBalancerExemption;DisallowExternalIPs;VirtualServiceGateway;DisallowAnonymousClusterRoleBinding;DisallowAnonymousRoleBinding;DisallowHostPathPersistentVolume;InvalidPodDisruptionBudget;ProtectCRD;DisallowPlaintextSecrets
	Name string `json:"name"`

	// Action of the policy.
	// +optional
	// +kubebuilder:default=Enforce
	Action BuiltinAction `json:"action,omitempty"`

	// TrustedRepositories are the parameters of the policy of that name.
	// +optional
	TrustedRepositories *TrustedRepositories `json:"trustedRepositories,omitempty"`

	// EmptyDirSizeLimit are the parameters of the policy of that name.
	// +optional
	EmptyDirSizeLimit *EmptyDirSizeLimit `json:"emptyDirSizeLimit,omitempty"`

	// DefaultSeccomp are the parameters of the policy of that name.
	// +optional
	DefaultSeccomp *DefaultSeccomp `json:"defaultSeccomp,omitempty"`

	// ImagePullPolicy are the parameters of the policy of that name.
	// +optional
	ImagePullPolicy *ImagePullPolicy `json:"imagePullPolicy,omitempty"`

	// IngressClassExemption are the parameters of the policy of that name.
	// +optional
	IngressClassExemption *IngressClassExemption `json:"ingressClassExemption,omitempty"`

	// LoadBalancerExemption are the parameters of the policy of that name.
	// +optional
	LoadBalancerExemption *LoadBalancerExemption `json:"loadBalancerExemption,omitempty"`

	// VirtualServiceGateway are the parameters of the policy of that name.
	// +optional
	VirtualServiceGateway *VirtualServiceGateway `json:"virtualServiceGateway,omitempty"`

	// DisallowPlaintextSecrets are the parameters of the policy of that name.
	// +optional
	DisallowPlaintextSecrets *DisallowPlaintextSecrets `json:"disallowPlaintextSecrets,omitempty"`
}

// TrustedRepositories says where images may come from. An image passes where one
// of images or of expressions matches.
//
// +kubebuilder:validation:XValidation:rule="(has(self.images) && self.images.size() > 0) || (has(self.expressions) && self.expressions.size() > 0)",message="name images or expressions"
type TrustedRepositories struct {
	// Images are references in full, with registry and path: `docker.io/library/*`
	// is where `nginx` comes from. Each `*` stands for any characters, `/` included.
	// Tag and digest are part of the reference: end with a star for all of them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Images []string `json:"images,omitempty"`

	// Expressions are regular expressions in RE2's syntax. Each must match the
	// whole reference in full, as images.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Expressions []string `json:"expressions,omitempty"`
}

// EmptyDirSizeLimit says how large emptyDir volumes may be. A default that is
// greater than the maximum is not accepted.
type EmptyDirSizeLimit struct {
	// Default is the sizeLimit given to volumes that have none. Default: 512Mi.
	// +optional
	Default *resource.Quantity `json:"default,omitempty"`

	// Maximum is the greatest sizeLimit allowed. Default: 1Gi.
	// +optional
	Maximum *resource.Quantity `json:"maximum,omitempty"`
}

// DefaultSeccomp says which seccomp profile pods get that name none.
//
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'Localhost') == has(self.localhostProfile)",message="localhostProfile belongs to the type Localhost, which cannot do without it"
type DefaultSeccomp struct {
	// Type of the profile.
	// +optional
	// +kubebuilder:default=RuntimeDefault
	// +kubebuilder:validation:Enum=RuntimeDefault;Localhost
	Type string `json:"type,omitempty"`

	// LocalhostProfile is a file on the node, below the kubelet's seccomp directory.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	LocalhostProfile string `json:"localhostProfile,omitempty"`
}

// ImagePullPolicy says how images are pulled: the first rule that matches an image
// sets its imagePullPolicy.
type ImagePullPolicy struct {
	// Rules, the first that matches counts.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Rules []ImagePullRule `json:"rules"`
}

// ImagePullRule sets the policy of some images.
type ImagePullRule struct {
	// TrustedRepositories select images as the policy TrustedRepositories does.
	TrustedRepositories `json:",inline"`

	// PullPolicy they get.
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	PullPolicy string `json:"pullPolicy"`
}

// IngressClassExemption says which classes an Ingress may have by an exemption
// alone.
type IngressClassExemption struct {
	// Classes of ingress, as spec.ingressClassName or the annotation
	// kubernetes.io/ingress.class names them. Each `*` stands for any characters.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Classes []string `json:"classes"`
}

// LoadBalancerExemption says which Services of type LoadBalancer pass: those for
// which every rule of annotations holds. Without rules none does.
type LoadBalancerExemption struct {
	// Annotations that a Service must have.
	// +optional
	// +listType=map
	// +listMapKey=annotation
	// +kubebuilder:validation:MaxItems=64
	Annotations []AnnotationRule `json:"annotations,omitempty"`
}

// AnnotationRule says which values an annotation may have.
type AnnotationRule struct {
	// Annotation is its key: networking.gke.io/load-balancer-type.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Annotation string `json:"annotation"`

	// Values that are allowed. Each `*` stands for any characters.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=1024
	Values []string `json:"values"`

	// AllowMissing lets Services pass that do not have the annotation.
	// +optional
	AllowMissing bool `json:"allowMissing,omitempty"`
}

// VirtualServiceGateway says which gateways Istio's VirtualServices may name.
type VirtualServiceGateway struct {
	// Gateways as spec.gateways names them. Each `*` stands for any characters.
	// Default: none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	Gateways []string `json:"gateways,omitempty"`

	// AllowEmpty lets VirtualServices pass that name no gateway: the sidecars of the
	// mesh. Default: false.
	// +optional
	AllowEmpty bool `json:"allowEmpty,omitempty"`
}

// DisallowPlaintextSecrets says what the search for credentials leaves out.
type DisallowPlaintextSecrets struct {
	// IgnoreKeys are keys of ConfigMaps, names of environment variables and keys of
	// annotations that are not searched. Each `*` stands for any characters.
	// Default: none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=317
	IgnoreKeys []string `json:"ignoreKeys,omitempty"`

	// KnownFormsOnly searches for credentials of a known form alone, and leaves out
	// long random values under names such as password. Default: false.
	// +optional
	KnownFormsOnly bool `json:"knownFormsOnly,omitempty"`
}

// BuiltinExemption takes requests out of policies. Every field that is set must
// match; one that is not set matches everything. In every field each `*` stands for
// any characters; nothing else is special, and there is no star that is not written.
//
// +kubebuilder:validation:XValidation:rule="has(self.clusters) || has(self.namespaces) || has(self.names) || has(self.users) || has(self.groups)",message="say what is exempt: set clusters, namespaces, names, users or groups; to switch a policy off, leave it out"
type BuiltinExemption struct {
	// Policies by name. Default: every policy of this object.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Policies []string `json:"policies,omitempty"`

	// Clusters by the name that the server is told for its own
	// (admission.clusterName). Default: every cluster.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Clusters []string `json:"clusters,omitempty"`

	// Namespaces of the objects. What is in none does not match. Default: every
	// namespace, and what is in none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Namespaces []string `json:"namespaces,omitempty"`

	// Names of the objects. An object that is to get its name from generateName has
	// that as its name here. Default: every name.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Names []string `json:"names,omitempty"`

	// Users who ask. An object that exists already is judged for nobody in
	// particular, and an exemption with users or groups does not count for it.
	// Default: everybody.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Users []string `json:"users,omitempty"`

	// Groups of who asks; one that matches is enough. Default: everybody, those in
	// no group included.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Groups []string `json:"groups,omitempty"`
}

// BuiltinPoliciesStatus is what the policy gate made of a BuiltinPolicies.
type BuiltinPoliciesStatus struct {
	// Conditions: Accepted is True where the object is in force as it is written.
	// Where it is False, its message says why.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ObservedGeneration is the generation the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Policies is how many of them are on.
	// +optional
	Policies int32 `json:"policies,omitempty"`
}

// Of a BuiltinPolicies' condition Accepted.
const (
	BuiltinAccepted = "Accepted" // the condition's type

	BuiltinInForce = "InForce" // reason of True
	BuiltinInvalid = "Invalid" // reason of False: a field does not compile; what was in force stays
)
