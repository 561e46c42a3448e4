package cli

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var update = flag.Bool("update", false, "write generated files anew")

// TestBuiltInResourcesAreUpstreams compares resources.tsv with the discovery
// documents in the Kubernetes release that is linked.
func TestBuiltInResourcesAreUpstreams(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	if err != nil {
		t.Skipf("the source of Kubernetes is not here: %v", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "api", "discovery")
	var core metav1.APIResourceList
	var groups apidiscoveryv2.APIGroupDiscoveryList
	for name, into := range map[string]any{"api__v1.json": &core, "aggregated_v2.json": &groups} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatal(err)
		}
	}
	c := &catalog{}
	c.addList("v1", core.APIResources)
	for _, g := range groups.Items {
		for _, v := range g.Versions {
			version := metav1.GroupVersion{Group: g.Name, Version: v.Version}.String()
			var all []metav1.APIResource
			for _, r := range v.Resources {
				kind := ""
				if r.ResponseKind != nil {
					kind = r.ResponseKind.Kind
				}
				all = append(all, metav1.APIResource{Name: r.Resource, SingularName: r.SingularResource, Namespaced: r.Scope == apidiscoveryv2.ScopeNamespace, Kind: kind, ShortNames: r.ShortNames})
				for _, s := range r.Subresources {
					all = append(all, metav1.APIResource{Name: r.Resource + "/" + s.Subresource})
				}
			}
			c.addList(version, all)
		}
	}
	var want strings.Builder
	for _, r := range c.all {
		slices.Sort(r.subresources)
		fmt.Fprintf(&want, "%s\t%s\t%s\t%s\t%t\t%s\t%s\t%s\t%s\n", r.group, r.resource, r.kind, r.singular, r.namespaced, strings.Join(r.short, ","), strings.Join(r.subresources, ","), r.version, strings.Join(r.versions, ","))
	}
	if *update {
		if err := os.WriteFile("resources.tsv", []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if builtIn != want.String() {
		t.Error("resources.tsv differs from upstream's discovery: run go test ./internal/cli -run BuiltIn -update")
	}
}

func TestFindResource(t *testing.T) {
	c := builtInCatalog()
	for arg, want := range map[string]string{
		"pods": "pods", "po": "pods", "pod": "pods", "Pod": "pods", "deploy": "deployments.apps", "deployments": "deployments.apps",
		"deployments.apps": "deployments.apps", "deployments.v1.apps": "deployments.apps", "deployments.extensions": "",
		"cm": "configmaps", "events": "events", "ev.events.k8s.io": "events.events.k8s.io", "crd": "customresourcedefinitions.apiextensions.k8s.io",
		"no": "nodes", "guards": "guards.gatehouse.io", "gd": "guards.gatehouse.io", "widgets": "", "widgets.example.org": "", "": "",
	} {
		got := ""
		if r, ok := c.find(arg); ok {
			got = r.String()
		}
		if got != want {
			t.Errorf("%q is %q, want %q", arg, got, want)
		}
	}
}
