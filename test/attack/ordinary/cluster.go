package ordinary

import (
	"fmt"
	"time"
)

// release of the Kubernetes that runs.
const release = "v1.36.2"

const kubeAgent = " (linux/amd64) kubernetes/3f4a1c9"

// cluster is what there is.
type cluster struct {
	*simulation
	nodes []*node
	apps  []*app
	// team has the namespaces of applications; previews come and go.
	team     []string
	previews int

	controllerManager, scheduler, apiserver client
}

type node struct {
	name, address string
	client        client
	// pods are those that run on it, by namespace/name.
	pods map[string]*pod
	gone bool
}

// app is a Deployment and what belongs to it.
type app struct {
	ns, name string
	replicas int
	hash     string // of the ReplicaSet
	tag      int
	pods     []*pod
	secrets  []string
	configs  []string
	scaled   bool // an autoscaler looks after it
	revision int  // of its Helm release
	// byGit says that GitOps deploys it, and not the pipeline.
	byGit bool
}

// pod is a Pod that runs.
type pod struct {
	ns, name, account, address string
	app                        *app
	on                         *node
	over                       bool
	// watching is where the kubelet's watches for it look whether they go on.
	watching *bool
}

func newCluster(s *simulation) *cluster {
	c := &cluster{simulation: s}
	control := "10.10.0.2"
	c.apiserver = client{name: "system:apiserver", groups: []string{"system:authenticated", "system:masters"}, agent: "kube-apiserver/" + release + kubeAgent, address: "::1"}
	c.controllerManager = client{name: "system:kube-controller-manager", groups: []string{"system:authenticated"}, agent: "kube-controller-manager/" + release + kubeAgent, address: control}
	c.scheduler = client{name: "system:kube-scheduler", groups: []string{"system:authenticated"}, agent: "kube-scheduler/" + release + kubeAgent, address: control}
	for i := range 20 {
		c.nodes = append(c.nodes, c.newNode(i+1))
	}
	c.team = []string{"shop", "shop-staging", "payments", "payments-staging", "search", "search-staging", "accounts", "mail", "dev", "data"}
	names := []string{"web", "api", "worker", "cart", "catalog", "gateway", "notifier", "billing", "indexer", "sessions"}
	for i, ns := range c.team {
		for j := range 3 + s.rand.IntN(4) {
			a := &app{ns: ns, name: names[(i+j*3)%len(names)], replicas: 1 + s.rand.IntN(4), hash: s.letters(10), tag: 100 + s.rand.IntN(100), revision: 5 + s.rand.IntN(30), byGit: i%2 == 0}
			a.scaled = j == 0
			a.secrets = []string{a.name + "-env", "registry"}
			a.configs = []string{a.name, "kube-root-ca.crt"}
			c.apps = append(c.apps, a)
		}
	}
	return c
}

func (c *cluster) newNode(i int) *node {
	n := &node{name: fmt.Sprintf("worker-%02d", i), address: fmt.Sprintf("10.10.1.%d", i), pods: map[string]*pod{}}
	n.client = client{name: "system:node:" + n.name, groups: []string{"system:nodes", "system:authenticated"}, agent: "kubelet/" + release + kubeAgent, address: n.address}
	return n
}

// account is a service account that speaks from a pod.
func (c *cluster) account(ns, name, agent string) client {
	return client{
		name: "system:serviceaccount:" + ns + ":" + name, agent: agent, address: fmt.Sprintf("10.20.%d.%d", c.rand.IntN(20), 2+c.rand.IntN(250)),
		groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + ns, "system:authenticated"},
		extra:  map[string][]string{"authentication.kubernetes.io/pod-name": {name + "-" + c.letters(10) + "-" + c.letters(5)}},
	}
}

// controller is a controller of the controller manager, under its own account.
func (c *cluster) controller(name string) client {
	a := c.controllerManager
	a.name = "system:serviceaccount:kube-system:" + name
	a.groups = []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"}
	a.agent = "kube-controller-manager/" + release + kubeAgent + "/system:serviceaccount:kube-system:" + name
	return a
}

// start sets everything going.
func (c *cluster) start() {
	for _, a := range c.apps {
		for range a.replicas {
			c.place(a)
		}
	}
	for _, n := range c.nodes {
		c.kubelet(n)
	}
	c.controlPlane()
	c.network()
	c.autoscaling()
	c.monitoring()
	c.certificates()
	c.ingress()
	c.backup()
	c.gitops()
	c.pipelines()
	c.cronjobs()
	c.people()
	c.maintenance()
	c.trouble()
}

// place puts a pod of an app on a node without a word: it was there before.
func (c *cluster) place(a *app) *pod {
	p := &pod{ns: a.ns, name: a.name + "-" + a.hash + "-" + c.letters(5), account: a.name, app: a, on: c.roomy(), address: fmt.Sprintf("10.20.%d.%d", c.rand.IntN(20), 2+c.rand.IntN(250))}
	a.pods = append(a.pods, p)
	p.on.pods[p.ns+"/"+p.name] = p
	return p
}

// roomy is a node that takes a pod.
func (c *cluster) roomy() *node {
	for {
		if n := pick(c.simulation, c.nodes); !n.gone {
			return n
		}
	}
}

const second, minute, hour = time.Second, time.Minute, time.Hour
