package attach

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// TestManifestsOnACluster applies what is printed to a cluster with RBAC, and runs
// two replicas with no more rights than it gives them.
func TestManifestsOnACluster(t *testing.T) {
	api := server.Start(t, server.Options{})
	dir := t.TempDir()
	run := &stock{t: t, dir: dir}
	kubectl := func(kubeconfig, stdin string, args ...string) string {
		t.Helper()
		out, err := run.kubectl(kubeconfig, stdin, args...)
		if err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, out)
		}
		return out
	}
	for _, text := range []string{printManifests(t, "--bootstrap-tokens").text, printManifests(t).text} {
		if out := kubectl(api.Kubeconfig(), text, "apply", "-f", "-"); strings.Contains(out, "would violate PodSecurity") {
			t.Errorf("kubectl warns:\n%s", out)
		}
	}
	before := printManifests(t, "--kubeconfig", api.Kubeconfig())
	if !strings.Contains(before.files["authorize.kubeconfig"], `certificate-authority-data: ""`) {
		t.Error("there is a CA before there is a replica")
	}

	// The service account's credentials, which a pod would find in itself.
	token := strings.TrimSpace(kubectl(api.Kubeconfig(), "", "create", "token", "gatehouse-attach", "-n", "gatehouse-system"))
	replica := api.AdminConfig(t)
	kubeconfig := filepath.Join(dir, "replica.kubeconfig")
	write(t, kubeconfig, []byte("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \""+replica.Host+"\", certificate-authority-data: "+caOf(t, api.Kubeconfig())+
		"}}]\nusers: [{name: u, user: {token: "+token+"}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\n"))
	write(t, filepath.Join(dir, "tokens.csv"), []byte("jane-token-0123456789,jane,1001\n"))
	gatehouse, err := server.Binary()
	passes(t, err)
	var addresses []string
	for range 2 {
		address, health := server.FreeAddress(t), server.FreeAddress(t)
		launch(t, gatehouse, "attach", "--kubeconfig", kubeconfig, "--listen", address, "--health-listen", health, "--token-file", filepath.Join(dir, "tokens.csv"))
		addresses = append(addresses, address)
		server.Eventually(t, 30*time.Second, func(context.Context) error { return ask(health, "/readyz", http.StatusOK) })
	}

	// Every replica is believed by the one CA that is printed now.
	config, err := clientcmd.Load([]byte(printManifests(t, "--kubeconfig", api.Kubeconfig(), "--cluster-ip", "10.96.0.53").files["authorize.kubeconfig"]))
	passes(t, err)
	cluster := config.Clusters["gatehouse"]
	pool := x509.NewCertPool()
	if cluster.Server != "https://10.96.0.53/authorize" || !pool.AppendCertsFromPEM(cluster.CertificateAuthorityData) {
		t.Fatalf("got %+v", cluster)
	}
	for _, address := range addresses {
		web, err := rest.HTTPClientFor(&rest.Config{Host: "https://" + address, TLSClientConfig: rest.TLSClientConfig{
			CAData: cluster.CertificateAuthorityData, ServerName: cluster.TLSServerName}})
		passes(t, err)
		for path, review := range map[string]string{
			"/authorize":    `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"x","groups":["gatehouse:admins"],"resourceAttributes":{"verb":"delete","resource":"nodes"}}}`,
			"/authenticate": `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"jane-token-0123456789"}}`,
		} {
			resp, err := web.Post("https://"+address+path, "application/json", strings.NewReader(review))
			passes(t, err)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", path, resp.Status)
			}
		}
	}
	// What the replica's account may not do: it views what policies look up, and no more.
	for _, args := range [][]string{{"get", "secrets", "-A"}, {"get", "secret", "other", "-n", "gatehouse-system"}, {"get", "nodes"}, {"delete", "pod", "x", "-n", "default"}} {
		if out, err := run.kubectl(kubeconfig, "", args...); err == nil || !strings.Contains(out, "Forbidden") {
			t.Errorf("kubectl %v as a replica: %v\n%s", args, err, out)
		}
	}
}

// caOf is the CA of a kubeconfig's cluster, as it is written there.
func caOf(t *testing.T, kubeconfig string) string {
	t.Helper()
	data, err := os.ReadFile(kubeconfig)
	passes(t, err)
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "certificate-authority-data: "); ok {
			return value
		}
	}
	t.Fatal(fmt.Errorf("no CA in %s", kubeconfig))
	return ""
}
