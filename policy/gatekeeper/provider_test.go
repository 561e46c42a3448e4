package gatekeeper_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/provider"
)

// providers is a real HTTPS server that answers as the oracle's provider does: a
// provider is at the path of its name.
type providers struct {
	*httptest.Server
	calls atomic.Int32
}

func serveProviders(t testing.TB) *providers {
	t.Helper()
	p := &providers{}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.calls.Add(1)
		var asked struct {
			APIVersion, Kind string
			Request          struct{ Keys []string }
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.Kind != "ProviderRequest" || asked.APIVersion != "externaldata.gatekeeper.sh/v1beta1" {
			http.Error(w, "no ProviderRequest", http.StatusBadRequest)
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/")
		response := map[string]any{"idempotent": name != "restless"}
		if name == "broken" {
			response["systemError"] = "out of order"
		}
		items := []any{}
		for _, key := range asked.Request.Keys {
			item := map[string]any{"key": key, "value": name + ":" + key}
			switch {
			case strings.Contains(key, "lost"):
				continue
			case strings.Contains(key, "bad"):
				item = map[string]any{"key": key, "error": "no such image"}
			case strings.Contains(key, "odd"):
				item["value"] = 7
			}
			items = append(items, item)
		}
		response["items"] = items
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "ProviderResponse", "response": response})
	}))
	t.Cleanup(p.Close)
	return p
}

// object is the Provider object of a name.
func (p *providers) object(name string) string {
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
	return fmt.Sprintf("apiVersion: externaldata.gatekeeper.sh/v1beta1\nkind: Provider\nmetadata: {name: %s}\nspec: {url: %q, timeout: 2, caBundle: %s}",
		name, p.URL+"/"+name, base64.StdEncoding.EncodeToString(authority))
}

// engineWith has providers, all of which are allowed.
func engineWith(t testing.TB, p *providers, names ...string) *gatekeeper.Engine {
	t.Helper()
	compiler, err := cel.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	var allowed []provider.Allowed
	for _, name := range names {
		allowed = append(allowed, provider.Allowed{Name: name, URL: p.URL + "/" + name})
	}
	client, err := provider.New(provider.Options{Allowed: allowed})
	if err != nil {
		t.Fatal(err)
	}
	e, err := gatekeeper.New(gatekeeper.Options{Compiler: compiler, Providers: client})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var _ policy.Engine = &gatekeeper.Engine{}
