package authn

import (
	"net/http"
	"testing"

	"k8s.io/client-go/rest"
)

func TestAnonymous(t *testing.T) {
	g := shared()
	client, err := rest.HTTPClientFor(g.AnonymousConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/livez":            http.StatusOK,
		"/readyz":           http.StatusOK,
		"/healthz":          http.StatusOK,
		"/readyz?verbose=1": http.StatusOK,

		"/readyz/etcd":                      http.StatusUnauthorized,
		"/livez/":                           http.StatusUnauthorized,
		"/":                                 http.StatusUnauthorized,
		"/version":                          http.StatusUnauthorized,
		"/api":                              http.StatusUnauthorized,
		"/apis":                             http.StatusUnauthorized,
		"/openapi/v2":                       http.StatusUnauthorized,
		"/openapi/v3":                       http.StatusUnauthorized,
		"/metrics":                          http.StatusUnauthorized,
		"/debug/pprof/":                     http.StatusUnauthorized,
		"/.well-known/openid-configuration": http.StatusUnauthorized,
		"/openid/v1/jwks":                   http.StatusUnauthorized,
		"/api/v1/namespaces":                http.StatusUnauthorized,
		"/no/such/path":                     http.StatusUnauthorized,
	} {
		t.Run(path, func(t *testing.T) {
			resp, err := client.Get(g.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("status %d, want %d", resp.StatusCode, want)
			}
		})
	}
	t.Run("and the audit log has it", func(t *testing.T) { g.refused(t, g.AnonymousConfig(t), "") })
}
