package builtin

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
)

// What the policies are asked about. Nobody changes these.
var (
	writes   = []admission.Operation{admission.Create, admission.Update}
	creation = []admission.Operation{admission.Create}

	onPods = []policy.Selector{
		on(writes, "", "pods", "pods/ephemeralcontainers", "podtemplates", "replicationcontrollers"),
		on(writes, "apps", "deployments", "replicasets", "statefulsets", "daemonsets"),
		on(writes, "batch", "jobs", "cronjobs"),
		on(writes, "extensions", "deployments", "replicasets", "daemonsets"),
		on(writes, "argoproj.io", "rollouts"),
		on(writes, "serving.knative.dev", "services"),
	}
	onNewPods       = []policy.Selector{on(creation, "", "pods")}
	onNewContainers = []policy.Selector{on(creation, "", "pods"), on([]admission.Operation{admission.Update}, "", "pods/ephemeralcontainers")}
	onPlaintext     = append([]policy.Selector{on(writes, "", "configmaps")}, onPods...)

	onExec                = []policy.Selector{on([]admission.Operation{admission.Connect}, "", "pods/exec")}
	onIngresses           = []policy.Selector{on(writes, "networking.k8s.io", "ingresses"), on(writes, "extensions", "ingresses")}
	onServices            = []policy.Selector{on(writes, "", "services")}
	onVirtualServices     = []policy.Selector{on(writes, "networking.istio.io", "virtualservices")}
	onClusterRoleBindings = []policy.Selector{on(writes, "rbac.authorization.k8s.io", "clusterrolebindings")}
	onRoleBindings        = []policy.Selector{on(writes, "rbac.authorization.k8s.io", "rolebindings")}
	onPersistentVolumes   = []policy.Selector{on(writes, "", "persistentvolumes")}
	onDisruptionBudgets   = []policy.Selector{on(writes, "policy", "poddisruptionbudgets")}
	onDefinitions         = []policy.Selector{on([]admission.Operation{admission.Delete}, "apiextensions.k8s.io", "customresourcedefinitions")}
)

func on(operations []admission.Operation, group string, resources ...string) policy.Selector {
	return policy.Selector{Operations: operations, Groups: []string{group}, Resources: resources}
}

// What the policies look up.
var (
	ingresses  = schema.GroupVersionKind{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"}
	replicated = []schema.GroupVersionKind{
		{Group: "apps", Version: "v1", Kind: "Deployment"},
		{Group: "apps", Version: "v1", Kind: "ReplicaSet"},
		{Group: "apps", Version: "v1", Kind: "StatefulSet"},
		{Version: "v1", Kind: "ReplicationController"},
	}
)

// The fields that policies look at.
var (
	specAlone          = []string{"spec"}
	specAndAnnotations = []string{"spec", "metadata.annotations"}
	typeAndAnnotations = []string{"spec.type", "metadata.annotations"}
	externalIPs        = []string{"spec.externalIPs"}
	subjectsAlone      = []string{"subjects", "roleRef"}
	hostPathAlone      = []string{"spec.hostPath"}
)
