package manifest

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

const shop = `
-- base/kustomization.yaml --
resources: [deployment.yaml, service.yaml]
configMapGenerator:
- name: settings
  literals: [url=https://example.org/x]
-- base/deployment.yaml --
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
spec:
  replicas: 1
  template:
    spec:
      containers:
      - name: main
        image: registry.example/api:1
        securityContext:
          privileged: true
      - name: side
        image: registry.example/side:1
        args: [a, b]
-- base/service.yaml --
apiVersion: v1
kind: Service
metadata: {name: api}
spec:
  ports: [{port: 80}]
-- overlay/kustomization.yaml --
namePrefix: prod-
resources:
- ../base
patches:
- path: patch.yaml
labels:
- pairs: {team: shop}
-- overlay/patch.yaml --
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
spec:
  replicas: 3
  template:
    spec:
      hostNetwork: true
      containers:
      - name: new
        image: registry.example/new:1
-- overlay/left.yaml --
apiVersion: v1
kind: Pod
`

func TestKustomization(t *testing.T) {
	unpack(t, shop)
	all, summary, err := read(t, Options{}, ".")
	if err != nil || len(all) != 3 {
		t.Fatalf("got %d objects, %v", len(all), err)
	}
	if len(summary.Unused) != 1 || summary.Unused[0] != "overlay/left.yaml" {
		t.Errorf("unused: %q", summary.Unused)
	}
	var deployment, settings *Object
	for _, o := range all {
		switch o.GetKind() {
		case "Deployment":
			deployment = o
		case "ConfigMap":
			settings = o
		}
		if len(o.GetAnnotations()) != 0 || o.GetLabels()["team"] != "shop" || o.Way != Kustomized || o.Made != "overlay" {
			t.Errorf("got %s with annotations %v", o.GetName(), o.GetAnnotations())
		}
	}
	if deployment.GetName() != "prod-api" || deployment.Source.String() == "" || deployment.Source.Place() != "base/deployment.yaml:1" {
		t.Errorf("got %s, %s", deployment.GetName(), deployment.Source.Place())
	}
	image := map[string]string{}
	for i, c := range deployment.Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any) {
		image[c.(map[string]any)["name"].(string)] = "spec.template.spec.containers[" + string(rune('0'+i)) + "]"
	}
	same(t, where(deployment, "metadata.name", "spec.replicas", "spec.template.spec.hostNetwork", "metadata.labels.team", image["main"]+".securityContext.privileged", image["side"]+".args[1]"),
		`
metadata.name at ~base/deployment.yaml:4:9
spec.replicas at overlay/patch.yaml:6:13
spec.template.spec.hostNetwork at overlay/patch.yaml:9:20
metadata.labels.team at overlay/kustomization.yaml:7:17
`+image["main"]+`.securityContext.privileged at base/deployment.yaml:13:23
`+image["side"]+`.args[1] at base/deployment.yaml:16:19`)
	if at := deployment.Position(image["new"] + ".image"); at.String() != "overlay/patch.yaml:12:16" || !at.Exact {
		t.Errorf("the new container is at %s", at)
	} else if text, _ := deployment.Line(at); text != "        image: registry.example/new:1" {
		t.Errorf("its line is %q", text)
	}
	if at := settings.Position("data.url"); at.String() != "base/kustomization.yaml:3:3" || at.Exact {
		t.Errorf("the ConfigMap is at %s", at)
	} else if text, _ := settings.Line(at); text != "- name: settings" {
		t.Errorf("its line is %q", text)
	}

	// A base that is named is built by itself.
	if all, _, err := read(t, Options{}, "base", "overlay/kustomization.yaml"); err != nil || len(all) != 6 {
		t.Errorf("got %d objects, %v", len(all), err)
	}
}

// What a kustomization itself sets is found in it.
func TestKustomizationSettings(t *testing.T) {
	unpack(t, `
-- k/kustomization.yaml --
namespace: prod
commonAnnotations: {owner: shop}
resources: [d.yaml, e.yaml]
images:
- name: registry.example/api
  newTag: "7"
- name: registry.example/side
  newName: mirror.example/side
replicas: [{name: d, count: 4}]
patches:
- patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: d
    spec:
      template:
        spec:
          hostPID: true
-- k/d.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicas: 1
  template:
    spec:
      containers:
      - {name: api, image: "registry.example/api:1"}
      - {name: side, image: "registry.example/side:1"}
-- k/e.yaml --
apiVersion: v1
kind: Pod
metadata: {name: e, namespace: other}
`)
	all, _, err := read(t, Options{}, "k")
	if err != nil || len(all) != 2 {
		t.Fatalf("got %d objects, %v", len(all), err)
	}
	same(t, where(all[0], "metadata.namespace", "metadata.annotations.owner", "spec.replicas", "spec.template.spec.containers[0].image", "spec.template.spec.containers[1].image", "spec.template.spec.hostPID"), `
metadata.namespace at k/kustomization.yaml:1:12
metadata.annotations.owner at k/kustomization.yaml:2:28
spec.replicas at k/kustomization.yaml:9:29
spec.template.spec.containers[0].image at k/kustomization.yaml:6:11
spec.template.spec.containers[1].image at k/kustomization.yaml:8:12
spec.template.spec.hostPID at k/kustomization.yaml:19:20
`)
	if text, _ := all[0].Line(all[0].Position("spec.template.spec.hostPID")); text != "          hostPID: true" {
		t.Errorf("the line is %q", text)
	}
	same(t, where(all[1], "metadata.namespace", "kind"), "metadata.namespace at k/kustomization.yaml:1:12\nkind at k/e.yaml:2:7")
}

// Nothing is fetched and nothing is executed, wherever a kustomization names it.
func TestKustomizationStaysAtHome(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Write([]byte("apiVersion: v1\nkind: Pod\nmetadata: {name: far}\n"))
	}))
	defer server.Close()
	remote := server.URL + "/pod.yaml"
	// A git that leaves a trace.
	bin := t.TempDir()
	os.WriteFile(bin+"/git", []byte("#!/bin/sh\ntouch "+bin+"/ran\nexit 1\n"), 0o755)
	os.WriteFile(bin+"/helm", []byte("#!/bin/sh\ntouch "+bin+"/ran\nexit 1\n"), 0o755)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for name, text := range map[string]string{
		"resource":    "resources: [" + remote + "]",
		"git":         "resources: [\"https://git.example/a/b?ref=main\"]",
		"scp":         "resources: [\"git@git.example:a/b.git\"]",
		"github":      "resources: [github.com/a/b]",
		"file":        "resources: [\"file:///tmp/a.git\"]",
		"component":   "components: [\"ssh://git.example/a/b\"]",
		"forced":      "bases: [\"git::https://git.example/a/b\"]",
		"patch":       "resources: [pod.yaml]\npatches: [{path: " + remote + "}]",
		"strategic":   "resources: [pod.yaml]\npatchesStrategicMerge: [" + remote + "]",
		"json":        "resources: [pod.yaml]\npatchesJson6902: [{path: " + remote + ", target: {kind: Pod, name: p, version: v1}}]",
		"values":      "configMapGenerator: [{name: c, files: [\"a=" + remote + "\", \"" + remote + "\"]}]",
		"environment": "configMapGenerator: [{name: c, envs: [" + remote + "]}]",
		"crds":        "resources: [pod.yaml]\ncrds: [" + remote + "]",
		"openapi":     "resources: [pod.yaml]\nopenapi: {path: " + remote + "}",
		"config":      "resources: [pod.yaml]\nconfigurations: [" + remote + "]",
		"replacement": "resources: [pod.yaml]\nreplacements: [{path: " + remote + "}]",
		"transformer": "resources: [pod.yaml]\ntransformers: [builtin.yaml]",
		"inline":      "resources: [pod.yaml]\ntransformers:\n- |-\n  apiVersion: builtin\n  kind: PatchTransformer\n  metadata: {name: x}\n  target: {kind: Pod}\n  path: " + remote,
		"generator":   "generators: [" + remote + "]",
		"validator":   "resources: [pod.yaml]\nvalidators: [" + remote + "]",
		"helm":        "helmCharts: [{name: a, repo: " + server.URL + ", version: 1.0.0}]",
		"deeper":      "resources: [sub]",
		"program":     "generators: [program.yaml]",
		"function":    "resources: [pod.yaml]\ntransformers: [function.yaml]",
	} {
		t.Run(name, func(t *testing.T) {
			unpack(t, `
-- kustomization.yaml --
`+text+`
-- pod.yaml --
apiVersion: v1
kind: Pod
metadata: {name: p}
-- builtin.yaml --
apiVersion: builtin
kind: PatchTransformer
metadata: {name: x}
target: {kind: Pod}
path: `+remote+`
-- program.yaml --
apiVersion: someteam.example/v1
kind: Gen
metadata:
  name: x
  annotations: {config.kubernetes.io/function: "exec: {path: git}"}
-- function.yaml --
apiVersion: someteam.example/v1
kind: Gen
metadata:
  name: x
  annotations: {config.kubernetes.io/function: "container: {image: example/x}"}
-- sub/kustomization.yaml --
resources: [`+remote+`]
`)
			all, _, err := read(t, Options{}, "kustomization.yaml")
			if err == nil || len(all) != 0 || !strings.Contains(err.Error(), "kustomization.yaml") && !strings.Contains(err.Error(), "builtin.yaml") {
				t.Errorf("got %d objects, %v", len(all), err)
			}
			if asked != 0 {
				t.Error("the server was asked")
			}
			if _, err := os.Stat(bin + "/ran"); err == nil {
				t.Error("a program was run")
			}
		})
	}
}

func TestKustomizationProblems(t *testing.T) {
	bomb := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\na0: &a0 [x, x, x, x]\n"
	for i := range 20 {
		n := string(rune('a' + i))
		last := "a0"
		if i > 0 {
			last = string(rune('a' + i - 1))
		}
		bomb += n + ": &" + n + " [*" + last + ", *" + last + ", *" + last + "]\n"
	}
	for name, c := range map[string]struct{ archive, want string }{
		"missing":  {"-- k/kustomization.yaml --\nresources: [no.yaml]\n", "k/kustomization.yaml: the kustomization cannot be built: accumulating resources"},
		"syntax":   {"-- k/kustomization.yaml --\nresources: [a.yaml]\n-- k/a.yaml --\napiVersion: v1\nkind: Pod\n  x: y\n", "k/a.yaml:3:3: parse YAML"},
		"broken":   {"-- k/kustomization.yaml --\nresources: [a.yaml\n", "k/kustomization.yaml:"},
		"outside":  {"-- a.yaml --\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\n-- k/kustomization.yaml --\nresources: [../a.yaml]\n", "is not in or below"},
		"bomb":     {"-- k/kustomization.yaml --\nresources: [a.yaml]\n-- k/a.yaml --\n" + bomb, "k/a.yaml:1:1: its aliases stand for too many values"},
		"twofiles": {"-- k/kustomization.yaml --\nresources: []\n-- k/Kustomization --\nresources: []\n", "multiple kustomization files"},
		"field":    {"-- k/kustomization.yaml --\nresouces: []\n", "unknown field"},
		"cycle":    {"-- k/kustomization.yaml --\nresources: [../j]\n-- j/kustomization.yaml --\nresources: [../k]\n", "cycle"},
	} {
		t.Run(name, func(t *testing.T) {
			unpack(t, c.archive+"-- good.yaml --\napiVersion: v1\nkind: Pod\n")
			all, _, err := read(t, Options{}, "k", "good.yaml")
			if err == nil || !strings.Contains(err.Error(), c.want) || len(all) != 1 {
				t.Errorf("got %d objects, %v, want %q", len(all), err, c.want)
			}
			if wd, _ := os.Getwd(); err != nil && strings.Contains(err.Error(), wd) {
				t.Errorf("%v has the whole path", err)
			}
		})
	}
}
