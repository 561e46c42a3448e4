package ordinary

import (
	"fmt"
	"time"
)

// gitops is Argo CD: it watches every kind, compares, and applies what differs.
func (c *cluster) gitops() {
	by := c.account("argocd", "argocd-application-controller", "argocd-application-controller/v0.0.0"+kubeAgent)
	server := c.account("argocd", "argocd-server", "argocd-server/v0.0.0"+kubeAgent)
	for _, k := range everyKind {
		c.watch(by, k, "", "")
	}
	for _, k := range []kind{secrets, configmaps, {"argoproj.io", "v1alpha1", "applications"}, {"argoproj.io", "v1alpha1", "appprojects"}} {
		c.watch(by, k, "argocd", "")
		c.watch(server, k, "argocd", "")
	}
	// Reflectors begin anew once in a while, and list.
	c.every(10*hour, func() {
		for _, k := range everyKind {
			c.after(c.upTo(2*minute), func() {
				c.do(request{by: by, verb: "list", kind: k, query: "limit=500&resourceVersion=0"})
			})
		}
	})
	applications := kind{"argoproj.io", "v1alpha1", "applications"}
	for _, a := range c.apps {
		if !a.byGit {
			continue
		}
		c.every(3*minute, func() {
			c.do(request{by: by, verb: "patch", kind: applications, ns: "argocd", name: a.ns + "-" + a.name})
		})
		c.workHours(30*hour, func() {
			c.do(request{by: by, verb: "patch", kind: applications, ns: "argocd", name: a.ns + "-" + a.name})
			for _, k := range []kind{configmaps, accounts, secrets, services, ingresses} {
				if k.resource == "secrets" && c.chance(60) {
					continue
				}
				c.do(request{by: by, verb: "patch", kind: k, ns: a.ns, name: a.name, query: "fieldManager=argocd-controller&force=true", body: func() []byte { return c.applied(k, a) }})
			}
			c.do(request{by: by, verb: "patch", kind: deploys, ns: a.ns, name: a.name, query: "fieldManager=argocd-controller&force=true", body: func() []byte { return c.deployment(a) }})
			c.rollout(a)
		})
	}
}

// applied is an object that a chart has beside its Deployment.
func (c *cluster) applied(k kind, a *app) []byte {
	meta := object{"name": a.name, "namespace": a.ns, "labels": object{"app": a.name}}
	switch k.resource {
	case "services":
		return write(object{"kind": "Service", "apiVersion": "v1", "metadata": meta, "spec": object{"type": "ClusterIP", "selector": object{"app": a.name}, "ports": []any{object{"name": "http", "port": 80, "targetPort": "http"}}}})
	case "ingresses":
		host := a.name + "." + a.ns + ".example.com"
		return write(object{"kind": "Ingress", "apiVersion": "networking.k8s.io/v1", "metadata": meta, "spec": object{"ingressClassName": "nginx", "tls": []any{object{"hosts": []any{host}, "secretName": a.name + "-tls"}},
			"rules": []any{object{"host": host, "http": object{"paths": []any{object{"path": "/", "pathType": "Prefix", "backend": object{"service": object{"name": a.name, "port": object{"name": "http"}}}}}}}}}})
	case "serviceaccounts":
		return write(object{"kind": "ServiceAccount", "apiVersion": "v1", "metadata": meta})
	}
	return write(object{"kind": "ConfigMap", "apiVersion": "v1", "metadata": meta})
}

// pipelines deploy with Helm and kubectl in working hours, make previews of branches, and
// look in the night with Terraform whether something has drifted.
func (c *cluster) pipelines() {
	for _, a := range c.apps {
		if !a.byGit {
			c.workHours(20*hour, func() { c.helm(a) })
		}
	}
	for range 4 {
		c.workHours(20*hour, c.preview)
	}
	terraform := c.account("ci", "terraform", "HashiCorp/1.0 Terraform/1.11.2")
	managed := 5 + c.rand.IntN(26)
	plan := func(int) {
		by := terraform
		by.address = c.account("ci", "terraform", "").address // another runner each time
		at := time.Duration(0)
		for i := range managed {
			ns := c.team[i%len(c.team)]
			c.after(at, func() {
				c.do(request{by: by, verb: "get", kind: secrets, ns: ns, name: fmt.Sprintf("shared-%d", i)})
				c.do(request{by: by, verb: "get", kind: namespaces, ns: ns, name: ns})
			})
			at += c.between(20*time.Millisecond, 300*time.Millisecond)
		}
	}
	c.daily(3*hour, hour, plan)
	c.daily(11*hour, 4*hour, plan)
}

// helm is how the pipeline upgrades a release.
func (c *cluster) helm(a *app) {
	by := c.account("ci", "deployer", "Helm/3.17.2")
	c.release(by, a.ns, a.name, a.revision, func() {
		for _, k := range []kind{accounts, configmaps, secrets, services, ingresses} {
			name := a.name
			if k.resource == "secrets" {
				name += "-env"
			}
			c.do(request{by: by, verb: "get", kind: k, ns: a.ns, name: name})
			c.do(request{by: by, verb: "patch", kind: k, ns: a.ns, name: name, query: "fieldManager=helm", body: func() []byte { return c.applied(k, a) }})
		}
		c.do(request{by: by, verb: "get", kind: deploys, ns: a.ns, name: a.name})
		c.do(request{by: by, verb: "patch", kind: deploys, ns: a.ns, name: a.name, query: "fieldManager=helm", body: func() []byte { return c.deployment(a) }})
		c.rollout(a)
	})
	a.revision++
}

// release is what Helm does to its own Secrets around an upgrade.
func (c *cluster) release(by client, ns, name string, revision int, change func()) {
	of := func(n int) string { return fmt.Sprintf("sh.helm.release.v1.%s.v%d", name, n) }
	c.do(request{by: by, verb: "list", kind: secrets, ns: ns, query: "labelSelector=name%3D" + name + "%2Cowner%3Dhelm"})
	c.after(c.between(200*time.Millisecond, second), func() {
		c.do(request{by: by, verb: "list", kind: secrets, ns: ns, query: "labelSelector=name%3D" + name + "%2Cowner%3Dhelm%2Cstatus%3Ddeployed"})
		c.do(request{by: by, verb: "create", kind: secrets, ns: ns, name: of(revision + 1)})
		change()
		c.do(request{by: by, verb: "get", kind: secrets, ns: ns, name: of(revision)})
		c.do(request{by: by, verb: "update", kind: secrets, ns: ns, name: of(revision)})
		c.do(request{by: by, verb: "update", kind: secrets, ns: ns, name: of(revision + 1)})
		if revision > 10 {
			c.do(request{by: by, verb: "delete", kind: secrets, ns: ns, name: of(revision - 9)})
		}
		// --wait looks whether the pods are there.
		for i := range 5 {
			c.after(time.Duration(i)*2*second, func() { c.do(request{by: by, verb: "get", kind: deploys, ns: ns, name: name}) })
		}
	})
}

// preview puts a branch into a namespace of its own, and takes it down some hours later.
func (c *cluster) preview() {
	c.previews++
	by := c.account("ci", "deployer", "Helm/3.17.2")
	ns := fmt.Sprintf("preview-%d", 1000+c.previews)
	a := &app{ns: ns, name: "web", replicas: 1, hash: c.letters(10), tag: c.rand.IntN(900), secrets: []string{"web-env", "registry"}, configs: []string{"web", "kube-root-ca.crt"}}
	c.do(request{by: by.with("kubectl/v1.36.1" + kubeAgent), verb: "get", kind: namespaces, ns: ns, name: ns, code: 404, message: `namespaces "` + ns + `" not found`})
	c.do(request{by: by, verb: "create", kind: namespaces, ns: ns, name: ns, body: func() []byte {
		return write(object{"kind": "Namespace", "apiVersion": "v1", "metadata": object{"name": ns, "labels": object{"team": "web", "pod-security.kubernetes.io/enforce": "restricted"}}})
	}})
	c.do(request{by: c.controller("service-account-controller"), verb: "create", kind: accounts, ns: ns, name: "default", body: func() []byte { return []byte(`{"kind":"ServiceAccount","apiVersion":"v1"}`) }})
	c.do(request{by: c.controller("root-ca-cert-publisher"), verb: "create", kind: configmaps, ns: ns, name: "kube-root-ca.crt"})
	c.after(3*second, func() {
		c.release(by, ns, "web", 0, func() {
			for _, k := range []kind{accounts, secrets, configmaps, services, ingresses} {
				name := a.name
				if k.resource == "secrets" {
					name += "-env"
				}
				c.do(request{by: by, verb: "create", kind: k, ns: ns, name: name, query: "fieldManager=helm", body: func() []byte { return c.applied(k, a) }})
			}
			c.do(request{by: by, verb: "create", kind: deploys, ns: ns, name: a.name, query: "fieldManager=helm", body: func() []byte { return c.deployment(a) }})
			c.rollout(a)
		})
	})
	c.after(c.between(hour, 6*hour), func() {
		c.do(request{by: by, verb: "delete", kind: namespaces, ns: ns, name: ns})
		gone := c.controller("namespace-controller")
		for _, k := range everyKind[:20] {
			if k.resource != "namespaces" && k.resource != "nodes" && k.resource != "persistentvolumes" {
				c.do(request{by: gone, verb: "deletecollection", kind: k, ns: ns})
				c.do(request{by: gone, verb: "list", kind: k, ns: ns})
			}
		}
		for _, p := range a.pods {
			c.stopPod(p)
		}
		c.do(request{by: gone, verb: "update", kind: namespaces, sub: "finalize", ns: ns, name: ns})
	})
}

// workHours does something about once in so much working time, ten hours of each working day.
func (c *cluster) workHours(mean time.Duration, do func()) {
	chance := 1 / (mean.Hours() * 4)
	var again func()
	again = func() {
		h := c.now.Hour()
		if c.workday() && h >= 8 && h < 18 && c.rand.Float64() < chance {
			do()
		}
		c.after(15*minute, again)
	}
	c.after(c.upTo(15*minute), again)
}

// cronjobs run all day.
func (c *cluster) cronjobs() {
	for i, every := range []time.Duration{5 * minute, 5 * minute, 10 * minute, 15 * minute, 15 * minute, 30 * minute, hour, hour, 6 * hour, 24 * hour} {
		ns := c.team[i%len(c.team)]
		name := []string{"mail-queue", "sync-orders", "expire-carts", "rates", "feeds", "reports", "cleanup", "sitemap", "statistics", "archive"}[i]
		a := &app{ns: ns, name: name, tag: 10 + i}
		number := 29600000 + i
		c.every(every, func() { number++; c.job(a, fmt.Sprintf("%s-%d", name, number)) })
	}
}

func (c *cluster) job(a *app, name string) {
	controller, runner := c.controller("cronjob-controller"), c.controller("job-controller")
	c.do(request{by: controller, verb: "create", kind: jobs, ns: a.ns, name: name, body: func() []byte {
		return write(object{"kind": "Job", "apiVersion": "batch/v1", "metadata": object{"name": name, "namespace": a.ns, "labels": labels(a)}, "spec": object{"backoffLimit": 2, "template": object{"spec": c.template(a)}}})
	}})
	c.do(request{by: controller, verb: "update", kind: cronjobs, sub: "status", ns: a.ns, name: a.name})
	p := &pod{ns: a.ns, name: name + "-" + c.letters(5), account: a.name, app: a, on: c.roomy()}
	c.do(request{by: runner, verb: "create", kind: pods, ns: a.ns, name: p.name, body: func() []byte { return c.podOf(a) }})
	c.do(request{by: runner, verb: "update", kind: jobs, sub: "status", ns: a.ns, name: name})
	c.startPod(p, []string{a.name, "kube-root-ca.crt"}, nil, func() {
		c.after(c.between(second, 2*minute), func() {
			c.status(p)
			c.do(request{by: runner, verb: "patch", kind: pods, ns: a.ns, name: p.name, body: func() []byte {
				return []byte(`{"metadata":{"$deleteFromPrimitiveList/finalizers":["batch.kubernetes.io/job-tracking"]}}`)
			}})
			c.do(request{by: runner, verb: "update", kind: jobs, sub: "status", ns: a.ns, name: name})
			c.do(request{by: controller, verb: "delete", kind: jobs, ns: a.ns, name: name + "-old"})
			c.do(request{by: c.controller("generic-garbage-collector"), verb: "delete", kind: pods, ns: a.ns, name: p.name})
			c.stopPod(p)
		})
	})
}
