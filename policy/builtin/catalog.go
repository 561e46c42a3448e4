package builtin

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/policy"
)

// Info is what there is to know of a policy before it is switched on.
type Info struct {
	Name string
	// Set is the one it is of, besides All.
	Set string
	// KRail is the key of K-Rail's policy that it stands for; empty for none.
	KRail string
	// About is one sentence.
	About string
	// Mutates says that it changes objects where it is enforced.
	Mutates bool
	// NeedsParameters says that it cannot do without, and is in no set.
	NeedsParameters bool
}

// The sets a policy can be of.
const (
	setAll     = "All"
	setPods    = "Pods"
	setNetwork = "Network"
	setAccess  = "Access"
	setSecrets = "Secrets"
)

// entry is a policy and how it is made. Which functions it has says what it does: a
// pod or other object is checked, an object is changed.
type entry struct {
	Info
	on []policy.Selector
	// parts are the fields that the policy looks at; an update that changes none of
	// them is not judged. Those of pods are known.
	parts []string
	needs []schema.GroupVersionKind

	pod    func(p *pod) []problem
	object checker
	change func(p *pod) []operation
	// with makes one with parameters; nil for one that has none.
	with func(e entry, p *v1alpha1.BuiltinPolicy) (*entry, error)
}

// catalog is every policy, in the order of K-Rail's.
func catalog() []*entry {
	return []*entry{
		{Info: Info{Name: "DisallowPodExec", Set: setAccess, KRail: "pod_no_exec", About: "Nobody runs commands in containers."}, on: onExec, object: disallowPodExec},
		{Info: Info{Name: "DisallowHostPath", Set: setPods, KRail: "pod_no_bind_mounts", About: "Pods mount no file or directory of their node."}, on: onPods, pod: disallowHostPath},
		{Info: Info{Name: "DisallowContainerSockets", Set: setPods, KRail: "pod_no_docker_sock", About: "Pods do not get at the socket of the container runtime."}, on: onPods, pod: disallowContainerSockets},
		{Info: Info{Name: "RequireNonRoot", Set: setPods, KRail: "pod_no_root_user", About: "Containers do not run as root."}, on: onPods, pod: requireNonRoot},
		{Info: Info{Name: "EmptyDirSizeLimit", Set: setPods, KRail: "pod_empty_dir_size_limit", About: "emptyDir volumes have a limit, and not too great a one.", Mutates: true}, on: onPods, with: emptyDirSizeLimit},
		{Info: Info{Name: "RequireImageDigest", Set: setPods, KRail: "pod_immutable_reference", About: "Images are named by digest."}, on: onPods, pod: requireImageDigest},
		{Info: Info{Name: "DisallowTiller", Set: setPods, KRail: "pod_no_tiller", About: "Helm 2's server does not run."}, on: onPods, pod: disallowTiller},
		{Info: Info{Name: "TrustedRepositories", Set: setPods, KRail: "pod_trusted_repository", About: "Images come from repositories that are named.", NeedsParameters: true}, on: onPods, with: trustedRepositories},
		{Info: Info{Name: "DisallowHostNetwork", Set: setPods, KRail: "pod_no_host_network", About: "Pods do not use the network of their node."}, on: onPods, pod: disallowHostNetwork},
		{Info: Info{Name: "DisallowPrivileged", Set: setPods, KRail: "pod_no_privileged_container", About: "Containers are not privileged."}, on: onPods, pod: disallowPrivileged},
		{Info: Info{Name: "DisallowAddedCapabilities", Set: setPods, KRail: "pod_no_new_capabilities", About: "Containers add no Linux capabilities."}, on: onPods, pod: disallowAddedCapabilities},
		{Info: Info{Name: "DisallowHostPID", Set: setPods, KRail: "pod_no_host_pid", About: "Pods do not see the processes of their node."}, on: onPods, pod: disallowHostPID},
		{Info: Info{Name: "DisallowHostIPC", Set: setPods, About: "Pods do not share memory with their node."}, on: onPods, pod: disallowHostIPC},
		{Info: Info{Name: "DisallowShareProcessNamespace", Set: setPods, KRail: "pod_no_shareprocessnamespace", About: "Containers of a pod do not see each other's processes."}, on: onPods, pod: disallowShareProcessNamespace},
		{Info: Info{Name: "SafeToEvict", Set: setPods, KRail: "pod_safe_to_evict", About: "Pods with storage on their node say that they may be evicted."}, on: onPods, pod: safeToEvict},
		{Info: Info{Name: "MutateSafeToEvict", Set: setPods, KRail: "pod_mutate_safe_to_evict", About: "Pods with storage on their node that do not say whether they may be evicted are made to.", Mutates: true}, on: onNewPods, change: mutateSafeToEvict},
		{Info: Info{Name: "DefaultSeccomp", Set: setPods, KRail: "pod_default_seccomp_policy", About: "Pods that name no seccomp profile get one.", Mutates: true}, on: onNewPods, with: defaultSeccomp},
		{Info: Info{Name: "ImagePullPolicy", Set: setPods, KRail: "pod_image_pull_policy", About: "Images are pulled as rules say.", Mutates: true, NeedsParameters: true}, on: onNewContainers, with: imagePullPolicy},
		{Info: Info{Name: "DisallowUnconfinedAppArmor", Set: setPods, KRail: "pod_deny_unconfined_apparmor_policy", About: "Containers do not leave AppArmor."}, on: onPods, pod: disallowUnconfinedAppArmor},
		{Info: Info{Name: "IngressClassExemption", Set: setNetwork, KRail: "ingress_require_ingress_exemption", About: "Ingresses of some classes need an exemption.", NeedsParameters: true}, on: onIngresses, parts: specAndAnnotations, with: ingressClassExemption},
		{Info: Info{Name: "UniqueIngressHost", Set: setNetwork, KRail: "ingress_unique_ingress_host", About: "A host belongs to the Ingresses of one namespace."}, on: onIngresses, parts: specAlone, object: uniqueIngressHost, needs: []schema.GroupVersionKind{ingresses}},
		{Info: Info{Name: "DisallowNginxSnippets", Set: setNetwork, KRail: "ingress_disallow_nginx_snippet", About: "Ingresses bring no configuration for NGINX (CVE-2021-25742)."}, on: onIngresses, parts: specAndAnnotations, object: disallowNginxSnippets},
		{Info: Info{Name: "LoadBalancerExemption", Set: setNetwork, KRail: "service_require_loadbalancer_exemption", About: "Services of type LoadBalancer have the annotations that are asked for, or an exemption."}, on: onServices, parts: typeAndAnnotations, with: loadBalancerExemption},
		{Info: Info{Name: "DisallowExternalIPs", Set: setNetwork, KRail: "service_no_external_ip", About: "Services take no further external IP (CVE-2020-8554)."}, on: onServices, parts: externalIPs, object: disallowExternalIPs},
		{Info: Info{Name: "VirtualServiceGateway", Set: setNetwork, KRail: "service_require_virtualservice_gateway_exemption", About: "Istio's VirtualServices name only gateways that are allowed."}, on: onVirtualServices, parts: specAlone, with: virtualServiceGateway},
		{Info: Info{Name: "DisallowAnonymousClusterRoleBinding", Set: setAccess, KRail: "cluster_role_binding_no_anonymous_subject", About: "ClusterRoleBindings bind nobody who has not signed in."}, on: onClusterRoleBindings, parts: subjectsAlone, object: disallowAnonymous},
		{Info: Info{Name: "DisallowAnonymousRoleBinding", Set: setAccess, KRail: "role_binding_no_anonymous_subject", About: "RoleBindings bind nobody who has not signed in."}, on: onRoleBindings, parts: subjectsAlone, object: disallowAnonymous},
		{Info: Info{Name: "DisallowHostPathPersistentVolume", Set: setPods, KRail: "persistent_volume_no_host_path", About: "PersistentVolumes are no directory of a node."}, on: onPersistentVolumes, parts: hostPathAlone, object: disallowHostPathPersistentVolume},
		{Info: Info{Name: "InvalidPodDisruptionBudget", Set: setPods, KRail: "invalid_pod_disruption_budget", About: "PodDisruptionBudgets let at least one pod be evicted."}, on: onDisruptionBudgets, parts: specAlone, object: invalidPodDisruptionBudget, needs: replicated},
		{Info: Info{Name: "ProtectCRD", Set: setAccess, KRail: "crd_protect", About: "A CustomResourceDefinition that is marked is not deleted while there are objects of it."}, on: onDefinitions, object: protectCRD},
		{Info: Info{Name: "DisallowPlaintextSecrets", Set: setSecrets, About: "No credentials in ConfigMaps, environment, arguments and annotations."}, on: onPlaintext, with: disallowPlaintextSecrets},
	}
}

// Catalog lists every policy, by name.
func Catalog() []Info {
	var all []Info
	for _, e := range catalog() {
		all = append(all, e.Info)
	}
	slices.SortFunc(all, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// All is the object that switches on every policy that can do without parameters.
func All(action v1alpha1.BuiltinAction) *v1alpha1.BuiltinPolicies {
	return &v1alpha1.BuiltinPolicies{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: Kind},
		ObjectMeta: metav1.ObjectMeta{Name: "builtin"},
		Spec:       v1alpha1.BuiltinPoliciesSpec{Sets: []v1alpha1.BuiltinSet{{Name: setAll, Action: action}}},
	}
}
