package manifest

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

const store = `
-- store/Chart.yaml --
apiVersion: v2
name: store
version: 1.0.0
kubeVersion: ">=1.30.0-0"
dependencies:
- {name: cache, version: 1.0.0, condition: cache.enabled}
-- store/values.yaml --
image: {repo: registry.example/store, tag: "1"}
replicas: 2
privileged: true
resources:
  limits: {memory: 1Gi}
cache: {enabled: true}
-- store/templates/_helpers.tpl --
{{- define "store.name" -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 20 | trimSuffix "-" }}
{{- end }}
{{- define "store.labels" }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "store.on" -}}
true
{{- end }}
-- store/templates/deployment.yaml --
{{- /* a comment
  of two lines */ -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "store.name" . }}
  labels:
    {{- include "store.labels" . | nindent 4 }}
  annotations:
    checksum/config: {{ include (print $.Template.BasePath "/config.yaml") . | sha256sum }}
    password: {{ randAlphaNum 8 | quote }}
spec:
  replicas: {{ .Values.replicas }}
  template:
    spec:
      {{- if eq (include "store.on" .) "true" }}
      hostNetwork: true
      {{- end }}
      containers:
      {{- range $i, $name := list "a" "b" }}
      - name: {{ $name }}
        image: "{{ $.Values.image.repo }}:{{ $.Values.image.tag }}"
        securityContext:
          privileged: {{ $.Values.privileged }}
        resources:
          {{- toYaml $.Values.resources | nindent 10 }}
      {{- end }}
-- store/templates/config.yaml --
apiVersion: v1
kind: ConfigMap
metadata:
  name: config
data:
  namespace: {{ .Release.Namespace }}
  kube: {{ .Capabilities.KubeVersion.Version }}
  monitoring: {{ .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" | quote }}
{{- with .Values.extra }}
  extra: {{ . | quote }}
{{- end }}
-- store/templates/hook.yaml --
apiVersion: v1
kind: Pod
metadata:
  name: test
  annotations: {helm.sh/hook: test}
-- store/templates/empty.yaml --
{{- if .Values.nothing }}
apiVersion: v1
kind: Pod
{{- end }}
-- store/templates/NOTES.txt --
Read me.
-- store/crds/crd.yaml --
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: things.example.org
-- store/charts/cache/Chart.yaml --
apiVersion: v2
name: cache
version: 1.0.0
-- store/charts/cache/templates/service.yaml --
apiVersion: v1
kind: Service
metadata:
  name: {{ .Release.Name }}-cache
-- more.yaml --
extra: "yes"
`

func TestChart(t *testing.T) {
	unpack(t, store)
	opts := Options{Helm: HelmOptions{Namespace: "shop", Values: []string{"more.yaml"}, Set: []string{"replicas=5"}, KubeVersion: "1.34", APIVersions: []string{"monitoring.coreos.com/v1"}}}
	all, summary, err := read(t, opts, "store")
	if err != nil || len(all) != 5 || summary.Objects != 5 {
		t.Fatalf("got %d objects, %v", len(all), err)
	}
	by := map[string]*Object{}
	for _, o := range all {
		if o.Way != Rendered || o.Made != "store" || o.Home != "shop" {
			t.Errorf("%s is by %s of %q for %s", o.GetName(), o.Way, o.Made, o.Home)
		}
		by[o.GetKind()] = o
	}
	d := by["Deployment"]
	pod := "spec.template.spec"
	same(t, where(d, "", "metadata.name", "metadata.labels[app.kubernetes.io/name]", "metadata.annotations[checksum/config]", "metadata.annotations.password", "spec.replicas",
		pod+".hostNetwork", pod+".containers[1].image", pod+".containers[1].securityContext.privileged", pod+".containers[0].resources", pod+".containers[0].resources.limits.memory", pod+".volumes"), `
 at store/templates/deployment.yaml:3:1
metadata.name at store/templates/deployment.yaml:6:3
metadata.labels[app.kubernetes.io/name] at store/templates/_helpers.tpl:5:1
metadata.annotations[checksum/config] at store/templates/deployment.yaml:10:5
metadata.annotations.password at store/templates/deployment.yaml:11:5
spec.replicas at store/templates/deployment.yaml:13:3
`+pod+`.hostNetwork at store/templates/deployment.yaml:17:7
`+pod+`.containers[1].image at store/templates/deployment.yaml:22:9
`+pod+`.containers[1].securityContext.privileged at store/templates/deployment.yaml:24:11
`+pod+`.containers[0].resources at store/templates/deployment.yaml:25:9
`+pod+`.containers[0].resources.limits.memory at ~store/templates/deployment.yaml:26:11
`+pod+`.volumes at ~store/templates/deployment.yaml:15:5
`)
	if text, ok := d.Line(d.Position(pod + ".containers[1].image")); !ok || !strings.HasSuffix(text, `image: "{{ $.Values.image.repo }}:{{ $.Values.image.tag }}"`) {
		t.Errorf("the line is %q", text)
	}
	data := by["ConfigMap"].Object["data"].(map[string]any)
	if data["namespace"] != "shop" || data["kube"] != "v1.34" || data["monitoring"] != "true" || data["extra"] != "yes" {
		t.Errorf("the ConfigMap has %v", data)
	}
	same(t, where(by["ConfigMap"], "data.extra"), "data.extra at store/templates/config.yaml:10:3")
	same(t, where(by["CustomResourceDefinition"], "metadata.name"), "metadata.name at store/crds/crd.yaml:4:9")
	same(t, where(by["Service"], "metadata.name"), "metadata.name at store/charts/cache/templates/service.yaml:4:3")
	if by["Pod"] == nil {
		t.Error("the hook is left out")
	}

	opts.Helm.Set = append(opts.Helm.Set, "cache.enabled=false")
	opts.Helm.WithoutCRDs = true
	if all, _, err := read(t, opts, "store/Chart.yaml"); err != nil || len(all) != 3 {
		t.Errorf("got %d objects, %v", len(all), err)
	}
}

func TestChartProblems(t *testing.T) {
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked = true
		w.Write([]byte("{}"))
	}))
	defer server.Close()
	const head = "-- c/Chart.yaml --\napiVersion: v2\nname: c\nversion: 1.0.0\n"
	const t1 = head + "-- c/templates/a.yaml --\n"
	for name, c := range map[string]struct{ archive, want string }{
		"required":  {t1 + "apiVersion: v1\nkind: Pod\nx: {{ required \"say x\" .Values.x }}\n", "c/templates/a.yaml:3:7: the chart cannot be rendered: say x"},
		"syntax":    {t1 + "apiVersion: v1\n{{ if }}\n", "c/templates/a.yaml:2"},
		"function":  {t1 + "a: {{ env \"HOME\" }}\n", "function \"env\" not defined"},
		"loop":      {t1 + "{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}", "it does too much"},
		"forever":   {t1 + "{{ define \"x\" }}{{ template \"x\" . }}{{ template \"x\" . }}{{ end }}{{ range $i := 9000000000000 }}{{ end }}", "it does too much"},
		"recursion": {t1 + "{{ define \"x\" }}{{ include \"x\" . }}{{ end }}{{ include \"x\" . }}", "c/templates/a.yaml"},
		"long":      {t1 + "{{ repeat 2000000000 \"x\" }}", "it does too much"},
		"doubling":  {t1 + "{{ $x := \"aaaaaaaaaaaaaaaa\" }}{{ range until 60 }}{{ $x = print $x $x }}{{ end }}", "it does too much"},
		"output":    {t1 + "apiVersion: v1\nkind: Pod\n{{ if true }}\nx: [\n{{ end }}\n", "c/templates/a.yaml:"},
		"kind":      {t1 + "{{ \"x: y\" }}\n", "is missing (line 1 of what the template renders)"},
		"missing":   {strings.Replace(t1, "version: 1.0.0\n", "version: 1.0.0\ndependencies: [{name: d, version: 1.0.0}]\n", 1) + "a: b\n", "c/Chart.yaml: its dependencies are not in its folder charts: d"},
		"kube":      {strings.Replace(t1, "version: 1.0.0\n", "version: 1.0.0\nkubeVersion: \">=1.99\"\n", 1) + "a: b\n", "the chart wants Kubernetes >=1.99"},
		"chart":     {"-- c/Chart.yaml --\nname: [\n", "c/Chart.yaml: the chart cannot be read"},
		"schema":    {t1 + "a: b\n-- c/values.yaml --\npassword: hunter2\n-- c/values.schema.json --\n{\"properties\": {\"password\": {\"pattern\": \"^[0-9]+$\"}}}\n", "/password breaks the rule \"pattern\""},
		"remote":    {t1 + "a: b\n-- c/values.schema.json --\n{\"$ref\": \"" + server.URL + "/s.json\"}\n", "nothing is fetched"},
		"base":      {t1 + "a: b\n-- c/values.schema.json --\n{\"$id\": \"" + server.URL + "/x.json\", \"$ref\": \"s.json\"}\n", "nothing is fetched"},
		"meta":      {t1 + "a: b\n-- c/values.schema.json --\n{\"$schema\": \"" + server.URL + "/s.json\"}\n", "nothing is fetched"},
		"file":      {t1 + "a: b\n-- c/values.schema.json --\n{\"$ref\": \"file:///etc/hosts\"}\n", "nothing is fetched"},
		"archive":   {"-- c/x.tgz --\nno archive\n", "c/x.tgz: the chart cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			unpack(t, c.archive+"\n-- good.yaml --\napiVersion: v1\nkind: Pod\n")
			path := "c"
			if name == "archive" {
				path = "c/x.tgz"
			}
			all, _, err := read(t, Options{}, path, "good.yaml")
			list := v1alpha1.FieldErrorList{}
			if !errors.As(err, &list) || !strings.Contains(err.Error(), c.want) || len(all) != 1 {
				t.Errorf("got %d objects, %v, want %q", len(all), err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a value is in %v", err)
			}
			if asked {
				t.Error("the server was asked")
			}
		})
	}
}

// A template that cannot be watched is left behind.
func TestChartThatIsSlow(t *testing.T) {
	unpack(t, "-- c/Chart.yaml --\napiVersion: v2\nname: c\nversion: 1.0.0\n-- c/templates/a.yaml --\n{{/* \ue000 */}}{{ range until 1000000 }}{{ range until 30 }}{{ end }}{{ end }}")
	_, _, err := read(t, Options{Helm: HelmOptions{Timeout: time.Millisecond}}, "c")
	if err == nil || !strings.Contains(err.Error(), "did not render within 1ms") {
		t.Errorf("got %v", err)
	}
}

func TestChartStaysAtHome(t *testing.T) {
	unpack(t, "-- secret --\nhunter2\n-- c/Chart.yaml --\napiVersion: v2\nname: c\nversion: 1.0.0\n-- c/templates/a.yaml --\napiVersion: v1\nkind: ConfigMap\ndata: {x: {{ .Files.Get \"link\" | quote }}, host: {{ getHostByName \"localhost\" | quote }}, l: {{ lookup \"v1\" \"Pod\" \"\" \"\" | toJson | quote }}}\n")
	if err := os.Symlink("../secret", "c/link"); err != nil {
		t.Skip(err)
	}
	if _, _, err := read(t, Options{}, "c"); err == nil || !strings.Contains(err.Error(), "leads out of the chart") {
		t.Errorf("got %v", err)
	}
	all, _, err := read(t, Options{Helm: HelmOptions{AnyFile: true}}, "c")
	if err != nil || len(all) != 1 {
		t.Fatal(err)
	}
	if data := all[0].Object["data"].(map[string]any); data["x"] != "hunter2\n" || data["host"] != "" || data["l"] != "{}" {
		t.Errorf("got %v", data)
	}
}

// Dependencies are found in folders that are named otherwise, under several names,
// and in archives.
func TestChartsInCharts(t *testing.T) {
	unpack(t, `
-- c/Chart.yaml --
apiVersion: v2
name: c
version: 1.0.0
dependencies:
- {name: sub, alias: one, version: 1.0.0}
- {name: sub, alias: two, version: 1.0.0}
-- c/charts/folder/Chart.yaml --
apiVersion: v2
name: sub
version: 1.0.0
-- c/charts/folder/templates/a.yaml --
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Chart.Name }}
-- c/charts/other/Chart.yaml --
apiVersion: v2
name: other
version: 1.0.0
-- c/charts/other/templates/a.yaml --
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Chart.Name }}
`)
	all, _, err := read(t, Options{}, ".")
	if err != nil || len(all) != 3 {
		t.Fatalf("got %d objects, %v", len(all), err)
	}
	for _, o := range all {
		want := "c/charts/folder/templates/a.yaml:4:3"
		if o.GetName() == "other" {
			want = "c/charts/other/templates/a.yaml:4:3"
		}
		if at := o.Position("metadata.name"); at.String() != want {
			t.Errorf("%s is at %s", o.GetName(), at)
		}
	}
}
