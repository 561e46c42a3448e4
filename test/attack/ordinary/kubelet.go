package ordinary

import (
	"fmt"
	"time"
)

// kubelet is what a node asks and says.
func (c *cluster) kubelet(n *node) {
	by := n.client
	for _, k := range []kind{nodes, pods, services, {"storage.k8s.io", "v1", "csidrivers"}, {"node.k8s.io", "v1", "runtimeclasses"}} {
		name := ""
		if k.resource == "nodes" {
			name = n.name
		}
		c.watch(by, k, "", name)
	}
	c.every(10*second, func() {
		c.do(request{by: by, verb: "update", kind: leases, ns: "kube-node-lease", name: n.name})
	})
	c.every(5*minute, func() {
		c.do(request{by: by, verb: "get", kind: nodes, name: n.name, query: "resourceVersion=0"})
		c.do(request{by: by, verb: "patch", kind: nodes, sub: "status", name: n.name, query: "timeout=10s"})
	})
	// Those who scrape it are asked about.
	c.every(5*minute, func() {
		c.do(request{by: by, verb: "create", kind: tokenRevs})
		c.do(request{by: by, verb: "create", kind: subjectSAR})
	})
	for _, daemon := range []string{"network-agent", "proxy", "node-exporter", "log-collector"} {
		c.run(&pod{ns: "kube-system", name: daemon + "-" + c.letters(5), account: daemon, on: n}, []string{"kube-root-ca.crt", daemon}, nil)
	}
	for _, p := range sorted(n.pods) {
		c.run(p, p.app.configs, p.app.secrets)
	}
	// The certificate that it serves with, and that it asks with.
	c.every(20*24*hour, func() { c.renewNode(n, "kubernetes.io/kubelet-serving") })
	c.every(28*24*hour, func() { c.renewNode(n, "kubernetes.io/kube-apiserver-client-kubelet") })
}

// run is what a kubelet does for a pod for as long as it runs: it watches what the pod
// mounts, and renews its token.
func (c *cluster) run(p *pod, configs, hidden []string) {
	on := true
	p.watching = &on
	by := p.on.client
	for i, names := range [][]string{configs, hidden} {
		k := []kind{configmaps, secrets}[i]
		for _, name := range names {
			c.watchWhile(&on, by, k, p.ns, name)
		}
	}
	var token func()
	token = func() {
		if on {
			c.token(p)
			c.after(c.between(47*minute, 49*minute), token)
		}
	}
	c.after(c.upTo(48*minute), token)
}

func (c *cluster) token(p *pod) {
	c.do(request{by: p.on.client, verb: "create", kind: accounts, sub: "token", ns: p.ns, name: p.account})
}

// watchWhile is watch until somebody says that it is enough.
func (c *cluster) watchWhile(on *bool, by client, k kind, ns, name string) {
	var again func()
	again = func() {
		if !*on {
			return
		}
		d := c.between(5*minute, 10*minute)
		q := request{by: by, verb: "watch", kind: k, ns: ns, name: name,
			query: fmt.Sprintf("allowWatchBookmarks=true&fieldSelector=metadata.name%%3D%s&resourceVersion=%d&timeout=%s&timeoutSeconds=%d&watch=true", name, 100000+c.rand.IntN(1<<22), d.Round(time.Second), int(d.Seconds()))}
		c.stream(q, d, again)
	}
	c.after(c.upTo(9*minute), again)
}

// startPod is how a pod comes up after somebody has created it.
func (c *cluster) startPod(p *pod, configs, hidden []string, then func()) {
	c.after(c.between(20*time.Millisecond, 300*time.Millisecond), func() {
		c.do(request{by: c.scheduler, verb: "create", kind: pods, sub: "binding", ns: p.ns, name: p.name, code: 201})
		p.on.pods[p.ns+"/"+p.name] = p
		c.after(c.between(50*time.Millisecond, 500*time.Millisecond), func() {
			c.status(p)
			c.token(p)
			for _, name := range hidden {
				c.do(request{by: p.on.client, verb: "list", kind: secrets, ns: p.ns, name: name, query: "fieldSelector=metadata.name%3D" + name + "&limit=500&resourceVersion=0"})
			}
			c.run(p, configs, hidden)
		})
		c.after(c.between(2*second, 20*second), func() {
			c.status(p)
			if then != nil {
				then()
			}
		})
	})
}

// status is how a kubelet says how a pod is.
func (c *cluster) status(p *pod) {
	c.do(request{by: p.on.client, verb: "get", kind: pods, ns: p.ns, name: p.name})
	c.do(request{by: p.on.client, verb: "patch", kind: pods, sub: "status", ns: p.ns, name: p.name})
}

// stopPod is how a pod goes after somebody has deleted it.
func (c *cluster) stopPod(p *pod) {
	if p.over {
		return
	}
	p.over = true
	c.after(c.between(second, 30*second), func() {
		c.status(p)
		c.do(request{by: p.on.client, verb: "delete", kind: pods, ns: p.ns, name: p.name})
		delete(p.on.pods, p.ns+"/"+p.name)
		if p.watching != nil {
			*p.watching = false
		}
	})
}

// renewNode is how a kubelet gets a new certificate.
func (c *cluster) renewNode(n *node, signer string) {
	name := "csr-" + c.letters(5)
	body := func() []byte {
		return []byte(`{"kind":"CertificateSigningRequest","apiVersion":"certificates.k8s.io/v1","metadata":{"generateName":"csr-"},"spec":{"request":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0=","signerName":"` + signer + `","usages":["digital signature","server auth"]}}`)
	}
	c.do(request{by: n.client, verb: "create", kind: csrs, name: name, body: body})
	c.after(c.between(100*time.Millisecond, second), func() {
		if signer == "kubernetes.io/kubelet-serving" { // an operator approves these
			approver := c.account("kubelet-approver", "kubelet-csr-approver", "kubelet-csr-approver/v1.2.6"+kubeAgent)
			approver.address = "10.20.3.44"
			c.do(request{by: approver, verb: "update", kind: csrs, sub: "approval", name: name, body: body})
		} else {
			c.do(request{by: c.controller("certificate-controller"), verb: "update", kind: csrs, sub: "approval", name: name, body: body})
		}
		c.after(200*time.Millisecond, func() {
			c.do(request{by: c.controller("certificate-controller"), verb: "update", kind: csrs, sub: "status", name: name, body: body})
		})
	})
}
