// Package schema knows the schemas of CustomResourceDefinitions, and says where
// objects do not keep to them: fields that are not there, values of another type,
// values that are missing. What is built into Kubernetes is checked by the types of
// the server itself.
package schema

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Definitions are the schemas of some CustomResourceDefinitions. It is safe for
// concurrent use once every definition has been added.
type Definitions struct {
	kinds map[schema.GroupVersionKind]*kind
}

type kind struct {
	shape     *structural.Structural
	validator validation.SchemaValidator
}

// Add enters a CustomResourceDefinition. An error means that an API server would not
// take it.
func (d *Definitions) Add(o *unstructured.Unstructured) error {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, crd, true); err != nil {
		return err
	}
	if crd.Spec.Group == "" || crd.Spec.Names.Kind == "" || len(crd.Spec.Versions) == 0 {
		return errors.New("spec: it needs group, names.kind and versions")
	}
	for _, v := range crd.Spec.Versions {
		k := &kind{}
		if v.Schema != nil && v.Schema.OpenAPIV3Schema != nil {
			internal := &apiextensions.JSONSchemaProps{}
			if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, internal, nil); err != nil {
				return fmt.Errorf("version %s: %w", v.Name, err)
			}
			var err error
			if k.shape, err = structural.NewStructural(internal); err != nil {
				return fmt.Errorf("version %s: %w", v.Name, err)
			}
			if faults := structural.ValidateStructural(nil, k.shape); len(faults) > 0 {
				return fmt.Errorf("version %s: %w", v.Name, faults.ToAggregate())
			}
			if k.validator, _, err = validation.NewSchemaValidator(internal); err != nil {
				return fmt.Errorf("version %s: %w", v.Name, err)
			}
		}
		if d.kinds == nil {
			d.kinds = map[schema.GroupVersionKind]*kind{}
		}
		d.kinds[schema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind}] = k
	}
	return nil
}

// Known reports whether a kind is defined, in any version.
func (d *Definitions) Known(of schema.GroupKind) bool {
	for k := range d.kinds {
		if k.GroupKind() == of {
			return true
		}
	}
	return false
}

// Fault is where an object does not keep to its schema.
type Fault struct {
	// Path of the field: spec.replicas.
	Path string
	// Unknown says that the field itself is not there.
	Unknown bool
	Message string
}

// Check says what is wrong with an object; defined is false where its kind or version
// is not.
func (d *Definitions) Check(o *unstructured.Unstructured) (faults []Fault, defined bool) {
	k := d.kinds[o.GroupVersionKind()]
	if k == nil {
		return nil, false
	}
	if k.shape == nil {
		return nil, true
	}
	content := o.DeepCopy().Object
	for _, path := range pruning.PruneWithOptions(content, k.shape, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		faults = append(faults, Fault{Path: path, Unknown: true, Message: fmt.Sprintf("%s has no field %s", o.GetKind(), path)})
	}
	defaulting.Default(content, k.shape)
	for _, e := range validation.ValidateCustomResource(nil, content, k.validator) {
		path := e.Field
		// The value itself may be a secret, and is not told.
		faults = append(faults, Fault{Path: path, Message: strings.TrimSuffix(e.Type.String()+": "+e.Detail, ": ")})
	}
	return faults, true
}

// Default fills in the defaults of the schema; the object is changed.
func (d *Definitions) Default(o *unstructured.Unstructured) {
	if k := d.kinds[o.GroupVersionKind()]; k != nil && k.shape != nil {
		defaulting.Default(o.Object, k.shape)
	}
}
