package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// TestStockAudit has a stock kube-apiserver post its events to gatehouse attach, and
// asks about them through its aggregator, with the rights of those who ask.
func TestStockAudit(t *testing.T) {
	s := newStock(t)
	gatehouse, err := server.Binary()
	passes(t, err)
	webhookCA := newSigner(t, "webhook-ca")
	write(t, s.path("webhook-ca.crt"), webhookCA.pem())
	webhookCA.issue(t, s.path("client"), "kube-apiserver")
	proxyCA := newSigner(t, "proxy-ca")
	write(t, s.path("proxy-ca.crt"), proxyCA.pem())
	proxyCA.issue(t, s.path("proxy"), "front-proxy-client")
	s.ca.issue(t, s.path("jane"), "jane", "devs")
	jane := s.kubeconfig("jane", "client-certificate: "+s.path("jane.crt")+", client-key: "+s.path("jane.key"))
	admin := s.path("admin.kubeconfig")

	address, api := server.FreeAddress(t), server.FreeAddress(t)
	write(t, s.path("attach.yaml"), []byte("apiVersion: gatehouse.io/v1alpha1\nkind: AttachConfiguration\nlisten: "+address+
		"\ncluster: {kubeconfig: admin.kubeconfig}\ntls: {dataDir: attach, sans: [gatehouse-audit-local.gatehouse-system.svc]}\nclient: {caFile: webhook-ca.crt, names: [kube-apiserver]}\naudit: {apiListen: "+api+", store: {dataDir: events}}\ndetection: {alerts: {files: [{path: alerts.json}]}}\n"))
	// Its CA is made before the cluster is there, for the API server's file.
	first := launch(t, gatehouse, "attach", "--config", s.path("attach.yaml"))
	var printed manifest
	server.Eventually(t, 30*time.Second, func(context.Context) error {
		out, stderr, code := server.Command(t, "attach", "manifests", "--audit", "--data-dir", s.path("attach"), "--server", "https://"+address, "--audit-server", "https://"+address,
			"--folder", s.dir, "--client-ca", s.path("webhook-ca.crt"), "--client-name", "kube-apiserver")
		if code != 0 {
			return errors.New(stderr)
		}
		printed = filesOf(t, out)
		return nil
	})
	first.kill()
	write(t, s.path("audit.kubeconfig"), []byte(printed.files["audit.kubeconfig"]))
	write(t, s.path("policy.yaml"), []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: RequestResponse, omitStages: [RequestReceived]}]\n"))
	s.serve("--authorization-mode=RBAC", "--audit-webhook-config-file="+s.path("audit.kubeconfig"), "--audit-policy-file="+s.path("policy.yaml"), "--audit-webhook-batch-max-wait=200ms",
		"--requestheader-client-ca-file="+s.path("proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+s.path("proxy.crt"), "--proxy-client-key-file="+s.path("proxy.key"))
	attached := launch(t, gatehouse, "attach", "--config", s.path("attach.yaml"))

	// The manifests are good objects. The cluster has no pods, so the aggregator is led
	// to this process by a Service without a selector.
	if out, err := s.kubectl(admin, printed.text, "apply", "-f", "-"); err != nil {
		t.Fatalf("apply the manifests: %v\n%s", err, out)
	}
	_, port, err := net.SplitHostPort(api)
	passes(t, err)
	// Endpoints may not be loopback addresses, so the Service is of another kind.
	service := `apiVersion: v1
kind: Service
metadata: {name: gatehouse-audit-local, namespace: gatehouse-system}
spec: {type: ExternalName, externalName: localhost, ports: [{name: api, port: ` + port + `}]}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1alpha1.audit.gatehouse.io}
spec:
  group: audit.gatehouse.io
  version: v1alpha1
  groupPriorityMinimum: 100
  versionPriority: 10
  caBundle: ` + caBundle(t, printed.text) + `
  service: {name: gatehouse-audit-local, namespace: gatehouse-system, port: ` + port + `}
`
	if out, err := s.kubectl(admin, service, "apply", "-f", "-"); err != nil {
		t.Fatalf("lead the aggregator here: %v\n%s", err, out)
	}
	const marker = "planted-77ab0194"
	for _, args := range [][]string{{"create", "namespace", "shop"}, {"-n", "shop", "create", "secret", "generic", "db", "--from-literal=password=" + marker}} {
		if out, err := s.kubectl(admin, "", args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	list := func(kubeconfig, path string) (string, error) {
		return s.kubectl(kubeconfig, "", "get", "--raw", "/apis/audit.gatehouse.io/v1alpha1/"+path)
	}
	server.Eventually(t, 60*time.Second, func(context.Context) error {
		out, err := list(admin, "auditevents?resource=secrets&verb=create&namespace=shop")
		if err != nil || !strings.Contains(out, `"auditID"`) {
			return errors.Join(err, errors.New(out))
		}
		if strings.Contains(out, marker) {
			t.Errorf("the secret was kept: %s", out)
		}
		return nil
	})
	// What the events show is told; a rule of the cluster's own counts too.
	rule := "apiVersion: gatehouse.io/v1alpha1\nkind: DetectionRule\nmetadata: {name: bait}\nspec: {title: t, severity: high, message: '{{user}} took it', match: {resources: [configmaps], verbs: [get]}, condition: 'event.objectRef.name == \"bait\"', key: [user]}\n"
	if out, err := s.kubectl(admin, rule, "apply", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	server.Eventually(t, 60*time.Second, func(context.Context) error {
		out, err := s.kubectl(admin, "", "get", "detectionrule", "bait", "-o", `jsonpath={range .status.conditions[*]}{.type}={.status} {end}`)
		if err != nil || out != "Accepted=True Sighted=Unknown " {
			return errors.Join(err, errors.New(out))
		}
		return nil
	})
	for _, args := range [][]string{{"create", "clusterrolebinding", "evil", "--clusterrole=cluster-admin", "--user=eve"}, {"get", "configmap", "bait", "--ignore-not-found"}} {
		if out, err := s.kubectl(admin, "", args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	server.Eventually(t, 30*time.Second, func(context.Context) error {
		told, err := os.ReadFile(s.path("alerts.json"))
		for _, want := range []string{`"rule":"cluster-admin-binding"`, `"rule":"bait"`, "by the ClusterRoleBinding evil to eve", `"reach":`} {
			if err == nil && !strings.Contains(string(told), want) {
				err = fmt.Errorf("no %s in %s", want, told)
			}
		}
		return err
	})
	if out, err := list(jane, "namespaces/shop/auditevents"); err == nil || !strings.Contains(out, "Forbidden") {
		t.Errorf("jane asked without a role: %v %s", err, out)
	}
	role := "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: auditor, namespace: shop}\nrules: [{apiGroups: [audit.gatehouse.io], resources: [auditevents], verbs: [get, list]}]\n" +
		"---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: auditor, namespace: shop}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: auditor}\nsubjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: devs}]\n"
	if out, err := s.kubectl(admin, role, "apply", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	server.Eventually(t, 30*time.Second, func(context.Context) error {
		_, err := list(jane, "namespaces/shop/auditevents")
		return err
	})
	if out, err := list(jane, "auditevents"); err == nil || !strings.Contains(out, "Forbidden") {
		t.Errorf("jane asked about the whole cluster: %v %s", err, out)
	}
	// The command line asks the same way; the question itself is an event.
	server.Eventually(t, 30*time.Second, func(context.Context) error {
		out, stderr, code := server.Command(t, "audit", "query", "--kubeconfig", admin, "--user", "jane", "--resource", "auditevents.audit.gatehouse.io", "-o", "jsonl")
		var e struct{ User struct{ Username string } }
		if code != 0 || json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &e) != nil || e.User.Username != "jane" {
			return errors.New(out + stderr)
		}
		return nil
	})

	// What is posted while nobody listens is posted again.
	attached.kill()
	if out, err := s.kubectl(admin, "", "-n", "shop", "create", "configmap", "while-it-was-down"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	attached = attached.again(t)
	server.Eventually(t, 60*time.Second, func(context.Context) error {
		out, err := list(admin, "auditevents?name=while-it-was-down&verb=create&stage=ResponseComplete")
		if err != nil || strings.Count(out, `"auditID"`) != 1 {
			return errors.Join(err, errors.New(out))
		}
		return nil
	})
	if code := attached.stop(t); code != 0 {
		t.Errorf("stopped with exit code %d", code)
	}
	if out, stderr, code := server.Command(t, "audit", "verify", "--store", s.path("events")); code != 0 {
		t.Errorf("verify: exit code %d: %s%s", code, out, stderr)
	}
}

// caBundle is that of the printed APIService.
func caBundle(t *testing.T, text string) string {
	t.Helper()
	_, rest, _ := strings.Cut(text, "\n  caBundle: ")
	bundle, _, ok := strings.Cut(rest, "\n")
	if !ok {
		t.Fatal("no caBundle was printed")
	}
	return bundle
}
