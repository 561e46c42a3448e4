package attach

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authorization/authorizer"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/attach"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// overhear is an authorizer without opinions that remembers what it is asked.
type overhear struct {
	mu    sync.Mutex
	asked []authorizer.AttributesRecord
}

func (o *overhear) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, *a.(*authorizer.AttributesRecord))
	return authorizer.DecisionNoOpinion, "", nil
}

// find returns the first question that fits.
func (o *overhear) find(fits func(*authorizer.AttributesRecord) bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.asked {
		if fits(&o.asked[i]) {
			return nil
		}
	}
	return fmt.Errorf("none of %d questions fits", len(o.asked))
}

// manifest is what `gatehouse attach manifests` prints, and the files in it.
type manifest struct {
	text  string
	files map[string]string
}

func printManifests(t *testing.T, args ...string) manifest {
	t.Helper()
	out, stderr, code := server.Command(t, append([]string{"attach", "manifests"}, args...)...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	return filesOf(t, out)
}

func filesOf(t *testing.T, out string) manifest {
	t.Helper()
	for document := range strings.SplitSeq(out, "\n---\n") {
		var object struct {
			Kind     string
			Metadata struct{ Name string }
			Data     map[string]string
		}
		passes(t, yaml.Unmarshal([]byte(document), &object))
		if object.Kind == "ConfigMap" && object.Metadata.Name == "gatehouse-attach-api-server" {
			return manifest{out, object.Data}
		}
	}
	t.Fatalf("no ConfigMap with the API server's files in\n%s", out)
	return manifest{}
}

// TestStockCluster is one cluster, in the order an operator would set it up.
func TestStockCluster(t *testing.T) {
	s := newStock(t)
	gatehouse, err := server.Binary()
	passes(t, err)

	// What the webhooks of the API server prove themselves with, by another CA
	// than that of the users.
	webhookCA := newSigner(t, "webhook-ca")
	write(t, s.path("webhook-ca.crt"), webhookCA.pem())
	webhookCA.issue(t, s.path("client"), "kube-apiserver")
	webhookCA.issue(t, s.path("stranger"), "stranger")

	write(t, s.path("tokens.csv"), []byte("jane-token-0123456789,jane,1001,\"devs\"\nsam-token-0123456789,sam,1002,\"devs\"\n"))
	address, health := server.FreeAddress(t), server.FreeAddress(t)
	attached := launch(t, gatehouse, "attach", "--kubeconfig", s.path("admin.kubeconfig"), "--data-dir", s.path("attach"),
		"--listen", address, "--health-listen", health, "--token-file", s.path("tokens.csv"),
		"--client-ca", s.path("webhook-ca.crt"), "--client-name", "kube-apiserver")
	server.Eventually(t, 30*time.Second, func(context.Context) error { return ask(health, "/livez", http.StatusOK) })
	if err := ask(health, "/readyz", http.StatusInternalServerError); err != nil {
		t.Errorf("ready before there is a cluster: %v", err)
	}

	printed := printManifests(t, "--data-dir", s.path("attach"), "--server", "https://"+address, "--folder", s.dir,
		"--client-ca", s.path("webhook-ca.crt"), "--client-name", "kube-apiserver")
	for name, text := range printed.files {
		write(t, s.path(name), []byte(text))
	}
	heard := &overhear{}
	listener := httptest.NewTLSServer(overheard(t, heard))
	t.Cleanup(listener.Close)
	write(t, s.path("overhear.kubeconfig"), []byte("apiVersion: v1\nkind: Config\nclusters: [{name: o, cluster: {server: \""+listener.URL+
		"/authorize\", certificate-authority: "+s.path("overhear.crt")+"}}]\nusers: [{name: u, user: {}}]\ncontexts: [{name: c, context: {cluster: o, user: u}}]\ncurrent-context: c\n"))
	write(t, s.path("overhear.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: listener.Certificate().Raw}))
	write(t, s.path("authorization.yaml"), []byte(alone(t, printed.files["authorization.yaml"], s.path("overhear.kubeconfig"))))

	s.serve("--authorization-config="+s.path("authorization.yaml"),
		"--authentication-token-webhook-config-file="+s.path("authenticate.kubeconfig"),
		"--authentication-token-webhook-version=v1", "--authentication-token-webhook-cache-ttl=1s")
	admin := s.path("admin.kubeconfig")
	if out, err := s.kubectl(admin, printed.text, "apply", "-f", "-"); err != nil {
		t.Fatalf("apply the manifests: %v\n%s", err, out)
	}
	ready := func(context.Context) error { return ask(health, "/readyz?verbose", http.StatusOK) }
	server.Eventually(t, 60*time.Second, ready)

	must := func(want string, args ...string) {
		t.Helper()
		if out, err := s.kubectl(admin, "", args...); err != nil || !strings.Contains(out, want) {
			t.Fatalf("kubectl %v: %v\n%s", args, err, out)
		}
	}
	must("created", "create", "namespace", "shop")
	must("created", "create", "role", "reader", "-n", "shop", "--verb=get,list", "--resource=pods")
	must("created", "create", "rolebinding", "readers", "-n", "shop", "--role=reader", "--group=devs")
	must("created", "create", "clusterrole", "discover", "--verb=get", "--non-resource-url=/api,/api/*,/apis,/apis/*,/version")
	must("created", "create", "clusterrolebinding", "discover", "--clusterrole=discover", "--group=system:authenticated")
	must("created", "create", "clusterrole", "whoami", "--verb=create", "--resource=selfsubjectreviews.authentication.k8s.io")
	must("created", "create", "clusterrolebinding", "whoami", "--clusterrole=whoami", "--group=system:authenticated")
	jane, sam := s.kubeconfig("jane", "token: jane-token-0123456789"), s.kubeconfig("sam", "token: sam-token-0123456789")
	s.ca.issue(t, s.path("mia"), "mia", "devs")
	mia := s.kubeconfig("mia", "client-certificate: "+s.path("mia.crt")+", client-key: "+s.path("mia.key"))

	// says waits until a command succeeds, or is refused, and says something.
	says := func(t *testing.T, kubeconfig string, ok bool, want string, args ...string) {
		t.Helper()
		server.Eventually(t, 60*time.Second, func(context.Context) error {
			out, err := s.kubectl(kubeconfig, "", args...)
			if (err == nil) != ok || !strings.Contains(out, want) {
				return fmt.Errorf("kubectl %v: %v, want %q in:\n%s", args, err, want, out)
			}
			t.Logf("$ kubectl %s\n%s", strings.Join(args, " "), out)
			return nil
		})
	}
	list := []string{"get", "pods", "-n", "shop"}

	t.Run("a binding allows", func(t *testing.T) {
		says(t, jane, true, "No resources found", list...)
		says(t, mia, true, "No resources found", list...)
	})
	t.Run("nothing else is allowed", func(t *testing.T) {
		says(t, jane, false, `User "jane" cannot list resource "secrets" in API group "" in the namespace "shop"`, "get", "secrets", "-n", "shop")
		says(t, mia, false, `User "mia" cannot list resource "pods" in API group "" at the cluster scope`, "get", "pods", "-A")
	})
	t.Run("the verdict says why", func(t *testing.T) {
		out, err := s.kubectl(admin, `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"jane","groups":["devs"],"resourceAttributes":{"namespace":"shop","verb":"list","resource":"pods"}}}`,
			"create", "-f", "-", "-o", "yaml")
		if err != nil || !strings.Contains(out, "allowed: true") || !strings.Contains(out, `RoleBinding "readers/shop"`) {
			t.Errorf("got %v\n%s", err, out)
		}
	})
	t.Run("a Guard denies, with its reason", func(t *testing.T) {
		guard := "apiVersion: gatehouse.io/v1alpha1\nkind: Guard\nmetadata: {name: frozen}\n" +
			"spec: {subjects: {groups: [devs]}, verbs: [get], resources: [pods], names: [till], namespaces: [shop], reason: the till is closed}\n"
		says(t, mia, false, "NotFound", "get", "pod", "till", "-n", "shop")
		if out, err := s.kubectl(admin, guard, "create", "-f", "-"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		says(t, mia, false, "the till is closed", "get", "pod", "till", "-n", "shop")
		says(t, mia, false, "NotFound", "get", "pod", "other", "-n", "shop")
		must("deleted", "delete", "guard", "frozen")
		says(t, mia, false, "NotFound", "get", "pod", "till", "-n", "shop")
	})
	t.Run("a grant ends", func(t *testing.T) {
		end := time.Now().Add(6 * time.Second).UTC().Format(time.RFC3339)
		grant := "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: night, namespace: shop, annotations: {gatehouse.io/expires-at: \"" + end + "\", gatehouse.io/reason: night shift}}\n" +
			"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}\nsubjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: nina}]\n"
		s.ca.issue(t, s.path("nina"), "nina")
		nina := s.kubeconfig("nina", "client-certificate: "+s.path("nina.crt")+", client-key: "+s.path("nina.key"))
		if out, err := s.kubectl(admin, grant, "create", "-f", "-"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		says(t, nina, true, "No resources found", list...)
		says(t, nina, false, `User "nina" cannot list`, list...)
		says(t, admin, false, "NotFound", "get", "rolebinding", "night", "-n", "shop")
		says(t, admin, true, "night shift", "get", "events.events.k8s.io", "-n", "shop", "-o", "jsonpath={.items[*].note}")
	})
	t.Run("a static token is somebody", func(t *testing.T) {
		says(t, jane, true, "jane", "auth", "whoami")
		nobody := s.kubeconfig("nobody", "token: jane-token-012345678")
		says(t, nobody, false, "Unauthorized", list...)
	})
	t.Run("selectors reach the authorizer", func(t *testing.T) {
		says(t, jane, true, "No resources found", "get", "pods", "-n", "shop", "--field-selector", "spec.nodeName=n1", "-l", "tier in (a,b),!old")
		server.Eventually(t, 10*time.Second, func(context.Context) error {
			return heard.find(func(a *authorizer.AttributesRecord) bool {
				fields, _ := a.GetFieldSelector()
				labels, _ := a.GetLabelSelector()
				return a.GetUser().GetName() == "jane" && a.GetVerb() == "list" && len(fields) == 1 && fields[0].Field == "spec.nodeName" && fields[0].Value == "n1" &&
					len(labels) == 2 && labels[0].String() == "!old" && labels[1].String() == "tier in (a,b)"
			})
		})
	})
	t.Run("a revoked token is nobody", func(t *testing.T) {
		says(t, sam, true, "No resources found", list...)
		revocation := "apiVersion: gatehouse.io/v1alpha1\nkind: Revocation\nmetadata: {name: sam}\nspec: {user: {name: sam, issuedBefore: \"2999-01-01T00:00:00Z\"}, reason: laptop lost}\n"
		if out, err := s.kubectl(admin, revocation, "create", "-f", "-"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		says(t, sam, false, "Unauthorized", list...)
		says(t, jane, true, "No resources found", list...)
		must("deleted", "delete", "revocation", "sam")
		says(t, sam, true, "No resources found", list...)
	})
	t.Run("a role that changes counts", func(t *testing.T) {
		must("created", "create", "role", "keeper", "-n", "shop", "--verb=list", "--resource=secrets")
		must("created", "create", "rolebinding", "keepers", "-n", "shop", "--role=keeper", "--user=mia")
		says(t, mia, true, "No resources found", "get", "secrets", "-n", "shop")
		must("deleted", "delete", "rolebinding", "keepers", "-n", "shop")
		says(t, mia, false, "cannot list resource", "get", "secrets", "-n", "shop")
	})
	t.Run("only the API server may ask", func(t *testing.T) {
		for _, cert := range []string{"", "stranger", "mia"} {
			if err := shows(s, address, cert); err == nil {
				t.Errorf("with the certificate %q a stranger is answered", cert)
			}
		}
		passes(t, shows(s, address, "client"))
	})
	t.Run("without Gatehouse nothing is allowed, and with it again", func(t *testing.T) {
		if code := attached.stop(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
		says(t, mia, false, "connection refused", list...) // an error that a stock API server answers with 500
		says(t, jane, false, "Unauthorized", list...)
		must("shop", "get", "namespaces") // system:masters goes past every authorizer
		attached = attached.again(t)
		server.Eventually(t, 60*time.Second, ready)
		says(t, mia, true, "No resources found", list...)
		says(t, jane, true, "No resources found", list...)
	})
	t.Run("no token is in the log", func(t *testing.T) {
		if strings.Contains(attached.log.String(), "token-0123456789") {
			t.Error("it is")
		}
	})
}

// alone is the printed AuthorizationConfiguration less the authorizers after
// Gatehouse, and with one before that overhears; answers are kept for a second.
func alone(t *testing.T, printed, overhear string) string {
	t.Helper()
	text, _, cut := strings.Cut(printed, "- type: Node")
	head, gate, both := strings.Cut(text, "authorizers:\n")
	if !cut || !both {
		t.Fatalf("the printed file has changed:\n%s", printed)
	}
	gate = strings.ReplaceAll(gate, "TTL: 10s", "TTL: 1s")
	return head + "authorizers:\n" + `- type: Webhook
  name: overhear
  webhook: {subjectAccessReviewVersion: v1, matchConditionSubjectAccessReviewVersion: v1, timeout: 3s, failurePolicy: NoOpinion,
    authorizedTTL: 1s, unauthorizedTTL: 1s, connectionInfo: {type: KubeConfigFile, kubeConfigFile: ` + overhear + "}}\n" + gate
}

// overheard is the endpoint /authorize before an authorizer of the test.
func overheard(t *testing.T, o *overhear) http.Handler {
	t.Helper()
	s, err := attach.New(attach.Options{Endpoints: []attach.Endpoint{attach.Authorize(o)}})
	passes(t, err)
	return s.Handler()
}

// ask gets a path of the unencrypted address.
func ask(address, path string, want int) error {
	resp, err := http.Get("http://" + address + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		return errors.New(path + " answers " + resp.Status)
	}
	return nil
}
