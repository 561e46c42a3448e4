package attack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// place is where attacks happen: a server, what is told by it, and what was there before.
type place struct {
	server *server.Server
	alerts *server.Alertmanager
	admin  kubernetes.Interface
	any    dynamic.Interface
	worker *rest.Config
}

// secretBodies is the rule of an audit policy by which the two rules see that need bodies of
// Secrets and tokens; see docs/detection.md.
const secretBodies = `- level: Request
  verbs: [create, update, patch]
  resources: [{group: "", resources: [secrets, serviceaccounts/token]}]
`

// startPlace starts a server for as many attackers.
func startPlace(t *testing.T, all []technique) *place {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	var tokens strings.Builder
	for i, q := range all {
		groups := "attackers"
		switch q.may {
		case "nothing", "secrets", "roles":
			groups = q.may
		case "masters":
			groups = "break-glass"
		}
		fmt.Fprintf(&tokens, "%s,%s,%d,%q\n", tokenOf(i), userOf(i), i, groups)
	}
	anonymous := []string{"/healthz", "/livez", "/readyz", "/api/v1/namespaces/" + nsOf(all, "lets everybody in, and comes without a name") + "/pods"}
	for i := range 12 {
		anonymous = append(anonymous, fmt.Sprintf("/api/v1/namespaces/team-%d/secrets", i))
	}
	p := &place{alerts: server.StartAlertmanager(t, server.FreeAddress(t))}
	policy := strings.Replace(string(audit.DefaultPolicy), "rules:\n", "rules:\n"+secretBodies, 1)
	p.server = server.Start(t, server.Options{
		Config: fmt.Sprintf("audit: {policyFile: %s}\nauthentication: {tokenFile: %s, anonymousPaths: [%s]}\ndetection: {alerts: {alertmanagers: [{url: %q}], ratePerMinute: 6000, groupInterval: 1s}}",
			write("policy.yaml", policy), write("tokens.csv", tokens.String()), strings.Join(anonymous, ", "), p.alerts.URL),
	})
	p.admin, p.any = p.server.Admin(t), server.Dynamic(t, p.server.AdminConfig(t))
	p.worker = p.server.UserConfig(t, "system:node:worker", "system:nodes")
	p.furnish(t, all)
	return p
}

func tokenOf(i int) string     { return fmt.Sprintf("token-of-attacker-%d-0123456789abcdef", i) }
func userOf(i int) string      { return fmt.Sprintf("mallory-%02d", i) }
func namespaceOf(i int) string { return fmt.Sprintf("target-%02d", i) }

func nsOf(all []technique, does string) string {
	for i, q := range all {
		if q.does == does {
			return namespaceOf(i)
		}
	}
	return "none"
}

// furnish puts in what attackers find: their rights, namespaces, a node, and a kind of
// Gatekeeper's.
func (p *place) furnish(t *testing.T, all []technique) {
	t.Helper()
	a := &attacker{T: t, place: p, any: p.any}
	for group, role := range map[string]string{
		"attackers":   `[{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}, {nonResourceURLs: ["*"], verbs: ["*"]}]`,
		"secrets":     `[{apiGroups: [""], resources: [secrets], verbs: [get, list]}]`,
		"roles":       `[{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], verbs: [create]}]`,
		"break-glass": `[{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]`,
	} {
		must(t, a.given("{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: given-"+group+"}, rules: "+role+"}"))
		must(t, a.given("{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: given-"+group+"}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: given-"+group+"}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "+group+"}]}"))
	}
	must(t, a.given("{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: noprivileges.constraints.gatekeeper.sh}, spec: {group: constraints.gatekeeper.sh, scope: Cluster, names: {kind: NoPrivilege, plural: noprivileges}, versions: [{name: v1beta1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}"))
	for i := range all {
		must(t, a.given("{apiVersion: v1, kind: Namespace, metadata: {name: "+namespaceOf(i)+", labels: {pod-security.kubernetes.io/enforce: privileged}}}"))
	}
	must(t, a.given("{apiVersion: v1, kind: Node, metadata: {name: worker}}"))
	node, err := p.admin.CoreV1().Nodes().Get(t.Context(), "worker", metav1.GetOptions{})
	must(t, err)
	// Nobody listens there.
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = 1
	_, err = p.admin.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{})
	must(t, err)
	for i := range all { // pods need an account
		server.Eventually(t, time.Minute, func(ctx context.Context) error {
			_, err := p.admin.CoreV1().ServiceAccounts(namespaceOf(i)).Get(ctx, "default", metav1.GetOptions{})
			return err
		})
	}
}

// node is a client with the credential of the node.
func (p *place) node(*attacker) *rest.Config { return rest.CopyConfig(p.worker) }

// account is a client with a token of the default account of the attacker's namespace.
func (p *place) account(a *attacker) (kubernetes.Interface, error) {
	token, err := p.admin.CoreV1().ServiceAccounts(a.ns).CreateToken(a.ctx(), "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(p.server.TokenConfig(a, token.Status.Token))
}

// attacker is the one of a technique.
func (p *place) attacker(t *testing.T, i int) *attacker {
	t.Helper()
	config := p.server.TokenConfig(t, tokenOf(i))
	return &attacker{T: t, place: p, user: userOf(i), ns: namespaceOf(i), config: config, kube: server.Client(t, config), any: server.Dynamic(t, config)}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func pause() { time.Sleep(50 * time.Millisecond) }

// soon tries until something comes about.
func (a *attacker) soon(try func() error) (err error) {
	for range 100 {
		if err = try(); err == nil {
			return nil
		}
		pause()
	}
	return err
}
