package events

import (
	"fmt"
	"strconv"

	"github.com/gatehouse-io/gatehouse/audit"
)

// kubelet is what a node does.
func (g *generator) kubelet(a *actor) *audit.Event {
	ns := skewed(g.r, len(g.namespaces))
	in := g.namespaces[ns].name
	switch n := g.r.IntN(100); {
	case n < 32:
		return g.event(a, "patch", object{version: "v1", resource: "nodes", subresource: "status", name: a.user[len("system:node:"):]}, "timeout=10s", 200)
	case n < 52:
		return g.event(a, "patch", object{version: "v1", resource: "pods", subresource: "status", namespace: in, name: g.pod(g.r, ns)}, "", 200)
	case n < 70:
		return g.event(a, "get", object{version: "v1", resource: "pods", namespace: in, name: g.pod(g.r, ns)}, "", 200)
	case n < 82:
		w := g.namespaces[ns].workloads
		return g.event(a, "create", object{version: "v1", resource: "serviceaccounts", subresource: "token", namespace: in, name: w[skewed(g.r, len(w))].name}, "", 201)
	case n < 90:
		return g.watch(a, object{version: "v1", resource: "configmaps", namespace: in, name: "kube-root-ca.crt"})
	case n < 95:
		return g.event(a, "list", object{version: "v1", resource: "secrets", namespace: in}, "fieldSelector=metadata.name%3D"+g.secrets[skewed(g.r, len(g.secrets))]+"&limit=500&resourceVersion=0", 200)
	case n < 98:
		return g.event(a, "get", object{version: "v1", resource: "nodes", name: a.user[len("system:node:"):]}, "resourceVersion=0&timeout=10s", 200)
	}
	return g.event(a, "delete", object{version: "v1", resource: "pods", namespace: in, name: g.pod(g.r, ns)}, "", 200)
}

// controller is what a controller of Kubernetes does.
func (g *generator) controller(a *actor) *audit.Event {
	ns := skewed(g.r, len(g.namespaces))
	in := &g.namespaces[ns]
	w := &in.workloads[skewed(g.r, len(in.workloads))]
	switch n := g.r.IntN(100); {
	case n < 25:
		return g.event(a, "update", object{group: "apps", version: "v1", resource: "replicasets", subresource: "status", namespace: in.name, name: w.name + "-" + w.hash}, "", 200)
	case n < 45:
		return g.event(a, "update", object{group: "apps", version: "v1", resource: "deployments", subresource: "status", namespace: in.name, name: w.name}, "", 200)
	case n < 65:
		return g.event(a, "update", object{group: "discovery.k8s.io", version: "v1", resource: "endpointslices", namespace: in.name, name: w.name + "-" + w.hash[:5]}, "", 200)
	case n < 73:
		_, pod := g.churn(g.r, ns)
		e := g.event(a, "create", object{version: "v1", resource: "pods", namespace: in.name}, "", 201)
		e.Name = pod
		e.Annotations["pod-security.kubernetes.io/enforce-policy"] = "baseline:latest"
		return e
	case n < 80:
		return g.event(a, "delete", object{version: "v1", resource: "pods", namespace: in.name, name: g.pod(g.r, ns)}, "", 200)
	case n < 86:
		return g.event(a, "patch", object{version: "v1", resource: "pods", subresource: "status", namespace: in.name, name: g.pod(g.r, ns)}, "", 200)
	case n < 92:
		return g.event(a, "update", object{group: "batch", version: "v1", resource: "jobs", subresource: "status", namespace: in.name, name: w.name + "-" + strconv.Itoa(int(g.at.Unix()/3600))}, "", 200)
	}
	return g.watch(a, object{group: "apps", version: "v1", resource: []string{"deployments", "replicasets", "statefulsets", "daemonsets"}[g.r.IntN(4)]})
}

// account is what an operator or a workload does.
func (g *generator) account(a *actor) *audit.Event {
	in := g.namespaces[a.namespace].name
	if g.r.IntN(60) == 0 {
		in = g.namespaces[g.r.IntN(len(g.namespaces))].name
	}
	own := object{group: a.apiGroup, version: "v1", resource: a.kind, namespace: in}
	named := own
	named.name = g.namespaces[a.namespace].workloads[skewed(g.r, len(g.namespaces[a.namespace].workloads))].name
	switch n := g.r.IntN(1000); {
	case n < 240:
		return g.event(a, "get", named, "", 200)
	case n < 420:
		named.subresource = "status"
		return g.event(a, "update", named, "", 200)
	case n < 540:
		return g.event(a, "list", own, "limit=500&resourceVersion="+strconv.Itoa(g.version), 200)
	case n < 640:
		return g.watch(a, own)
	case n < 760:
		return g.event(a, "get", object{version: "v1", resource: "configmaps", namespace: in, name: g.configMaps[skewed(g.r, len(g.configMaps))]}, "", 200)
	case n < 800:
		return g.event(a, "get", object{version: "v1", resource: "secrets", namespace: in, name: g.secrets[skewed(g.r, len(g.secrets))]}, "", 200)
	case n < 960:
		return g.event(a, "list", object{version: "v1", resource: "pods", namespace: in}, "labelSelector=app.kubernetes.io%2Fname%3D"+named.name, 200)
	case n < 975:
		return g.event(a, "get", named, "", 404)
	case n < 990:
		return forbidden(g.event(a, "list", object{version: "v1", resource: []string{"secrets", "nodes", "configmaps"}[g.r.IntN(3)], namespace: in}, "limit=500", 403))
	}
	e := g.event(a, "update", object{group: "networking.k8s.io", version: "v1", resource: "ingresses", namespace: in, name: named.name}, "", 200)
	return g.bodies(e, `"spec":{"ingressClassName":"nginx","rules":[{"host":"`+named.name+`.example.com","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"`+named.name+`","port":{"number":80}}}}]}}]}`)
}

// person is what somebody does with kubectl.
func (g *generator) person(a *actor) *audit.Event {
	ns := a.namespace
	if g.r.IntN(4) == 0 {
		ns = skewed(g.r, len(g.namespaces))
	}
	in := &g.namespaces[ns]
	w := &in.workloads[skewed(g.r, len(in.workloads))]
	pod := object{version: "v1", resource: "pods", namespace: in.name, name: w.pods[g.r.IntN(len(w.pods))]}
	deployment := object{group: "apps", version: "v1", resource: "deployments", namespace: in.name, name: w.name}
	switch n := g.r.IntN(1000); {
	case n < 300:
		pod.name = ""
		return g.event(a, "list", pod, "limit=500", 200)
	case n < 450:
		return g.event(a, "get", pod, "", 200)
	case n < 580:
		pod.subresource = "log"
		return g.event(a, "get", pod, "container="+w.name+"&follow=true&tailLines=100", 200)
	case n < 700:
		return g.event(a, "get", deployment, "", 200)
	case n < 780:
		return g.event(a, "patch", deployment, "fieldManager=kubectl-client-side-apply&fieldValidation=Strict", 200)
	case n < 830:
		return g.event(a, "create", object{group: "authorization.k8s.io", version: "v1", resource: "selfsubjectaccessreviews"}, "", 201)
	case n < 860:
		pod.subresource = "exec"
		e := g.event(a, "get", pod, fmt.Sprintf("command=sha256%%3A%.16s&container=%s&stdin=true&stdout=true&tty=true", digest(g.r), w.name), 101)
		e.Level = "Request"
		return e
	case n < 890:
		return g.event(a, "delete", pod, "", 200)
	case n < 920:
		return g.event(a, "get", object{version: "v1", resource: "secrets", namespace: in.name, name: g.secrets[skewed(g.r, len(g.secrets))]}, "", 200)
	case n < 960:
		return forbidden(g.event(a, []string{"get", "list", "delete"}[g.r.IntN(3)], object{version: "v1", resource: []string{"secrets", "nodes", "persistentvolumes"}[g.r.IntN(3)], namespace: in.name}, "", 403))
	case n < 980:
		role := g.roles[skewed(g.r, len(g.roles))]
		e := g.event(a, []string{"create", "patch"}[g.r.IntN(2)], object{group: "rbac.authorization.k8s.io", version: "v1", resource: "rolebindings", namespace: in.name, name: role}, "fieldManager=kubectl-client-side-apply&fieldValidation=Strict", 201)
		return g.bodies(e, `"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"`+g.people[g.r.IntN(len(g.people))].user+`"}],"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"`+role+`"}`)
	case n < 990:
		e := g.event(a, "get", pod, "", 200)
		e.AsUser, e.AsGroups = g.people[g.r.IntN(len(g.people))].user, []string{"oidc:everyone", "system:authenticated"}
		return e
	}
	e := g.event(a, "update", object{version: "v1", resource: "namespaces", name: in.name}, "fieldManager=kubectl-edit", 200)
	return g.bodies(e, `"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}`)
}

// bodies gives an event its bodies, of which part is what the kind has of its own.
func (g *generator) bodies(e *audit.Event, part string) *audit.Event {
	e.Level = "RequestResponse"
	kind := map[string]string{"ingresses": "Ingress", "rolebindings": "RoleBinding", "namespaces": "Namespace"}[e.Resource]
	version := e.APIVersion
	if e.APIGroup != "" {
		version = e.APIGroup + "/" + version
	}
	labels := `"labels":{"app.kubernetes.io/managed-by":"Helm","app.kubernetes.io/name":"` + e.Name + `","kubernetes.io/metadata.name":"` + e.Namespace + `"}`
	head := `{"kind":"` + kind + `","apiVersion":"` + version + `","metadata":{"name":"` + e.Name + `","namespace":"` + e.Namespace + `",`
	e.ObjectUID, e.ResourceVersion = uidOf(object{e.APIGroup, e.APIVersion, e.Resource, "", e.Namespace, e.Name}), strconv.Itoa(g.version)
	e.Request = []byte(head + labels + `},` + part + `}`)
	e.Response = []byte(head + `"uid":"` + e.ObjectUID + `","resourceVersion":"` + e.ResourceVersion + `","creationTimestamp":"` + g.at.Format("2006-01-02T15:04:05Z") + `",` + labels + `},` + part + `}`)
	return e
}
