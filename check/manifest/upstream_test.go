package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// helmCharts are the charts that helm's own tests read.
func helmCharts(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "helm.sh/helm/v4").Output()
	if err != nil {
		t.Fatalf("find helm's source: %v", err)
	}
	var charts []string
	filepath.WalkDir(filepath.Join(strings.TrimSpace(string(out)), "pkg"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == chartFile && !strings.Contains(path, "/charts/") {
			charts = append(charts, filepath.Dir(path))
		}
		return nil
	})
	if len(charts) < 50 {
		t.Fatalf("only %d charts", len(charts))
	}
	return charts
}

// helmTemplate is what helm itself makes of a chart, as canonical JSON.
func helmTemplate(dir string) ([]string, error) {
	made, err := loader.LoadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, want := range made.Metadata.Dependencies {
		if !slices.ContainsFunc(made.Dependencies(), func(have *chart.Chart) bool { return have.Name() == want.Name }) {
			return nil, fmt.Errorf("%s is missing", want.Name)
		}
	}
	if err := chartutil.ProcessDependencies(made, map[string]any{}); err != nil {
		return nil, err
	}
	caps, err := capabilities(&HelmOptions{})
	if err != nil {
		return nil, err
	}
	if want := made.Metadata.KubeVersion; want != "" && !chartutil.IsCompatibleRange(want, caps.KubeVersion.String()) {
		return nil, fmt.Errorf("wants %s", want)
	}
	values, err := util.ToRenderValues(made, map[string]any{}, common.ReleaseOptions{Name: "release", Namespace: "default", Revision: 1, IsInstall: true}, caps)
	if err != nil {
		return nil, err
	}
	rendered, err := engine.Render(made, values)
	if err != nil {
		return nil, err
	}
	var texts []string
	for name, text := range rendered {
		if path.Base(name) != "NOTES.txt" {
			texts = append(texts, text)
		}
	}
	for _, crd := range made.CRDObjects() {
		texts = append(texts, string(crd.File.Data))
	}
	var all []string
	for _, text := range texts {
		for _, document := range strings.Split("\n"+text, "\n---") {
			var object map[string]any
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				return nil, err
			}
			if len(object) == 0 {
				continue
			}
			if object["kind"] == nil || object["apiVersion"] == nil {
				return nil, fmt.Errorf("no kind")
			}
			out, _ := json.Marshal(object)
			all = append(all, string(out))
		}
	}
	slices.Sort(all)
	return all, nil
}

func canonical(objects []*Object) []string {
	var all []string
	for _, o := range objects {
		out, _ := json.Marshal(o.Object)
		all = append(all, string(out))
	}
	slices.Sort(all)
	return all
}

// Helm's own code makes the same objects of helm's own charts, and every place that
// is said to be exact has something of the field.
func TestChartsOfHelm(t *testing.T) {
	rendered, exact, fields := 0, 0, 0
	for _, dir := range helmCharts(t) {
		want, wrong := helmTemplate(dir)
		got, _, err := read(t, Options{Helm: HelmOptions{AnyFile: true}}, dir)
		if (err != nil) != (wrong != nil) {
			// A library chart is left aside, and helm refuses it elsewhere.
			t.Errorf("%s: got %v, and helm %v", dir, err, wrong)
			continue
		}
		if err != nil {
			continue
		}
		if have := canonical(got); !slices.Equal(have, want) {
			t.Errorf("%s:\ngot  %s\nhelm %s", dir, have, want)
		}
		rendered++
		for _, o := range got {
			scalars(o.Object, "", func(path, key string, value any) {
				fields++
				at := o.Position(path)
				if !at.Exact {
					return
				}
				exact++
				text, ok := o.Line(at)
				if o.GetKind() != "Secret" && (!ok || !strings.Contains(text, "{{") && !strings.Contains(text, key) && !strings.Contains(text, fmt.Sprint(value))) {
					t.Errorf("%s: %s = %v is said to be at %s: %q", dir, path, value, at, text)
				}
			})
		}
	}
	t.Logf("%d charts; of %d fields %d have an exact place", rendered, fields, exact)
	if rendered < 25 || exact*10 < fields*7 {
		t.Errorf("%d charts were rendered; of %d fields %d have an exact place", rendered, fields, exact)
	}
}

// scalars visits the scalars of a value, with their paths as JSON pointers.
func scalars(value any, path string, visit func(path, key string, value any)) {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			scalars(inner, path+"/"+escape.Replace(key), visit)
		}
	case []any:
		for i, inner := range v {
			scalars(inner, fmt.Sprintf("%s/%d", path, i), visit)
		}
	case nil:
	default:
		key := path[strings.LastIndexByte(path, '/')+1:]
		visit(path, strings.NewReplacer("~1", "/", "~0", "~").Replace(key), v)
	}
}

// Kustomize itself makes the same objects.
func TestKustomizationsOfKustomize(t *testing.T) {
	for name, archive := range map[string]string{"shop": shop, "more": moreKustomizations} {
		unpack(t, archive)
		made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "overlay")
		if err != nil {
			t.Fatal(err)
		}
		text, err := made.AsYaml()
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, document := range bytes.Split(text, []byte("\n---\n")) {
			out, err := yaml.YAMLToJSON(document)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(out))
		}
		slices.Sort(want)
		got, _, err := read(t, Options{}, "overlay")
		if err != nil {
			t.Fatal(err)
		}
		if have := canonical(got); !slices.Equal(have, want) {
			t.Errorf("%s:\ngot       %s\nkustomize %s", name, have, want)
		}
	}
}

const moreKustomizations = `
-- overlay/kustomization.yaml --
namespace: prod
nameSuffix: -v2
buildMetadata: [managedByLabel]
resources: [all.yaml, ../base]
components: [../component]
images:
- {name: registry.example/api, newTag: "7"}
replicas: [{name: api, count: 4}]
configMapGenerator:
- name: files
  files: [all.yaml]
secretGenerator:
- name: s
  literals: [a=b]
patches:
- target: {kind: Deployment}
  patch: |-
    - {op: add, path: /metadata/annotations, value: {a: b}}
replacements:
- source: {kind: ConfigMap, name: files, fieldPath: metadata.name}
  targets: [{select: {kind: Deployment}, fieldPaths: [spec.template.spec.containers.0.env.0.value]}]
-- overlay/all.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec:
      containers:
      - name: main
        image: registry.example/api:1
        env: [{name: A, value: x}]
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: one}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: two, annotations: {n: "1"}}}
-- base/kustomization.yaml --
resources: [pod.yaml]
-- base/pod.yaml --
apiVersion: v1
kind: Pod
metadata: &m {name: p, labels: {x: "1"}}
spec: {priority: 100000000000, containers: [{name: a, resources: {limits: {cpu: 1.5}}}]}
-- component/kustomization.yaml --
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
labels: [{pairs: {c: d}}]
`
