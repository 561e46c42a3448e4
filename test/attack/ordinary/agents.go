package ordinary

import (
	"fmt"
	"time"
)

// network is DNS, the proxy and the network agents.
func (c *cluster) network() {
	for range 2 {
		dns := c.account("kube-system", "coredns", "coredns/v1.12.1"+kubeAgent)
		for _, k := range []kind{services, slicesOf, namespaces} {
			c.watch(dns, k, "", "")
		}
	}
	for _, n := range c.nodes {
		c.daemons(n)
	}
	operator := c.account("kube-system", "network-operator", "cilium-operator/1.17.2"+kubeAgent)
	for _, k := range []kind{pods, nodes, services, {"cilium.io", "v2", "ciliumnodes"}, {"cilium.io", "v2", "ciliumidentities"}, {"cilium.io", "v2", "ciliumendpoints"}} {
		c.watch(operator, k, "", "")
	}
	c.every(30*minute, func() {
		c.do(request{by: operator, verb: "list", kind: kind{"cilium.io", "v2", "ciliumidentities"}})
		c.do(request{by: operator, verb: "delete", kind: kind{"cilium.io", "v2", "ciliumendpoints"}, ns: pick(c.simulation, c.team), name: "web-" + c.letters(5)})
	})
}

// daemons are the agents of a node.
func (c *cluster) daemons(n *node) {
	agent := client{name: "system:serviceaccount:kube-system:network-agent", groups: []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"}, agent: "cilium-agent/1.17.2" + kubeAgent, address: n.address}
	for _, k := range []kind{pods, services, slicesOf, nodes, namespaces, {"networking.k8s.io", "v1", "networkpolicies"}, {"cilium.io", "v2", "ciliumnodes"}, {"cilium.io", "v2", "ciliumendpoints"}} {
		c.watch(agent, k, "", "")
	}
	proxy := client{name: "system:serviceaccount:kube-system:proxy", groups: agent.groups, agent: "kube-proxy/" + release + kubeAgent, address: n.address}
	for _, k := range []kind{services, slicesOf, nodes} {
		c.watch(proxy, k, "", "")
	}
	c.every(10*minute, func() {
		c.do(request{by: agent, verb: "patch", kind: kind{"cilium.io", "v2", "ciliumnodes"}, sub: "status", name: n.name})
	})
}

// autoscaling asks for the metrics of what it scales every fifteen seconds.
func (c *cluster) autoscaling() {
	scaler := c.controller("horizontal-pod-autoscaler")
	for _, a := range c.apps {
		if !a.scaled {
			continue
		}
		c.every(15*second, func() {
			c.do(request{by: scaler, verb: "get", kind: deploys, sub: "scale", ns: a.ns, name: a.name})
			c.do(request{by: scaler, verb: "list", kind: metricsOf, ns: a.ns, query: "labelSelector=app%3D" + a.name})
		})
		c.daily(7*hour+30*minute, hour, func(int) { c.scale(scaler, a, a.replicas+1+c.rand.IntN(3)) })
		c.daily(19*hour, 2*hour, func(int) { c.scale(scaler, a, max(1, a.replicas-2)) })
	}
	server := c.account("kube-system", "metrics-server", "metrics-server/v0.7.2"+kubeAgent)
	for _, k := range []kind{nodes, pods} {
		c.watch(server, k, "", "")
	}
	c.every(minute, func() { c.do(request{by: server, verb: "create", kind: subjectSAR}) })
}

// scale changes how many pods an app has.
func (c *cluster) scale(by client, a *app, replicas int) {
	c.do(request{by: by, verb: "update", kind: deploys, sub: "scale", ns: a.ns, name: a.name})
	c.do(request{by: c.controller("deployment-controller"), verb: "update", kind: replicaSets, ns: a.ns, name: a.name + "-" + a.hash, body: func() []byte { return c.replicaSet(a) }})
	for ; a.replicas < replicas; a.replicas++ {
		c.create(a, func() { c.endpoints(a) })
	}
	for ; a.replicas > replicas && len(a.pods) > 1; a.replicas-- {
		p := a.pods[0]
		a.pods = a.pods[1:]
		c.do(request{by: c.controller("replicaset-controller"), verb: "delete", kind: pods, ns: p.ns, name: p.name})
		c.stopPod(p)
		c.endpoints(a)
	}
}

// monitoring finds what to scrape by watching, and scrapes the server.
func (c *cluster) monitoring() {
	prometheus := c.account("monitoring", "prometheus", "Prometheus/3.2.1")
	for _, k := range []kind{pods, services, slicesOf, nodes, ingresses} {
		c.watch(prometheus, k, "", "")
	}
	c.every(30*second, func() { c.do(request{by: prometheus, verb: "get", path: "/metrics"}) })
	operator := c.account("monitoring", "prometheus-operator", "PrometheusOperator/0.81.0"+kubeAgent)
	for _, k := range []kind{{"monitoring.coreos.com", "v1", "servicemonitors"}, {"monitoring.coreos.com", "v1", "prometheusrules"}, statefuls, configmaps, secrets, namespaces} {
		c.watch(operator, k, "", "")
	}
	c.every(5*minute, func() {
		c.do(request{by: operator, verb: "update", kind: secrets, ns: "monitoring", name: "prometheus-main"})
		c.do(request{by: operator, verb: "get", kind: secrets, ns: "monitoring", name: "prometheus-main-web-config"})
	})
	state := c.account("monitoring", "kube-state-metrics", "kube-state-metrics/v2.15.0"+kubeAgent)
	for _, k := range everyKind[:40] {
		c.watch(state, k, "", "")
	}
	grafana := c.account("monitoring", "grafana", "python-requests/2.32.3")
	for _, k := range []kind{configmaps, secrets} { // its sidecar looks for dashboards
		c.watch(grafana, k, "", "")
	}
}

// certificates is cert-manager: two certificates or so are renewed each day, and so is what
// its webhook serves with.
func (c *cluster) certificates() {
	manager := c.account("cert-manager", "cert-manager", "cert-manager-controller/v1.17.1"+kubeAgent)
	injector := c.account("cert-manager", "cert-manager-cainjector", "cert-manager-cainjector/v1.17.1"+kubeAgent)
	for _, k := range []kind{secrets, services, pods, ingresses, {"cert-manager.io", "v1", "certificates"}, {"cert-manager.io", "v1", "certificaterequests"}, {"cert-manager.io", "v1", "issuers"}, {"cert-manager.io", "v1", "clusterissuers"}} {
		c.watch(manager, k, "", "")
	}
	for _, k := range []kind{secrets, mutating, validating, crds, {"apiregistration.k8s.io", "v1", "apiservices"}} {
		c.watch(injector, k, "", "")
	}
	for range 2 {
		c.daily(c.upTo(20*hour), 4*hour, func(day int) {
			ns := pick(c.simulation, c.team)
			name := "www-" + ns
			requests := kind{"cert-manager.io", "v1", "certificaterequests"}
			certificates := kind{"cert-manager.io", "v1", "certificates"}
			c.do(request{by: manager, verb: "update", kind: certificates, sub: "status", ns: ns, name: name})
			c.do(request{by: manager, verb: "create", kind: secrets, ns: ns, name: name + "-" + c.letters(5)})
			c.do(request{by: manager, verb: "create", kind: requests, ns: ns, name: fmt.Sprintf("%s-%d", name, day+3)})
			c.after(c.between(20*second, 2*minute), func() {
				c.do(request{by: manager, verb: "update", kind: requests, sub: "status", ns: ns, name: fmt.Sprintf("%s-%d", name, day+3)})
				c.do(request{by: manager, verb: "patch", kind: secrets, ns: ns, name: name + "-tls"})
				c.do(request{by: manager, verb: "update", kind: certificates, sub: "status", ns: ns, name: name})
			})
		})
	}
	// The injector writes the new authority into what trusts the webhook.
	c.daily(4*hour, 2*hour, func(day int) {
		if day%2 == 1 {
			c.inject(injector, "cert-manager-webhook")
		}
	})
}

// inject is how the authority of a webhook is renewed in its configurations.
func (c *cluster) inject(by client, name string) {
	for _, k := range []kind{mutating, validating} {
		c.do(request{by: by, verb: "update", kind: k, name: name, body: func() []byte { return webhook(k, name, "cert-manager") }})
	}
}

func webhook(k kind, name, ns string) []byte {
	of := map[string]string{"mutatingwebhookconfigurations": "MutatingWebhookConfiguration", "validatingwebhookconfigurations": "ValidatingWebhookConfiguration"}
	return write(object{"kind": of[k.resource], "apiVersion": "admissionregistration.k8s.io/v1", "metadata": object{"name": name, "labels": object{"app": name}}, "webhooks": []any{object{
		"name": "webhook." + ns + ".io", "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": []any{"v1"}, "timeoutSeconds": 10, "matchPolicy": "Equivalent",
		"clientConfig": object{"caBundle": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==", "service": object{"name": name, "namespace": ns, "path": "/mutate", "port": 443}},
		"rules":        []any{object{"apiGroups": []any{ns + ".io"}, "apiVersions": []any{"v1"}, "operations": []any{"CREATE", "UPDATE"}, "resources": []any{"*/*"}, "scope": "*"}},
	}}})
}

// ingress is the controller that serves what is open to the outside.
func (c *cluster) ingress() {
	for range 2 {
		by := c.account("ingress-nginx", "ingress-nginx", "nginx-ingress-controller/v1.12.1"+kubeAgent)
		for _, k := range []kind{ingresses, {"networking.k8s.io", "v1", "ingressclasses"}, services, slicesOf, secrets, configmaps, pods} {
			c.watch(by, k, "", "")
		}
	}
	leader := c.account("ingress-nginx", "ingress-nginx", "nginx-ingress-controller/v1.12.1"+kubeAgent)
	c.every(hour, func() {
		c.do(request{by: leader, verb: "update", kind: ingresses, sub: "status", ns: pick(c.simulation, c.team), name: "web", body: func() []byte { return []byte(`{"kind":"Ingress","apiVersion":"networking.k8s.io/v1"}`) }})
	})
}

// backup reads everything in the night, page by page.
func (c *cluster) backup() {
	by := c.account("velero", "velero", "velero-server/v1.15.2 (linux/amd64)")
	for _, k := range []kind{{"velero.io", "v1", "backups"}, {"velero.io", "v1", "schedules"}, {"velero.io", "v1", "restores"}, secrets} {
		ns := "velero"
		c.watch(by, k, ns, "")
	}
	c.daily(2*hour, 5*minute, func(day int) {
		at := time.Duration(0)
		for _, k := range everyKind {
			pages := 1
			if k.resource == "pods" || k.resource == "replicasets" {
				pages = 2
			}
			for i := range pages {
				query := "limit=500"
				if i > 0 {
					query += "&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ"
				}
				c.after(at, func() { c.do(request{by: by, verb: "list", kind: k, query: query}) })
				at += c.between(200*time.Millisecond, 2*second)
			}
		}
		// Some kinds are asked for again for each object.
		for _, ns := range c.team {
			c.after(at, func() {
				c.do(request{by: by, verb: "get", kind: namespaces, ns: ns, name: ns})
				c.do(request{by: by, verb: "list", kind: claims, ns: ns, query: "limit=500"})
			})
			at += c.between(time.Second, 4*second)
		}
		c.after(at, func() {
			c.do(request{by: by, verb: "patch", kind: kind{"velero.io", "v1", "backups"}, ns: "velero", name: fmt.Sprintf("nightly-%d", day)})
		})
	})
	c.every(hour, func() { // its repositories
		c.do(request{by: by, verb: "get", kind: secrets, ns: "velero", name: "velero-repo-credentials"})
	})
}
