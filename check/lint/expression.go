package lint

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/util/version"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"

	"github.com/gatehouse-io/gatehouse/policy"
)

// expression is one of a policy.
type expression struct{ path, text string }

// expressionsOf are those of a policy of CEL, or of a ConstraintTemplate with CEL.
func expressionsOf(o policy.Object) (all []expression) {
	spec, _ := o.Object["spec"].(map[string]any)
	if o.GetKind() == "ConstraintTemplate" {
		targets, _ := spec["targets"].([]any)
		for _, t := range targets {
			target, _ := t.(map[string]any)
			codes, _ := target["code"].([]any)
			for _, c := range codes {
				code, _ := c.(map[string]any)
				if source, ok := code["source"].(map[string]any); ok && code["engine"] == "K8sNativeValidation" {
					all = append(all, fieldsOf(source, "")...)
				}
			}
		}
		return all
	}
	if o.GroupVersionKind().Group == "admissionregistration.k8s.io" {
		all = fieldsOf(spec, "spec.")
	}
	return all
}

// fieldsOf are the expressions in the lists of a spec. A mutation's make objects of
// types that are not declared here, and are left out.
func fieldsOf(spec map[string]any, path string) (all []expression) {
	for _, list := range []string{"variables", "matchConditions", "matchCondition", "validations", "auditAnnotations"} {
		items, _ := spec[list].([]any)
		for i, item := range items {
			fields, _ := item.(map[string]any)
			for _, field := range []string{"expression", "messageExpression", "valueExpression"} {
				if text, _ := fields[field].(string); text != "" {
					all = append(all, expression{fmt.Sprintf("%s%s[%d].%s", path, list, i, field), text})
				}
			}
		}
	}
	return all
}

// Environments are those of CEL in several releases. They are built when they are first
// needed: each takes milliseconds. It is used by one goroutine at a time.
type Environments struct{ built map[key]*cel.Env }

type key struct {
	minor  uint
	mode   environment.Type
	params bool
}

// of is the environment of a release for what expressions of an object see: what
// upstream declares, and variables of any type.
func (e *Environments) of(o policy.Object, minor uint, mode environment.Type) (*cel.Env, error) {
	spec, _ := o.Object["spec"].(map[string]any)
	k := key{minor, mode, spec["paramKind"] != nil || o.GetKind() == "ConstraintTemplate"}
	if env := e.built[k]; env != nil {
		return env, nil
	}
	namespace, request := plugincel.BuildNamespaceType(), plugincel.BuildRequestType()
	options := []cel.EnvOption{
		cel.Variable(plugincel.ObjectVarName, cel.DynType), cel.Variable(plugincel.OldObjectVarName, cel.DynType),
		cel.Variable(plugincel.NamespaceVarName, namespace.CelType()), cel.Variable(plugincel.RequestVarName, request.CelType()),
		cel.Variable(plugincel.VariableVarName, cel.DynType),
		cel.Variable(plugincel.AuthorizerVarName, library.AuthorizerType), cel.Variable(plugincel.RequestResourceAuthorizerVarName, library.ResourceCheckType),
	}
	if k.params {
		options = append(options, cel.Variable(plugincel.ParamsVarName, cel.DynType))
	}
	set, err := environment.MustBaseEnvSet(version.MajorMinor(1, minor)).Extend(environment.VersionedOptions{IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions: options, DeclTypes: []*apiservercel.DeclType{namespace, request}}, environment.StrictCostOpt)
	if err != nil {
		return nil, fmt.Errorf("build CEL environment: %w", err)
	}
	env, err := set.Env(mode)
	if err != nil {
		return nil, fmt.Errorf("build CEL environment: %w", err)
	}
	if e.built == nil {
		e.built = map[key]*cel.Env{}
	}
	e.built[k] = env
	return env, nil
}
