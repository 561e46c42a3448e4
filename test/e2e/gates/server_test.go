package gates

import (
	"io"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// get asks for a path with the client's credentials.
func get(t *testing.T, config *rest.Config, path string) (*http.Response, string) {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	passes(t, err)
	resp, err := client.Get(config.Host + path)
	passes(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	passes(t, err)
	return resp, string(body)
}

func TestVersion(t *testing.T) {
	v, err := shared(t).Admin(t).Discovery().ServerVersion()
	passes(t, err)
	if !strings.HasPrefix(v.GitVersion, "v1.37.2+gatehouse.") || v.Major != "1" || v.Minor != "37" {
		t.Errorf("version is %+v", v)
	}
}

// TestMetrics shows that only an authorized caller reads the metrics.
func TestMetrics(t *testing.T) {
	s := shared(t)
	for _, c := range []struct {
		who    string
		config *rest.Config
		code   int
		says   string
	}{
		{"anonymous", s.AnonymousConfig(t), http.StatusUnauthorized, "Unauthorized"},
		{"a user without the right", s.UserConfig(t, "mona"), http.StatusForbidden, `User \"mona\" cannot get path \"/metrics\"`},
		{"the administrator", s.AdminConfig(t), http.StatusOK, "apiserver_request_total{"},
		{"a monitoring agent", s.UserConfig(t, "prometheus", "system:monitoring"), http.StatusOK, "apiserver_request_total{"},
	} {
		resp, body := get(t, c.config, "/metrics")
		if resp.StatusCode != c.code || !strings.Contains(body, c.says) {
			t.Errorf("%s: %s\n%.300s", c.who, resp.Status, body)
		}
	}
}

// TestHealth shows that anyone may ask whether the server is well, and read
// nothing else.
func TestHealth(t *testing.T) {
	s := shared(t)
	for _, path := range []string{"/livez", "/readyz", "/healthz", "/readyz?verbose"} {
		if resp, body := get(t, s.AnonymousConfig(t), path); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %s", path, resp.Status, body)
		}
	}
	for _, path := range []string{"/", "/version", "/api", "/apis", "/openapi/v2", "/api/v1/namespaces", "/livez/ping", "/readyz/etcd", "/.well-known/openid-configuration", "/openid/v1/jwks", "/debug/pprof/"} {
		if resp, _ := get(t, s.AnonymousConfig(t), path); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s, want 401", path, resp.Status)
		}
	}
}

// TestFlowControl shows that API Priority and Fairness is on.
func TestFlowControl(t *testing.T) {
	s := shared(t)
	schemas, err := s.Admin(t).FlowcontrolV1().FlowSchemas().List(t.Context(), metav1.ListOptions{})
	passes(t, err)
	uids := map[string]string{}
	for _, schema := range schemas.Items {
		uids[string(schema.UID)] = schema.Name
	}
	resp, _ := get(t, s.AdminConfig(t), "/api/v1/namespaces")
	if name := uids[resp.Header.Get("X-Kubernetes-PF-FlowSchema-UID")]; name != "global-default" {
		t.Errorf("the administrator's request was under flow schema %q of %v", name, uids)
	}
	if resp.Header.Get("X-Kubernetes-PF-PriorityLevel-UID") == "" {
		t.Error("no priority level is named")
	}
}
