package guard

// Namespaces knows the labels of namespaces.
type Namespaces interface {
	// Labels of a namespace, not to be changed; known is false where there is no
	// such namespace as far as the caller knows.
	Labels(namespace string) (labels map[string]string, known bool)
}

// Scopes knows which resources are in a namespace: discovery, or a RESTMapper.
type Scopes interface {
	// Namespaced reports whether the objects of a resource are in namespaces;
	// known is false where the resource is not known.
	Namespaced(group, resource string) (namespaced, known bool)
}

// spansNamespaces reports that a request for a resource without a namespace asks
// for objects of every namespace, and so of guarded ones too.
//
// Where the scope of the resource is not known, the verb tells: an API server
// serves nothing but list and watch (and an aggregated one may serve
// deletecollection) on a resource in a namespace without naming the namespace;
// any other verb is about a resource that is in none, or ends in 404.
func spansNamespaces(scopes Scopes, r *request) bool {
	if r.resource == "*" || r.group == "*" {
		return true
	}
	// A Namespace object is in no namespace as far as the API goes; here it counts
	// as being in the one it is, and upstream gives requests for it that namespace.
	if r.group != "" || r.resource != "namespaces" {
		if clusterScoped[groupResource{r.group, r.resource}] {
			return false
		}
		if scopes != nil {
			if namespaced, known := scopes.Namespaced(r.group, r.resource); known {
				return namespaced
			}
		}
	}
	switch r.verb {
	case "list", "watch", "deletecollection", "*":
		return true
	}
	return false
}

type groupResource struct{ group, resource string }

// clusterScoped are the resources of Kubernetes 1.37, and of Gatehouse, that can
// be listed and are in no namespace. Those of other groups come from Scopes.
var clusterScoped = map[groupResource]bool{
	{"", "componentstatuses"}: true,
	{"", "nodes"}:             true,
	{"", "persistentvolumes"}: true,
	{"admissionregistration.k8s.io", "mutatingadmissionpolicies"}:         true,
	{"admissionregistration.k8s.io", "mutatingadmissionpolicybindings"}:   true,
	{"admissionregistration.k8s.io", "mutatingwebhookconfigurations"}:     true,
	{"admissionregistration.k8s.io", "validatingadmissionpolicies"}:       true,
	{"admissionregistration.k8s.io", "validatingadmissionpolicybindings"}: true,
	{"admissionregistration.k8s.io", "validatingwebhookconfigurations"}:   true,
	{"apiextensions.k8s.io", "customresourcedefinitions"}:                 true,
	{"apiregistration.k8s.io", "apiservices"}:                             true,
	{"certificates.k8s.io", "certificatesigningrequests"}:                 true,
	{"certificates.k8s.io", "clustertrustbundles"}:                        true,
	{"flowcontrol.apiserver.k8s.io", "flowschemas"}:                       true,
	{"flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"}:       true,
	{"gatehouse.io", "guards"}:                                            true,
	{"gatehouse.io", "revocations"}:                                       true,
	{"internal.apiserver.k8s.io", "storageversions"}:                      true,
	{"metrics.k8s.io", "nodes"}:                                           true,
	{"networking.k8s.io", "ingressclasses"}:                               true,
	{"networking.k8s.io", "ipaddresses"}:                                  true,
	{"networking.k8s.io", "servicecidrs"}:                                 true,
	{"node.k8s.io", "runtimeclasses"}:                                     true,
	{"rbac.authorization.k8s.io", "clusterrolebindings"}:                  true,
	{"rbac.authorization.k8s.io", "clusterroles"}:                         true,
	{"resource.k8s.io", "deviceclasses"}:                                  true,
	{"resource.k8s.io", "devicetaintrules"}:                               true,
	{"resource.k8s.io", "resourcepoolstatusrequests"}:                     true,
	{"resource.k8s.io", "resourceslices"}:                                 true,
	{"scheduling.k8s.io", "priorityclasses"}:                              true,
	{"storage.k8s.io", "csidrivers"}:                                      true,
	{"storage.k8s.io", "csinodes"}:                                        true,
	{"storage.k8s.io", "storageclasses"}:                                  true,
	{"storage.k8s.io", "volumeattachments"}:                               true,
	{"storage.k8s.io", "volumeattributesclasses"}:                         true,
	{"storagemigration.k8s.io", "storageversionmigrations"}:               true,
}
