package ordinary

import (
	"slices"
	"strings"
	"time"
)

// maintenance is what the platform team and its tools do every few days; all of it happens
// on the eighth day, some of it for the first time.
func (c *cluster) maintenance() {
	admin := client{name: "oidc:ann@example.com", groups: []string{"oidc:platform", "system:authenticated"}, agent: "kubectl/v1.36.1 (darwin/arm64) kubernetes/4e8b2a5", address: officeAddress}
	c.daily(10*hour, 2*hour, func(day int) {
		if day%3 == 1 {
			c.drain(admin, c.roomy())
		}
	})
	c.daily(14*hour, hour, func(day int) {
		if day%4 == 3 {
			c.join()
		}
	})
	c.daily(15*hour, hour, func(day int) {
		if day%7 == 0 && day > 0 { // nobody has seen the pipeline upgrade it before
			c.upgrade()
		}
	})
}

// drain empties a node, and lets it be used again after it was restarted.
func (c *cluster) drain(by client, n *node) {
	c.do(request{by: by, verb: "get", kind: nodes, name: n.name})
	c.do(request{by: by, verb: "patch", kind: nodes, name: n.name, query: "fieldManager=kubectl-drain", body: func() []byte { return []byte(`{"spec":{"unschedulable":true}}`) }, reply: func() []byte { return []byte(`{"kind":"Node","apiVersion":"v1"}`) }})
	n.gone = true
	c.do(request{by: by, verb: "list", kind: pods, query: "fieldSelector=spec.nodeName%3D" + n.name + "&limit=500"})
	at := time.Duration(0)
	for _, p := range sorted(n.pods) {
		at += c.between(50*time.Millisecond, 400*time.Millisecond)
		if c.chance(15) { // a disruption budget has it wait
			wait := at
			c.after(wait, func() {
				c.do(request{by: by, verb: "create", kind: pods, sub: "eviction", ns: p.ns, name: p.name, code: 429, message: "Cannot evict pod as it would violate the pod's disruption budget."})
			})
			at += 5 * second
		}
		c.after(at, func() {
			if p.over || p.app == nil {
				return
			}
			c.do(request{by: by, verb: "create", kind: pods, sub: "eviction", ns: p.ns, name: p.name, code: 201})
			c.do(request{by: by, verb: "get", kind: pods, ns: p.ns, name: p.name})
			if slices.Contains(p.app.pods, p) {
				c.move(p)
			} else {
				c.stopPod(p)
			}
		})
	}
	c.after(at+c.between(10*minute, 30*minute), func() {
		n.gone = false
		c.do(request{by: by, verb: "patch", kind: nodes, name: n.name, query: "fieldManager=kubectl-drain", body: func() []byte { return []byte(`{"spec":{"unschedulable":null}}`) }, reply: func() []byte { return []byte(`{"kind":"Node","apiVersion":"v1"}`) }})
		c.do(request{by: n.client, verb: "get", kind: nodes, name: n.name})
		c.do(request{by: n.client, verb: "patch", kind: nodes, sub: "status", name: n.name})
	})
}

// join is a new node: a bootstrap token asks for its certificate.
func (c *cluster) join() {
	n := c.newNode(len(c.nodes) + 1)
	token := client{name: "system:bootstrap:" + c.letters(6), groups: []string{"system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token", "system:authenticated"}, agent: "kubeadm/" + release + kubeAgent, address: n.address}
	anonymous := client{name: "system:anonymous", groups: []string{"system:unauthenticated"}, agent: token.agent, address: n.address}
	c.do(request{by: anonymous, verb: "get", kind: configmaps, ns: "kube-public", name: "cluster-info"})
	for _, name := range []string{"kubeadm-config", "kube-proxy", "kubelet-config"} {
		c.do(request{by: token, verb: "get", kind: configmaps, ns: "kube-system", name: name})
	}
	name := "csr-" + c.letters(5)
	body := func() []byte {
		return []byte(`{"kind":"CertificateSigningRequest","apiVersion":"certificates.k8s.io/v1","metadata":{"generateName":"csr-"},"spec":{"request":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0=","signerName":"kubernetes.io/kube-apiserver-client-kubelet","usages":["digital signature","client auth"]}}`)
	}
	c.do(request{by: token.with("kubelet/" + release + kubeAgent), verb: "create", kind: csrs, name: name, body: body})
	c.after(300*time.Millisecond, func() {
		c.do(request{by: c.controller("certificate-controller"), verb: "update", kind: csrs, sub: "approval", name: name, body: body})
		c.do(request{by: c.controller("certificate-controller"), verb: "update", kind: csrs, sub: "status", name: name, body: body})
	})
	c.after(3*second, func() {
		c.do(request{by: n.client, verb: "create", kind: nodes, name: n.name, body: func() []byte { return []byte(`{"kind":"Node","apiVersion":"v1","metadata":{"name":"` + n.name + `"}}`) }})
		c.nodes = append(c.nodes, n)
		for _, daemon := range []string{"network-agent", "proxy", "node-exporter", "log-collector"} {
			c.do(request{by: c.controller("daemon-set-controller"), verb: "create", kind: pods, ns: "kube-system", name: daemon + "-" + c.letters(5), body: func() []byte { return daemonPod(daemon) }})
		}
		c.kubelet(n)
		c.daemons(n)
	})
}

// daemonPod sees its node, as agents of nodes do.
func daemonPod(name string) []byte {
	return write(object{"kind": "Pod", "apiVersion": "v1", "metadata": object{"generateName": name + "-"}, "spec": object{
		"hostNetwork": true, "volumes": []any{object{"name": "host", "hostPath": object{"path": "/var/run/" + name}}},
		"containers": []any{object{"name": name, "image": "registry.example.com/" + name + ":1", "securityContext": object{"privileged": true}}},
	}})
}

// upgrade is a new release of an operator, which the pipeline brings: its kinds, its roles,
// its webhooks and itself.
func (c *cluster) upgrade() {
	by := c.account("ci", "platform-deployer", "Helm/3.17.2")
	ns := "cert-manager"
	var steps []func()
	for _, name := range []string{"certificates", "certificaterequests", "issuers", "clusterissuers", "orders.acme", "challenges.acme"} {
		name += ".cert-manager.io"
		steps = append(steps, func() {
			c.do(request{by: by, verb: "get", kind: crds, name: name})
			c.do(request{by: by, verb: "patch", kind: crds, name: name, query: "fieldManager=helm", body: func() []byte {
				return write(object{"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "metadata": object{"name": name}, "spec": object{"description": strings.Repeat("A long schema. ", 2000)}})
			}})
		})
	}
	for _, r := range operatorRoles {
		steps = append(steps, func() {
			c.do(request{by: by, verb: "get", kind: crs, name: r.name})
			c.do(request{by: by, verb: "patch", kind: crs, name: r.name, query: "fieldManager=helm", body: func() []byte {
				return write(object{"kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": object{"name": r.name, "labels": r.labels}, "rules": r.rules})
			}})
			c.do(request{by: by, verb: "get", kind: crbs, name: r.name})
		})
	}
	for _, k := range []kind{mutating, validating} {
		steps = append(steps, func() {
			c.do(request{by: by, verb: "get", kind: k, name: "cert-manager-webhook"})
			c.do(request{by: by, verb: "patch", kind: k, name: "cert-manager-webhook", query: "fieldManager=helm", body: func() []byte { return webhook(k, "cert-manager-webhook", ns) }})
		})
	}
	for _, name := range []string{"cert-manager", "cert-manager-webhook", "cert-manager-cainjector"} {
		a := &app{ns: ns, name: name, replicas: 1, hash: c.letters(10), tag: 17, configs: []string{"kube-root-ca.crt"}}
		steps = append(steps, func() {
			for _, k := range []kind{accounts, services} {
				c.do(request{by: by, verb: "get", kind: k, ns: ns, name: name})
				c.do(request{by: by, verb: "patch", kind: k, ns: ns, name: name, query: "fieldManager=helm", body: func() []byte { return c.applied(k, a) }})
			}
			c.do(request{by: by, verb: "patch", kind: deploys, ns: ns, name: name, query: "fieldManager=helm", body: func() []byte { return c.deployment(a) }})
			c.rollout(a)
		})
	}
	c.release(by, ns, "cert-manager", 21, func() {
		at := time.Duration(0)
		for _, step := range steps {
			at += c.between(50*time.Millisecond, 300*time.Millisecond)
			c.after(at, step)
		}
	})
	// What injects authorities writes them again, and the hooks of the release check.
	c.after(20*second, func() {
		c.inject(c.account("cert-manager", "cert-manager-cainjector", "cert-manager-cainjector/v1.17.2"+kubeAgent), "cert-manager-webhook")
	})
	hook := c.account(ns, "cert-manager-startupapicheck", "startupapicheck/v1.17.2"+kubeAgent)
	c.after(40*second, func() {
		c.do(request{by: by, verb: "create", kind: jobs, ns: ns, name: "cert-manager-startupapicheck", body: func() []byte {
			return []byte(`{"kind":"Job","apiVersion":"batch/v1","spec":{"template":{"spec":{"containers":[{"name":"check","image":"quay.io/jetstack/cert-manager-startupapicheck:v1.17.2"}]}}}}`)
		}})
		c.do(request{by: hook, verb: "create", kind: kind{"cert-manager.io", "v1", "certificaterequests"}, ns: ns, name: "check", query: "dryRun=All"})
	})
}

// operatorRoles are as the chart of cert-manager has them.
var operatorRoles = []struct {
	name   string
	labels object
	rules  []any
}{
	{"cert-manager-view", object{"rbac.authorization.k8s.io/aggregate-to-view": "true", "rbac.authorization.k8s.io/aggregate-to-edit": "true", "rbac.authorization.k8s.io/aggregate-to-admin": "true"},
		[]any{object{"apiGroups": []any{"cert-manager.io"}, "resources": []any{"certificates", "certificaterequests", "issuers"}, "verbs": []any{"get", "list", "watch"}}}},
	{"cert-manager-edit", object{"rbac.authorization.k8s.io/aggregate-to-edit": "true", "rbac.authorization.k8s.io/aggregate-to-admin": "true"},
		[]any{object{"apiGroups": []any{"cert-manager.io"}, "resources": []any{"certificates", "certificaterequests", "issuers"}, "verbs": []any{"create", "delete", "deletecollection", "patch", "update"}}}},
	{"cert-manager-controller-issuers", object{"app": "cert-manager"},
		[]any{object{"apiGroups": []any{""}, "resources": []any{"secrets"}, "verbs": []any{"get", "list", "watch", "create", "update", "delete"}}}},
	{"cert-manager-controller-ingress-shim", object{"app": "cert-manager"},
		[]any{object{"apiGroups": []any{"networking.k8s.io"}, "resources": []any{"ingresses"}, "verbs": []any{"get", "list", "watch"}}}},
}

// trouble is what is wrong every day, and nobody's fault.
func (c *cluster) trouble() {
	// A pod whose account was made again has a token that is good no more.
	stale := c.account("search", "indexer", "python-httpx/0.28.1")
	c.every(45*second, func() { c.do(request{by: stale, verb: "list", kind: pods, ns: "search", code: 401}) })
	// A program lacks a right, and asks again and again.
	lacking := c.account("data", "exporter", "exporter/v0.4.1"+kubeAgent)
	c.every(50*second, func() {
		c.do(request{by: lacking, verb: "list", kind: nodes, query: "limit=500&resourceVersion=0", code: 403})
	})
	// A desktop program goes on asking over night with a token that has expired.
	desktop := client{name: "oidc:tara@example.com", groups: []string{"oidc:devs", "system:authenticated"}, agent: "node-fetch/1.0", address: officeAddress}
	c.daily(18*hour, hour, func(int) {
		until := c.now.Add(c.between(hour, 13*hour))
		var ask func()
		ask = func() {
			if c.now.Before(until) {
				c.do(request{by: desktop, verb: "list", kind: pods, ns: "dev", code: 401})
				c.after(c.between(25*second, 35*second), ask)
			}
		}
		if c.workday() {
			ask()
		}
	})
	// Somebody leaves a terminal open that asks every two seconds; the token expires, they
	// notice, and log in.
	watcher := client{name: "oidc:karl@example.com", groups: []string{"oidc:devs", "system:authenticated"}, agent: "kubectl/v1.35.3 (darwin/arm64) kubernetes/9a8c1f2", address: "203.0.113.20"}
	c.daily(16*hour, hour, func(int) {
		if !c.workday() || !c.chance(30) {
			return
		}
		n := 5 + c.rand.IntN(60)
		for i := range n {
			c.after(time.Duration(i)*2*second, func() {
				c.do(request{by: watcher, verb: "list", kind: pods, ns: "accounts", query: "limit=500", code: 401})
			})
		}
		for i := range 100 {
			c.after(time.Duration(n+i)*2*second, func() { c.do(request{by: watcher, verb: "list", kind: pods, ns: "accounts", query: "limit=500"}) })
		}
	})
	// Scanners find the server now and then.
	c.every(7*hour, func() {
		scanner := client{name: "system:anonymous", groups: []string{"system:unauthenticated"}, agent: "Mozilla/5.0 zgrab/0.x", address: c.stranger()}
		for _, path := range []string{"/", "/favicon.ico", "/robots.txt", "/version"}[:1+c.rand.IntN(4)] {
			code := int32(403)
			if path == "/version" {
				code = 200
			}
			c.do(request{by: scanner, verb: "get", path: path, code: code, message: "forbidden"})
		}
	})
}

// stranger is an address of the internet.
func (c *cluster) stranger() string {
	return "192.0.2." + pick(c.simulation, []string{"7", "33", "91", "140"})
}
