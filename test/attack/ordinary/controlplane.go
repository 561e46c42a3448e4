package ordinary

import (
	"maps"
	"slices"
)

func sorted[V any](m map[string]V) (values []V) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		values = append(values, m[k])
	}
	return values
}

// everyKind is what somebody who looks after everything watches.
var everyKind = []kind{
	pods, nodes, secrets, configmaps, services, namespaces, accounts, claims, {"", "v1", "persistentvolumes"}, {"", "v1", "endpoints"}, {"", "v1", "limitranges"},
	{"", "v1", "resourcequotas"}, {"", "v1", "replicationcontrollers"}, {"", "v1", "podtemplates"}, leases, deploys, replicaSets, daemons, statefuls, {"apps", "v1", "controllerrevisions"},
	jobs, cronjobs, slicesOf, ingresses, {"networking.k8s.io", "v1", "networkpolicies"}, {"networking.k8s.io", "v1", "ingressclasses"}, csrs, crds, crs, crbs, roles, bindings,
	mutating, validating, hpas, {"policy", "v1", "poddisruptionbudgets"}, {"storage.k8s.io", "v1", "storageclasses"}, {"storage.k8s.io", "v1", "volumeattachments"},
	{"storage.k8s.io", "v1", "csinodes"}, {"scheduling.k8s.io", "v1", "priorityclasses"}, {"apiregistration.k8s.io", "v1", "apiservices"}, {"flowcontrol.apiserver.k8s.io", "v1", "flowschemas"},
	{"cert-manager.io", "v1", "certificates"}, {"cert-manager.io", "v1", "certificaterequests"}, {"cert-manager.io", "v1", "issuers"}, {"argoproj.io", "v1alpha1", "applications"},
	{"monitoring.coreos.com", "v1", "servicemonitors"}, {"monitoring.coreos.com", "v1", "prometheusrules"}, {"external-secrets.io", "v1", "externalsecrets"}, {"velero.io", "v1", "backups"},
}

// controlPlane is the controller manager, the scheduler and the server itself.
func (c *cluster) controlPlane() {
	for _, k := range everyKind {
		c.watch(c.controllerManager, k, "", "")
	}
	for _, k := range []kind{pods, nodes, services, namespaces, claims, {"", "v1", "persistentvolumes"}, replicaSets, statefuls, {"", "v1", "replicationcontrollers"}, {"policy", "v1", "poddisruptionbudgets"}, {"storage.k8s.io", "v1", "storageclasses"}, {"storage.k8s.io", "v1", "csinodes"}} {
		c.watch(c.scheduler, k, "", "")
	}
	c.every(5*second, func() {
		c.do(request{by: c.controllerManager, verb: "update", kind: leases, ns: "kube-system", name: "kube-controller-manager"})
		c.do(request{by: c.scheduler, verb: "update", kind: leases, ns: "kube-system", name: "kube-scheduler"})
	})
	c.every(10*second, func() {
		c.do(request{by: c.apiserver, verb: "update", kind: leases, ns: "kube-system", name: "apiserver-7ggb"})
		c.do(request{by: client{name: "system:anonymous", groups: []string{"system:unauthenticated"}, agent: "kube-probe/1.36", address: "10.10.0.2"}, verb: "get", path: "/livez"})
	})
	// The collector asks what kinds there are, and resources change quotas.
	collector := c.controller("generic-garbage-collector")
	c.every(30*second, func() {
		c.do(request{by: collector, verb: "get", path: "/api"})
		c.do(request{by: collector, verb: "get", path: "/apis"})
	})
	for _, ns := range c.team {
		quota := c.controller("resourcequota-controller")
		c.every(5*minute, func() {
			c.do(request{by: quota, verb: "update", kind: kind{"", "v1", "resourcequotas"}, sub: "status", ns: ns, name: "quota"})
		})
	}
	c.every(24*hour, func() { // the credential of the controllers is renewed in the night
		for _, name := range []string{"replicaset-controller", "deployment-controller"} {
			c.do(request{by: c.controllerManager, verb: "create", kind: accounts, sub: "token", ns: "kube-system", name: name})
		}
	})
}

// rollout is what controllers do when a Deployment has been changed.
func (c *cluster) rollout(a *app) {
	by := c.controller("deployment-controller")
	old := a.pods
	a.pods, a.hash, a.tag = nil, c.letters(10), a.tag+1
	name := a.name + "-" + a.hash
	c.do(request{by: by, verb: "create", kind: replicaSets, ns: a.ns, name: name, body: func() []byte { return c.replicaSet(a) }})
	c.do(request{by: by, verb: "update", kind: deploys, sub: "status", ns: a.ns, name: a.name})
	var step func(i int)
	step = func(i int) {
		if i >= a.replicas {
			c.do(request{by: by, verb: "update", kind: deploys, sub: "status", ns: a.ns, name: a.name})
			return
		}
		c.do(request{by: by, verb: "update", kind: replicaSets, ns: a.ns, name: name, body: func() []byte { return c.replicaSet(a) }})
		c.create(a, func() {
			if i < len(old) {
				c.do(request{by: by, verb: "update", kind: replicaSets, ns: a.ns, name: name, body: func() []byte { return c.replicaSet(a) }})
				c.do(request{by: c.controller("replicaset-controller"), verb: "delete", kind: pods, ns: a.ns, name: old[i].name})
				c.stopPod(old[i])
			}
			c.endpoints(a)
			step(i + 1)
		})
	}
	step(0)
}

// create is how a ReplicaSet makes a pod.
func (c *cluster) create(a *app, then func()) {
	p := c.place(a)
	by := c.controller("replicaset-controller")
	c.do(request{by: by, verb: "create", kind: pods, ns: p.ns, name: p.name, body: func() []byte { return c.podOf(a) }})
	c.do(request{by: by, verb: "update", kind: replicaSets, sub: "status", ns: a.ns, name: a.name + "-" + a.hash})
	c.startPod(p, a.configs, a.secrets, then)
}

// endpoints follows which pods are ready.
func (c *cluster) endpoints(a *app) {
	c.do(request{by: c.controller("endpointslice-controller"), verb: "update", kind: slicesOf, ns: a.ns, name: a.name + "-x7k2p"})
	c.do(request{by: c.controller("endpoint-controller"), verb: "update", kind: kind{"", "v1", "endpoints"}, ns: a.ns, name: a.name})
}

// move makes a pod again elsewhere.
func (c *cluster) move(p *pod) {
	a := p.app
	a.pods = slices.DeleteFunc(a.pods, func(x *pod) bool { return x == p })
	c.stopPod(p)
	c.create(a, func() { c.endpoints(a) })
}
