package schema_test

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/check/schema"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return u
}

const widgets = `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: widgets.example.org}, spec: {group: example.org, scope: Namespaced,
  names: {kind: Widget, plural: widgets}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, required: [spec], properties: {
  spec: {type: object, required: [size], properties: {size: {type: integer, maximum: 9}, password: {type: string, pattern: '^[a-z]+$'}, colour: {type: string, default: red}}}}}}}]}}`

func TestCheck(t *testing.T) {
	var d schema.Definitions
	if err := d.Add(object(t, widgets)); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]string{
		"{size: 3}":                        nil,
		"{size: 3, colours: blue}":         {"spec.colours"},
		"{size: big}":                      {"spec.size"},
		"{size: 10}":                       {"spec.size"},
		"{}":                               {"spec.size"},
		"{size: 3, password: Hunter2Z9Q7}": {"spec.password"},
	} {
		faults, defined := d.Check(object(t, "{apiVersion: example.org/v1, kind: Widget, metadata: {name: w}, spec: "+text+"}"))
		var paths []string
		for _, f := range faults {
			paths = append(paths, f.Path)
			if strings.Contains(f.Message, "Hunter2") {
				t.Errorf("%s: the message tells the value: %s", text, f.Message)
			}
		}
		if !defined || !slices.Equal(paths, want) {
			t.Errorf("%s: %v, want %v", text, faults, want)
		}
	}
	if _, defined := d.Check(object(t, "{apiVersion: example.org/v2, kind: Widget, metadata: {name: w}}")); defined {
		t.Error("a version that is not defined is")
	}
	o := object(t, "{apiVersion: example.org/v1, kind: Widget, metadata: {name: w}, spec: {size: 1}}")
	d.Default(o)
	if colour, _, _ := unstructured.NestedString(o.Object, "spec", "colour"); colour != "red" {
		t.Errorf("the default is %q", colour)
	}
	if err := d.Add(object(t, strings.Replace(widgets, "type: integer, ", "", 1))); err == nil {
		t.Error("a schema that is none is taken")
	}
}
