package cli

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"
)

const liveWidgets = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
`

// customCluster is an API server that serves Widgets and nothing else, and answers the
// list of CustomResourceDefinitions with a status. It writes a kubeconfig.
func customCluster(t *testing.T, code int, definitions ...string) (kubeconfig string) {
	t.Helper()
	var items []any
	for _, text := range definitions {
		var o any
		if err := yaml.Unmarshal([]byte(text), &o); err != nil {
			t.Fatal(err)
		}
		items = append(items, o)
	}
	group := func(name, version string) map[string]any {
		v := map[string]string{"groupVersion": name + "/" + version, "version": version}
		return map[string]any{"name": name, "versions": []any{v}, "preferredVersion": v}
	}
	resources := func(groupVersion, name, kind string, namespaced bool) map[string]any {
		return map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": groupVersion,
			"resources": []any{map[string]any{"name": name, "kind": kind, "namespaced": namespaced, "verbs": []string{"list"}}}}
	}
	answers := map[string]any{
		"/api":                          map[string]any{"kind": "APIVersions", "versions": []string{"v1"}},
		"/api/v1":                       resources("v1", "configmaps", "ConfigMap", true),
		"/apis":                         map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": []any{group("example.org", "v1"), group("apiextensions.k8s.io", "v1")}},
		"/apis/example.org/v1":          resources("example.org/v1", "widgets", "Widget", true),
		"/apis/apiextensions.k8s.io/v1": resources("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", false),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch answer, ok := answers[r.URL.Path]; {
		case r.Method != http.MethodGet:
			t.Errorf("it writes: %s %s", r.Method, r.URL.Path)
		case ok:
			reply(w, http.StatusOK, answer)
		case r.URL.Path == "/apis/apiextensions.k8s.io/v1/customresourcedefinitions" && code == http.StatusOK:
			reply(w, code, map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinitionList", "items": items})
		case code == http.StatusOK:
			status(w, http.StatusNotFound, "NotFound")
		default:
			status(w, code, map[int]string{http.StatusForbidden: "Forbidden", http.StatusNotFound: "NotFound"}[code])
		}
	}))
	t.Cleanup(server.Close)
	config := clientcmdapi.NewConfig()
	config.Clusters["fake"] = &clientcmdapi.Cluster{Server: server.URL}
	config.Contexts["fake"] = &clientcmdapi.Context{Cluster: "fake"}
	config.CurrentContext = "fake"
	kubeconfig = t.TempDir() + "/kubeconfig"
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// Custom resources are held against the CustomResourceDefinitions of the cluster, those
// of files first, and versions against what the cluster serves.
func TestCheckLiveDefinitions(t *testing.T) {
	t.Chdir(files(t, map[string]string{
		"widget.yaml": "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 3, colour: red}\n",
		"good.yaml":   "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 3}\n",
		"old.yaml":    "apiVersion: example.org/v0\nkind: Widget\nmetadata: {name: w}\nspec: {size: 3}\n",
		"web.yaml":    shop,
		"crd.yaml":    strings.Replace(liveWidgets, "size: {type: integer}", "size: {type: integer}, colour: {type: string}", 1),
	}))
	for _, c := range []struct {
		name, args  string
		status      int
		definitions []string
		code        int
		says        []string
	}{
		{"unknown field", "widget.yaml", http.StatusOK, []string{liveWidgets}, exitDenied, []string{"widget.yaml:4:17  schema", "Widget has no field spec.colour"}},
		{"well formed", "good.yaml", http.StatusOK, []string{liveWidgets}, exitOK, []string{"1 object checked: nothing is wrong"}},
		{"another version", "old.yaml", http.StatusOK, []string{liveWidgets}, exitDenied, []string{"Widget of example.org/v0 is not served in this version by its CustomResourceDefinition: write apiVersion: example.org/v1"}},
		{"not served there", "web.yaml", http.StatusOK, nil, exitDenied, []string{"Deployment of apps/v1 is not served by the cluster"}},
		{"a file holds", "widget.yaml --from crd.yaml", http.StatusOK, []string{liveWidgets}, exitOK, []string{"nothing is wrong"}},
		{"not readable", "widget.yaml", http.StatusOK, []string{strings.Replace(liveWidgets, "scope: Namespaced", "scope: Namespaced\n  since: 2031", 1)}, exitOK, []string{"the fields of widgets.example.org are not checked"}},
		{"forbidden", "widget.yaml", http.StatusForbidden, nil, exitOK, []string{"the CustomResourceDefinitions of the cluster may not be listed"}},
		{"without", "widget.yaml", http.StatusNotFound, nil, exitOK, []string{"nothing is wrong"}},
		{"broken", "widget.yaml", http.StatusInternalServerError, nil, exitInternal, []string{"read the CustomResourceDefinitions of the cluster"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			args := append([]string{"check", "--live", "--kubeconfig", customCluster(t, c.status, c.definitions...)}, strings.Fields(c.args)...)
			if code := Main(args, &out, &errs); code != c.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.code, out.String(), errs.String())
			}
			for _, part := range c.says {
				if !strings.Contains(out.String()+errs.String(), part) {
					t.Errorf("it lacks %q:\n%s%s", part, out.String(), errs.String())
				}
			}
		})
	}
}
