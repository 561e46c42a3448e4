package events

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

const hexDigits = "0123456789abcdef"

// uuid is a random UUID of version 4.
func uuid(r *rand.Rand) string {
	var b [36]byte
	hi, lo := r.Uint64(), r.Uint64()
	for i := range b {
		var nibble byte
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			b[i] = '-'
			continue
		case i < 18:
			nibble = byte(hi & 15)
			hi >>= 4
		default:
			nibble = byte(lo & 15)
			lo >>= 4
		}
		switch i {
		case 14:
			nibble = 4
		case 19:
			nibble = 8 | nibble&3
		}
		b[i] = hexDigits[nibble]
	}
	return string(b[:])
}

// suffix is what Kubernetes puts behind generated names.
func suffix(r *rand.Rand, n int) string {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

// skewed chooses among n, the first far more often than the last.
func skewed(r *rand.Rand, n int) int {
	f := r.Float64()
	return int(float64(n) * f * f * f)
}

// actor is who makes requests.
type actor struct {
	user, uid string
	groups    []string
	extra     map[string][]string
	ip, agent string
	reason    string // by which authorization allows it
	namespace int    // its own
	apiGroup  string // of the kinds an operator owns
	kind      string
}

// workload is a Deployment with its pods, which come and go.
type workload struct {
	name, hash string
	pods       []string
}

type namespace struct {
	name      string
	workloads []workload
}

// population are all of a cluster.
type population struct {
	namespaces                           []namespace
	people, accounts, nodes, controllers []actor
	addresses                            []string // of the nodes
	secrets, configMaps, roles           []string
}

func newPopulation(r *rand.Rand) *population {
	p := &population{}
	words := []string{"shop", "checkout", "cart", "search", "catalog", "billing", "ledger", "mail", "media", "gateway", "auth", "profile", "orders", "stock", "pricing", "reports", "etl", "ml", "edge", "infra"}
	for i := range 60 {
		ns := namespace{name: words[i%len(words)] + []string{"", "-staging", "-dev"}[i/len(words)]}
		for w := range 4 + r.IntN(8) {
			wl := workload{name: words[(i+w*7)%len(words)] + []string{"-api", "-worker", "-web", "-cron"}[w%4], hash: suffix(r, 10)}
			for range 2 + r.IntN(10) {
				wl.pods = append(wl.pods, wl.name+"-"+wl.hash+"-"+suffix(r, 5))
			}
			ns.workloads = append(ns.workloads, wl)
		}
		p.namespaces = append(p.namespaces, ns)
	}
	for i := range 120 {
		ip := fmt.Sprintf("10.20.%d.%d", i/40, 10+i%40)
		name := fmt.Sprintf("ip-10-20-%d-%d.eu-central-1.compute.internal", i/40, 10+i%40)
		p.addresses = append(p.addresses, ip)
		p.nodes = append(p.nodes, actor{
			user: "system:node:" + name, groups: []string{"system:nodes", "system:authenticated"}, ip: ip,
			extra: map[string][]string{"authentication.kubernetes.io/credential-id": {"X509SHA256=" + digest(r)}},
			agent: "kubelet/v1.37.2 (linux/amd64) kubernetes/8f0e3c1",
		})
	}
	p.addAccounts(r)
	p.addPeople(r)
	for i := range 400 {
		p.secrets = append(p.secrets, words[i%len(words)]+[]string{"-tls", "-db", "-token", "-registry", "-oauth"}[i%5]+strconv.Itoa(i/20))
		p.configMaps = append(p.configMaps, words[i%len(words)]+[]string{"-config", "-env", "-dashboards"}[i%3]+strconv.Itoa(i/30))
		p.roles = append(p.roles, words[i%len(words)]+[]string{"-reader", "-editor", "-deployer", "-admin"}[i%4])
	}
	p.secrets = append(p.secrets, "kube-root")
	p.configMaps = append(p.configMaps, "kube-root-ca.crt")
	return p
}

func digest(r *rand.Rand) string {
	return fmt.Sprintf("%016x%016x%016x%016x", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
}

// addAccounts adds service accounts: those of controllers, operators and workloads.
func (p *population) addAccounts(r *rand.Rand) {
	for i, name := range []string{"deployment-controller", "replicaset-controller", "endpointslice-controller", "job-controller", "cronjob-controller", "namespace-controller", "generic-garbage-collector", "horizontal-pod-autoscaler", "node-controller", "persistent-volume-binder", "resourcequota-controller", "statefulset-controller"} {
		p.controllers = append(p.controllers, actor{
			user: "system:serviceaccount:kube-system:" + name, uid: uuid(r), ip: fmt.Sprintf("10.20.0.%d", 2+i%3),
			groups: []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"},
			extra:  map[string][]string{"authentication.kubernetes.io/credential-id": {"JTI=" + uuid(r)}},
			agent:  "kube-controller-manager/v1.37.2 (linux/amd64) kubernetes/8f0e3c1/system:serviceaccount:kube-system:" + name,
			reason: fmt.Sprintf("RBAC: allowed by ClusterRoleBinding %q of ClusterRole %q to ServiceAccount \"%s/kube-system\"", "system:controller:"+name, "system:controller:"+name, name),
		})
	}
	groups := []string{"cert-manager.io", "monitoring.coreos.com", "argoproj.io", "external-secrets.io", "networking.istio.io", "keda.sh", "postgresql.cnpg.io", "kafka.strimzi.io"}
	kinds := []string{"certificates", "servicemonitors", "applications", "externalsecrets", "virtualservices", "scaledobjects", "clusters", "kafkatopics"}
	agents := []string{"cert-manager-controller/v1.19.1 (linux/amd64) cert-manager/1f2e", "operator/v0.85.0 (linux/amd64) prometheus-operator/3e1", "argocd-application-controller/v3.1.0 (linux/amd64) kubernetes/$Format", "external-secrets/v0.19 (linux/amd64)", "pilot-discovery/1.27 (linux/amd64)", "keda/2.17.1 (linux/amd64)", "manager/v1.26.0 (linux/amd64)", "okhttp/4.12.0"}
	for i := range 320 {
		ns := skewed(r, len(p.namespaces))
		name := p.namespaces[ns].workloads[i%len(p.namespaces[ns].workloads)].name
		at := r.IntN(len(p.nodes))
		a := actor{
			user: "system:serviceaccount:" + p.namespaces[ns].name + ":" + name, uid: uuid(r), ip: p.addresses[at], namespace: ns,
			groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + p.namespaces[ns].name, "system:authenticated"},
			apiGroup: groups[i%len(groups)], kind: kinds[i%len(kinds)], agent: agents[i%len(agents)],
			reason: fmt.Sprintf("RBAC: allowed by RoleBinding \"%s/%s\" of Role %q to ServiceAccount \"%s/%s\"", name, p.namespaces[ns].name, name, name, p.namespaces[ns].name),
		}
		a.extra = p.tokenOf(r, name+"-"+suffix(r, 10)+"-"+suffix(r, 5), at)
		p.accounts = append(p.accounts, a)
	}
}

// tokenOf are the extras of a projected token.
func (p *population) tokenOf(r *rand.Rand, pod string, node int) map[string][]string {
	return map[string][]string{
		"authentication.kubernetes.io/credential-id": {"JTI=" + uuid(r)},
		"authentication.kubernetes.io/node-name":     {p.nodes[node].user[len("system:node:"):]},
		"authentication.kubernetes.io/node-uid":      {uuid(r)},
		"authentication.kubernetes.io/pod-name":      {pod},
		"authentication.kubernetes.io/pod-uid":       {uuid(r)},
	}
}

func (p *population) addPeople(r *rand.Rand) {
	first := []string{"jane", "bob", "amara", "li", "noor", "ines", "olu", "sven", "maya", "tomas"}
	last := []string{"doe", "ray", "okafor", "wei", "haddad", "silva", "berg", "novak"}
	teams := []string{"payments", "storefront", "platform", "data", "security"}
	for i := range 40 {
		team := teams[i%len(teams)]
		a := actor{
			user:      first[i%len(first)] + "." + last[i%len(last)] + "@example.com",
			groups:    []string{"oidc:everyone", "oidc:team-" + team, "system:authenticated"},
			ip:        fmt.Sprintf("203.0.113.%d", 20+i),
			agent:     []string{"kubectl/v1.37.2 (darwin/arm64) kubernetes/8f0e3c1", "kubectl/v1.36.1 (linux/amd64) kubernetes/24f1d77", "k9s/v0.50.6 (darwin/arm64) kubernetes/$Format", "Lens/2026.3.1"}[i%4],
			reason:    fmt.Sprintf("RBAC: allowed by ClusterRoleBinding %q of ClusterRole \"edit\" to Group \"oidc:team-%s\"", team+"-edit", team),
			namespace: skewed(r, len(p.namespaces)),
		}
		if team == "platform" {
			a.groups = append([]string{"oidc:cluster-admins"}, a.groups...)
			a.reason = `RBAC: allowed by ClusterRoleBinding "cluster-admins" of ClusterRole "cluster-admin" to Group "oidc:cluster-admins"`
		}
		p.people = append(p.people, a)
	}
}

// churn replaces a pod of a workload, and is the new one.
func (p *population) churn(r *rand.Rand, ns int) (workload *workload, pod string) {
	n := &p.namespaces[ns]
	w := &n.workloads[skewed(r, len(n.workloads))]
	if r.IntN(400) == 0 {
		w.hash = suffix(r, 10)
	}
	pod = w.name + "-" + w.hash + "-" + suffix(r, 5)
	w.pods[r.IntN(len(w.pods))] = pod
	return w, pod
}

// pod is one that is there.
func (p *population) pod(r *rand.Rand, ns int) string {
	n := &p.namespaces[ns]
	w := &n.workloads[skewed(r, len(n.workloads))]
	return w.pods[r.IntN(len(w.pods))]
}
