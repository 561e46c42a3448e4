package ordinary

import (
	"fmt"
	"time"
)

// person is somebody who works with the cluster.
type person struct {
	client
	// office and home are where they speak from.
	office, home string
	// teams are the namespaces that are theirs.
	teams []string
	admin bool
}

const (
	officeAddress = "198.51.100.7" // all who are there
	k9sAgent      = "k9s/v0.40.5 (darwin/arm64) kubernetes/$Format"
)

var names = []string{
	"ann", "ben", "carla", "dan", "eve", "femi", "gina", "hugo", "ines", "jane", "karl", "lena", "mia", "noah", "olga", "pia", "quinn", "rosa", "sven", "tara", "umar", "vera", "wim", "xenia", "yara", "zoe",
	"omar", "lou", "kim", "ali",
}

// people come at eight and go at six; some work from home.
func (c *cluster) people() {
	var all []*person
	for i, name := range names {
		p := &person{office: officeAddress, home: fmt.Sprintf("203.0.113.%d", 10+i), admin: i < 4}
		agent := []string{"kubectl/v1.36.1 (darwin/arm64) kubernetes/4e8b2a5", "kubectl/v1.35.3 (darwin/arm64) kubernetes/9a8c1f2", "kubectl/v1.36.1 (linux/amd64) kubernetes/4e8b2a5"}[i%3]
		p.client = client{name: "oidc:" + name + "@example.com", groups: []string{"oidc:devs", "system:authenticated"}, agent: agent, address: p.office}
		p.teams = []string{c.team[i%len(c.team)], c.team[(i+1)%len(c.team)], "dev"}
		if p.admin {
			p.groups, p.teams = []string{"oidc:platform", "system:authenticated"}, append([]string{"monitoring", "ingress-nginx", "cert-manager"}, c.team...)
		}
		all = append(all, p)
	}
	for day := 0; c.begin.AddDate(0, 0, day).Before(c.end); day++ {
		for _, p := range all {
			c.after(c.begin.AddDate(0, 0, day).Add(c.between(7*hour+30*minute, 10*hour)).Sub(c.now), func() { c.work(p) })
		}
	}
	c.daily(2*hour+30*minute, 3*hour, func(day int) { // somebody is woken about every third night
		if c.chance(35) {
			c.onCall(all[day%4])
		}
	})
}

// work is a person's day.
func (c *cluster) work(p *person) {
	if !c.workday() && !c.chance(4) || c.chance(12) {
		return // free, or nothing to do here
	}
	p.address = p.office
	if c.chance(40) {
		p.address = p.home
	}
	c.begins(p)
	until := c.now.Add(c.between(6*hour, 9*hour))
	var next func()
	next = func() {
		if c.now.After(until) {
			return
		}
		c.task(p)
		c.after(c.between(5*minute, 70*minute), next)
	}
	c.after(c.between(minute, 30*minute), next)
}

// begins is the first command of a day: the token of yesterday has expired.
func (c *cluster) begins(p *person) {
	if c.chance(25) {
		tries := 1 + c.rand.IntN(3)
		at := time.Duration(0)
		for range tries {
			c.after(at, func() { c.unauthorized(p.client) })
			at += c.between(2*second, 25*second)
		}
		c.after(at+c.between(4*second, 40*second), func() { c.get(p, pods, pick(c.simulation, p.teams)) })
	}
}

// unauthorized is a command of kubectl whose token has expired: it asks five times.
func (c *cluster) unauthorized(by client) {
	for i := range 5 {
		c.after(time.Duration(i)*5*time.Millisecond, func() { c.do(request{by: by, verb: "get", path: "/api", query: "timeout=32s", code: 401}) })
	}
}

// get is kubectl get, and discovery before it once in a while.
func (c *cluster) get(p *person, k kind, ns string) {
	if c.chance(20) {
		c.do(request{by: p.client, verb: "get", path: "/api", query: "timeout=32s"})
		c.do(request{by: p.client, verb: "get", path: "/apis", query: "timeout=32s"})
	}
	c.do(request{by: p.client, verb: "list", kind: k, ns: ns, query: "limit=500"})
}

// task is what somebody does for some minutes.
func (c *cluster) task(p *person) {
	ns := pick(c.simulation, p.teams)
	a := c.appIn(ns)
	switch n := c.rand.IntN(100); {
	case n < 30: // a look
		for range 1 + c.rand.IntN(5) {
			c.after(c.upTo(4*minute), func() {
				c.get(p, pick(c.simulation, []kind{pods, deploys, services, ingresses, hpas, jobs, configmaps}), ns)
			})
		}
	case n < 50 && a != nil: // what is wrong with it
		c.get(p, pods, ns)
		for range 1 + c.rand.IntN(4) {
			x := pick(c.simulation, a.pods)
			c.after(c.between(5*second, 4*minute), func() {
				c.do(request{by: p.client, verb: "get", kind: pods, ns: ns, name: x.name})
				c.do(request{by: p.client, verb: "list", kind: happenings, ns: ns})
				c.do(request{by: p.client, verb: "get", kind: pods, sub: "log", ns: ns, name: x.name, query: "container=" + a.name + "&tailLines=500"})
			})
		}
	case n < 58 && a != nil: // follows a log
		c.stream(request{by: p.client, verb: "get", kind: pods, sub: "log", ns: ns, name: pick(c.simulation, a.pods).name, query: "follow=true"}, c.between(minute, 40*minute), nil)
	case n < 63 && a != nil: // goes in
		c.enter(p.client, "exec", ns, pick(c.simulation, a.pods).name, "command=sh&container="+a.name+"&stdin=true&stdout=true&tty=true")
	case n < 68 && a != nil:
		c.enter(p.client, "portforward", ns, pick(c.simulation, a.pods).name, "")
	case n < 73: // k9s lists what it shows
		c.k9s(p, ns)
	case n < 79: // a value of a Secret of one's own
		if a != nil {
			c.do(request{by: p.client, verb: "get", kind: secrets, ns: ns, name: a.name + "-env"})
		}
	case n < 83 && a != nil && ns != "data": // restarts it
		c.do(request{by: p.client, verb: "get", kind: deploys, ns: ns, name: a.name})
		c.do(request{by: p.client, verb: "patch", kind: deploys, ns: ns, name: a.name, query: "fieldManager=kubectl-rollout", body: func() []byte { return c.deployment(a) }})
		c.rollout(a)
	case n < 86 && a != nil:
		x := pick(c.simulation, a.pods)
		c.do(request{by: p.client, verb: "delete", kind: pods, ns: ns, name: x.name})
		c.move(x)
	case n < 90: // what may I do
		c.do(request{by: p.client, verb: "create", kind: selfSAR})
	case n < 94: // the wrong namespace, twice
		other := pick(c.simulation, []string{"kube-system", "argocd", "velero", "ci"})
		if p.admin {
			c.get(p, pods, other)
			return
		}
		for i := range 1 + c.rand.IntN(2) {
			c.after(time.Duration(i)*20*second, func() {
				c.do(request{by: p.client, verb: "list", kind: pods, ns: other, query: "limit=500", code: 403})
			})
		}
	case n < 96 && ns == "dev": // tries something out
		c.try(p)
	case p.admin:
		c.administer(p)
	default:
		c.get(p, pods, ns)
	}
}

func (c *cluster) appIn(ns string) *app {
	var of []*app
	for _, a := range c.apps {
		if a.ns == ns && len(a.pods) > 0 {
			of = append(of, a)
		}
	}
	if len(of) == 0 {
		return nil
	}
	return pick(c.simulation, of)
}

// enter is exec and the like over a WebSocket, which is a get.
func (c *cluster) enter(by client, sub, ns, name, query string) {
	c.stream(request{by: by, verb: "get", kind: pods, sub: sub, ns: ns, name: name, query: query, code: 101}, c.between(20*second, 20*minute), nil)
}

// k9s watches what it shows, and asks what one may.
func (c *cluster) k9s(p *person, ns string) {
	by := p.client.with(k9sAgent)
	for range 5 {
		c.do(request{by: by, verb: "create", kind: selfSAR})
	}
	for i := range 3 + c.rand.IntN(9) {
		k := everyKind[c.rand.IntN(len(everyKind))]
		if k.resource == "secrets" && !c.chance(20) {
			continue
		}
		c.after(time.Duration(i)*c.between(5*second, 40*second), func() {
			c.do(request{by: by, verb: "list", kind: k, ns: ns, query: "limit=500&resourceVersion=0"})
			c.stream(request{by: by, verb: "watch", kind: k, ns: ns, query: "watch=true"}, c.between(minute, 8*minute), nil)
		})
	}
}

// try is an experiment in the namespace for them.
func (c *cluster) try(p *person) {
	name := "try-" + c.letters(4)
	a := &app{ns: "dev", name: name, replicas: 1, hash: c.letters(10), tag: 1, configs: []string{"kube-root-ca.crt"}}
	for _, k := range []kind{configmaps, services} {
		c.do(request{by: p.client, verb: "create", kind: k, ns: "dev", name: name, query: "fieldManager=kubectl-client-side-apply", body: func() []byte { return c.applied(k, a) }})
	}
	c.do(request{by: p.client, verb: "create", kind: deploys, ns: "dev", name: name, query: "fieldManager=kubectl-client-side-apply", body: func() []byte { return c.deployment(a) }})
	c.rollout(a)
	c.after(c.between(10*minute, 2*hour), func() {
		for _, k := range []kind{deploys, services, configmaps} {
			c.do(request{by: p.client, verb: "delete", kind: k, ns: "dev", name: name})
		}
		for _, x := range a.pods {
			c.stopPod(x)
		}
	})
}

// administer is what the platform team does in the cluster.
func (c *cluster) administer(p *person) {
	switch c.rand.IntN(6) {
	case 0:
		for _, n := range c.nodes[:8] {
			c.do(request{by: p.client, verb: "get", kind: nodes, name: n.name})
		}
	case 1:
		c.do(request{by: p.client, verb: "list", kind: pods, query: "limit=500"})
		c.do(request{by: p.client, verb: "list", kind: kind{"metrics.k8s.io", "v1beta1", "nodes"}})
	case 2: // an alert rule by hand
		c.do(request{by: p.client, verb: "get", kind: kind{"monitoring.coreos.com", "v1", "prometheusrules"}, ns: "monitoring", name: "platform"})
		c.do(request{by: p.client, verb: "patch", kind: kind{"monitoring.coreos.com", "v1", "prometheusrules"}, ns: "monitoring", name: "platform"})
	case 3: // a new team member's rights
		name := "team-" + c.letters(3)
		c.do(request{by: p.client, verb: "patch", kind: bindings, ns: pick(c.simulation, c.team), name: "editors", body: func() []byte {
			return write(object{"kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": object{"name": "editors"}, "roleRef": object{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
				"subjects": []any{object{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "oidc:" + name}}})
		}})
	case 4:
		for _, k := range []kind{crs, crbs, crds} {
			c.do(request{by: p.client, verb: "list", kind: k, query: "limit=500"})
		}
	default:
		c.do(request{by: p.client, verb: "list", kind: csrs, query: "limit=500"})
	}
}

// onCall is somebody who is woken by an alert: from home, and quick.
func (c *cluster) onCall(p *person) {
	p.address = p.home
	ns := pick(c.simulation, c.team[:8])
	a := c.appIn(ns)
	if a == nil {
		return
	}
	c.unauthorized(p.client)
	c.after(25*second, func() {
		c.get(p, pods, ns)
		c.get(p, deploys, ns)
		for i := range min(3, len(a.pods)) {
			c.do(request{by: p.client, verb: "get", kind: pods, sub: "log", ns: ns, name: a.pods[i].name, query: "tailLines=1000"})
		}
	})
	c.after(4*minute, func() {
		if len(a.pods) > 0 {
			c.enter(p.client, "exec", ns, a.pods[0].name, "command=sh&stdin=true&stdout=true&tty=true")
		}
	})
	c.after(11*minute, func() {
		c.scale(p.client, a, a.replicas+2)
		c.do(request{by: p.client, verb: "patch", kind: deploys, ns: ns, name: a.name, query: "fieldManager=kubectl-rollout", body: func() []byte { return c.deployment(a) }})
	})
}
