package cel

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/client-go/applyconfigurations"
)

// converters know how objects of a kind are merged: which lists are maps, and by
// which keys. Those of built-in kinds are in client-go.
type converters struct {
	builtin managedfields.TypeConverter
	custom  func(schema.GroupVersionKind) managedfields.TypeConverter
}

var _ patch.TypeConverterManager = &converters{}

func newConverters(types *runtime.Scheme, custom func(schema.GroupVersionKind) managedfields.TypeConverter) *converters {
	return &converters{builtin: applyconfigurations.NewTypeConverter(types), custom: custom}
}

// load reads the schemas of built-in kinds, which takes a while the first time.
func (c *converters) load() {
	c.GetTypeConverter(schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
}

// GetTypeConverter implements patch.TypeConverterManager. Nil says that the kind is
// not known: upstream then refuses the request.
func (c *converters) GetTypeConverter(kind schema.GroupVersionKind) managedfields.TypeConverter {
	stub := &unstructured.Unstructured{}
	stub.SetGroupVersionKind(kind)
	if _, err := c.builtin.ObjectToTyped(stub); err == nil {
		return c.builtin
	}
	if c.custom == nil {
		return nil
	}
	return c.custom(kind)
}

// Run implements patch.TypeConverterManager: there is nothing to refresh.
func (c *converters) Run(context.Context) {}
