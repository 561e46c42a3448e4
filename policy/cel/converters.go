package cel

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/client-go/applyconfigurations"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// converters know how objects of a kind are merged: which lists are maps, and by
// which keys. Those of built-in kinds are in client-go.
type converters struct {
	types   *runtime.Scheme
	builtin managedfields.TypeConverter
	custom  func(schema.GroupVersionKind) managedfields.TypeConverter
}

var _ patch.TypeConverterManager = &converters{}

func newConverters(types *runtime.Scheme, custom func(schema.GroupVersionKind) managedfields.TypeConverter) *converters {
	return &converters{types: types, builtin: applyconfigurations.NewTypeConverter(types), custom: custom}
}

// load reads the schemas of built-in kinds, which takes a while the first time.
func (c *converters) load() {
	c.GetTypeConverter(schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
}

// GetTypeConverter implements patch.TypeConverterManager. An API server knows the
// schema of every kind it serves. Here a kind may be unknown: a JSONPatch needs no
// schema and is applied all the same, an ApplyConfiguration refuses the request.
func (c *converters) GetTypeConverter(kind schema.GroupVersionKind) managedfields.TypeConverter {
	stub := &unstructured.Unstructured{}
	stub.SetGroupVersionKind(kind)
	if _, err := c.builtin.ObjectToTyped(stub); err == nil {
		return c.builtin
	}
	if c.custom != nil {
		if found := c.custom(kind); found != nil {
			return found
		}
	}
	if c.types.IsVersionRegistered(kind.GroupVersion()) {
		// Options of a Pod's exec have no schema in an API server either: there the
		// failure policy decides.
		return c.builtin
	}
	return unknownKind(kind)
}

// unknownKind is a kind whose schema nobody has. Its error refuses whatever the
// failure policy, as upstream's for a kind that it does not find.
type unknownKind schema.GroupVersionKind

var _ managedfields.TypeConverter = unknownKind{}

func (k unknownKind) err() error {
	return apierrors.NewServiceUnavailable(fmt.Sprintf("the schema of %s is not known here, which an ApplyConfiguration is merged by: add its CustomResourceDefinition, or write the mutation as a JSONPatch", schema.GroupVersionKind(k)))
}

func (k unknownKind) ObjectToTyped(runtime.Object, ...typed.ValidationOptions) (*typed.TypedValue, error) {
	return nil, k.err()
}

func (k unknownKind) TypedToObject(*typed.TypedValue) (runtime.Object, error) { return nil, k.err() }

// Run implements patch.TypeConverterManager: there is nothing to refresh.
func (c *converters) Run(context.Context) {}
