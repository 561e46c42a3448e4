package gatekeeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	templatesv1 "github.com/open-policy-agent/frameworks/constraint/pkg/apis/templates/v1"
	"github.com/open-policy-agent/frameworks/constraint/pkg/apis/templates/v1alpha1"
	"github.com/open-policy-agent/frameworks/constraint/pkg/apis/templates/v1beta1"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/crds"
	"github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/rego"
)

// targetName is the one target there is.
const targetName = "admission.k8s.gatekeeper.sh"

// template is a ConstraintTemplate, compiled.
type template struct {
	source gate.Source
	kind   string
	typed  *templates.ConstraintTemplate
	crd    *apiextensions.CustomResourceDefinition
	shape  *structural.Structural
	// cel is set where the template has CEL; else rego is.
	cel  *cel.Template
	rego *rego.Program
	// needs are the kinds that its Rego looks up.
	needs []schema.GroupVersionKind
	// inventory says that its Rego looks up anything at all.
	inventory bool
	// external says that its Rego asks providers.
	external   bool
	operations string
}

// matchSchema lets spec.match be anything: it is read strictly elsewhere.
type matchSchema struct{}

func (matchSchema) MatchSchema() apiextensions.JSONSchemaProps {
	return apiextensions.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}
}

// readTemplate reads a ConstraintTemplate of any version, without compiling its code.
func readTemplate(o policy.Object) (*template, error) {
	data, err := o.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var of interface {
		ToVersionless() (*templates.ConstraintTemplate, error)
	}
	switch version := o.GroupVersionKind().Version; version {
	case "v1":
		of = &templatesv1.ConstraintTemplate{}
	case "v1beta1":
		of = &v1beta1.ConstraintTemplate{}
	case "v1alpha1":
		of = &v1alpha1.ConstraintTemplate{}
	default:
		return nil, fmt.Errorf("the version %q is none of v1, v1beta1 and v1alpha1", version)
	}
	if err := json.Unmarshal(data, of); err != nil {
		return nil, err
	}
	typed, err := of.ToVersionless()
	if err != nil {
		return nil, err
	}
	t := &template{source: o.Source, typed: typed, kind: typed.Spec.CRD.Spec.Names.Kind, operations: o.GetAnnotations()[operationsAnnotation]}
	if t.kind == "" {
		return nil, errors.New("spec.crd.spec.names.kind: name a kind")
	}
	if !strings.EqualFold(t.kind, o.GetName()) {
		return nil, fmt.Errorf("metadata.name: %q is not %q, which the kind %s asks for", o.GetName(), strings.ToLower(t.kind), t.kind)
	}
	if err := crds.ValidateTargets(typed); err != nil {
		return nil, fmt.Errorf("spec.targets: %w", err)
	}
	if name := typed.Spec.Targets[0].Target; name != targetName {
		return nil, fmt.Errorf("spec.targets[0].target: %q is not %s", name, targetName)
	}
	schema := crds.CreateSchema(typed, matchSchema{})
	if t.crd, err = crds.CreateCRD(typed, schema); err != nil {
		return nil, fmt.Errorf("spec.crd: %w", err)
	}
	if err := crds.ValidateCRD(context.Background(), t.crd); err != nil {
		return nil, fmt.Errorf("spec.crd: %w", err)
	}
	if t.shape, err = structural.NewStructural(schema); err != nil {
		return nil, fmt.Errorf("spec.crd.spec.validation.openAPIV3Schema: %w", err)
	}
	return t, nil
}

// celSource is the CEL of a template; nil for none. Gatekeeper prefers it to Rego.
func (t *template) celSource() map[string]any {
	for _, code := range t.typed.Spec.Targets[0].Code {
		if code.Engine == cel.TemplateEngine && code.Source != nil {
			source, _ := code.Source.Value.(map[string]any)
			if source == nil {
				source = map[string]any{}
			}
			return source
		}
	}
	return nil
}

// regoSource is all of its Rego.
func (t *template) regoSource() string {
	target := &t.typed.Spec.Targets[0]
	text := target.Rego + "\n" + strings.Join(target.Libs, "\n")
	for _, code := range target.Code {
		if code.Engine != rego.Engine || code.Source == nil {
			continue
		}
		source, _ := code.Source.Value.(map[string]any)
		main, _ := source["rego"].(string)
		text += "\n" + main
		libs, _ := source["libs"].([]any)
		for _, lib := range libs {
			one, _ := lib.(string)
			text += "\n" + one
		}
	}
	return text
}

// syncAnnotation names the kinds that a template's Rego looks up, as templates of the
// Gatekeeper library do.
const syncAnnotation = "metadata.gatekeeper.sh/requires-sync-data"

// looked are references into the inventory: of a namespace, and of the cluster.
var (
	lookedInNamespace = regexp.MustCompile(`data\.inventory\.namespace\s*\[[^\]]*\]\s*(?:\[\s*"([^"]+)"\s*\]\s*(?:\[\s*"([^"]+)"\s*\]|\.([A-Za-z]+))|\[[^\]]*\]\s*(?:\[\s*"([^"]+)"\s*\]|\.([A-Za-z]+)))`)
	lookedInCluster   = regexp.MustCompile(`data\.inventory\.cluster\s*\[\s*"([^"]+)"\s*\]\s*(?:\[\s*"([^"]+)"\s*\]|\.([A-Za-z]+))`)
)

// lookups finds which kinds the Rego looks up: by what the template says of itself, and
// by what stands in it.
func (t *template) lookups(annotation string) error {
	text := t.regoSource()
	t.inventory, t.external = strings.Contains(text, "inventory"), strings.Contains(text, externalFunction)
	add := func(gv, kind string) {
		group, version, ok := strings.Cut(gv, "/")
		if !ok {
			group, version = "", gv
		}
		of := schema.GroupVersionKind{Group: group, Version: version, Kind: kind}
		if kind != "" && version != "" && !slices.Contains(t.needs, of) {
			t.needs = append(t.needs, of)
		}
	}
	if annotation != "" && t.inventory {
		var alternatives [][]struct{ Groups, Versions, Kinds []string }
		if err := json.Unmarshal([]byte(strings.Trim(strings.TrimSpace(annotation), `"`)), &alternatives); err != nil {
			return fmt.Errorf("metadata.annotations[%s]: %w", syncAnnotation, err)
		}
		for _, list := range alternatives {
			for _, one := range list {
				for _, g := range one.Groups {
					for _, v := range one.Versions {
						for _, k := range one.Kinds {
							if g != "" {
								v = g + "/" + v
							}
							add(v, k)
						}
					}
				}
			}
		}
	}
	for _, found := range lookedInNamespace.FindAllStringSubmatch(text, -1) {
		add(found[1], found[2]+found[3])
	}
	for _, found := range lookedInCluster.FindAllStringSubmatch(text, -1) {
		add(found[1], found[2]+found[3])
	}
	return nil
}

// check reads a constraint of the template: it is held against the schema, and gets
// its defaults.
func (t *template) check(o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	whole := o.DeepCopy()
	defaulting.Default(whole.Object, t.shape)
	if err := crds.ValidateCR(whole, t.crd); err != nil {
		return nil, err
	}
	return whole, nil
}
