package cel

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured/unstructuredscheme"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/kubernetes/scheme"
)

// server is what is known of the types of an API server where none is at hand: the
// built-in kinds, and that objects are unstructured. It stands in for a server's
// admission.ObjectInterfaces.
type server struct {
	types *runtime.Scheme
	// equivalents of a built-in resource, each worked out once: resourceKey →
	// []schema.GroupVersionResource.
	equivalents sync.Map
}

type resourceKey struct {
	resource    schema.GroupVersionResource
	subresource string
}

var (
	_ admission.ObjectInterfaces       = &server{}
	_ runtime.EquivalentResourceMapper = &server{}
	_ runtime.ObjectConvertor          = &server{}
	_ runtime.ObjectDefaulter          = &server{}
)

func newServer() *server { return &server{types: scheme.Scheme} }

func (s *server) GetObjectCreater() runtime.ObjectCreater {
	return unstructuredscheme.NewUnstructuredCreator()
}
func (s *server) GetObjectTyper() runtime.ObjectTyper {
	return unstructuredscheme.NewUnstructuredObjectTyper()
}
func (s *server) GetObjectDefaulter() runtime.ObjectDefaulter                   { return s }
func (s *server) GetObjectConvertor() runtime.ObjectConvertor                   { return s }
func (s *server) GetEquivalentResourceMapper() runtime.EquivalentResourceMapper { return s }

// Default leaves objects as they are: an API server does it behind a webhook.
func (s *server) Default(runtime.Object) {}

// EquivalentResourcesFor are the versions of a built-in resource that its objects
// can be shown in without a server: those whose kind has the same fields.
func (s *server) EquivalentResourcesFor(resource schema.GroupVersionResource, subresource string) []schema.GroupVersionResource {
	key := resourceKey{resource, subresource}
	if found, ok := s.equivalents.Load(key); ok {
		return found.([]schema.GroupVersionResource)
	}
	equivalents := []schema.GroupVersionResource{resource}
	from := s.KindFor(resource, subresource)
	if from.Empty() {
		return equivalents // of a kind that is not built in: nothing is kept for those
	}
	// A Scale or an Eviction has a group of its own, and no other version.
	if from.Group == resource.Group {
		for _, gv := range s.types.VersionsForGroupKind(from.GroupKind()) {
			if gv.Version != resource.Version && s.sameFields(from, gv.WithKind(from.Kind)) {
				equivalents = append(equivalents, gv.WithResource(resource.Resource))
			}
		}
	}
	s.equivalents.Store(key, equivalents)
	return equivalents
}

// KindFor is the kind of a built-in resource; the empty one where it is not known.
func (s *server) KindFor(resource schema.GroupVersionResource, _ string) schema.GroupVersionKind {
	for kind := range s.types.KnownTypes(resource.GroupVersion()) {
		if plural, _ := pluralOf(kind); plural == resource.Resource {
			return resource.GroupVersion().WithKind(kind)
		}
	}
	return schema.GroupVersionKind{}
}

// sameFields reports whether two kinds read and write the same JSON.
func (s *server) sameFields(a, b schema.GroupVersionKind) bool {
	types := s.types.AllKnownTypes()
	return types[a] != nil && types[b] != nil && sameShape(types[a], types[b], map[[2]reflect.Type]bool{})
}

func sameShape(a, b reflect.Type, seen map[[2]reflect.Type]bool) bool {
	if a == b || seen[[2]reflect.Type{a, b}] {
		return true
	}
	seen[[2]reflect.Type{a, b}] = true
	if a.Kind() != b.Kind() {
		return false
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Slice:
		return sameShape(a.Elem(), b.Elem(), seen)
	case reflect.Map:
		return sameShape(a.Key(), b.Key(), seen) && sameShape(a.Elem(), b.Elem(), seen)
	case reflect.Struct:
		if a.NumField() != b.NumField() {
			return false
		}
		for i := range a.NumField() {
			// What the tag says beyond the name changes how an empty one is written.
			of, other := a.Field(i), b.Field(i)
			if of.Tag.Get("json") != other.Tag.Get("json") || !sameShape(of.Type, other.Type, seen) {
				return false
			}
		}
	}
	return true
}

// convert is an object in the version of another kind.
func (s *server) convert(object any, kind schema.GroupVersionKind, with admission.ObjectInterfaces) (runtime.Object, error) {
	from, ok := object.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("an object of type %T is not unstructured", object)
	}
	if with == nil {
		if !s.sameFields(from.GroupVersionKind(), kind) {
			return nil, fmt.Errorf("nobody is there to convert %s to %s", from.GroupVersionKind(), kind)
		}
		// One level is copied: what is below is the same, and read alone.
		to := &unstructured.Unstructured{Object: make(map[string]any, len(from.Object))}
		for field, value := range from.Object {
			to.Object[field] = value
		}
		to.SetGroupVersionKind(kind)
		return to, nil
	}
	internal, err := with.GetObjectConvertor().ConvertToVersion(from, schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal})
	if err != nil {
		return nil, err
	}
	typed, err := with.GetObjectConvertor().ConvertToVersion(internal, kind.GroupVersion())
	if err != nil {
		return nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		return nil, err
	}
	to := &unstructured.Unstructured{Object: content}
	to.SetGroupVersionKind(kind)
	return to, nil
}

// bridge is a server for upstream's dispatcher of mutations: objects are unstructured,
// and versions are converted by the server that asks, where there is one.
type bridge struct {
	*server
	asking admission.ObjectInterfaces
}

func (b bridge) GetObjectConvertor() runtime.ObjectConvertor { return b }

func (b bridge) GetEquivalentResourceMapper() runtime.EquivalentResourceMapper {
	if b.asking != nil {
		return b.asking.GetEquivalentResourceMapper()
	}
	return b.server
}

// Convert gives out the content of in, in the version that out has.
func (b bridge) Convert(in, out, _ any) error {
	from, ok := in.(*unstructured.Unstructured)
	to, alsoOK := out.(*unstructured.Unstructured)
	if !ok || !alsoOK {
		return fmt.Errorf("convert %T to %T: nobody is there who can", in, out)
	}
	if from.GroupVersionKind() == to.GroupVersionKind() {
		to.Object = from.Object
		return nil
	}
	converted, err := b.convert(from, to.GroupVersionKind(), b.asking)
	if err != nil {
		return err
	}
	to.Object = converted.(*unstructured.Unstructured).Object
	return nil
}

// Convert is that of a bridge to nobody.
func (s *server) Convert(in, out, context any) error {
	return bridge{server: s}.Convert(in, out, context)
}

// ConvertToVersion returns what is of the version already.
func (s *server) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	kind := in.GetObjectKind().GroupVersionKind()
	if to, ok := target.KindForGroupVersionKinds([]schema.GroupVersionKind{kind}); ok && to == kind {
		return in, nil
	}
	return nil, fmt.Errorf("convert %s: nobody is there who can", kind)
}

// ConvertFieldLabel knows no fields.
func (s *server) ConvertFieldLabel(kind schema.GroupVersionKind, label, _ string) (string, string, error) {
	return "", "", fmt.Errorf("field %q of %s is not known", label, kind)
}

// pluralOf is the resource name of a built-in kind.
func pluralOf(kind string) (string, bool) {
	if kind == "Endpoints" {
		return "endpoints", true
	}
	lower := strings.ToLower(kind)
	switch {
	case strings.HasSuffix(lower, "list"), strings.HasSuffix(lower, "options"):
		return "", false
	case strings.HasSuffix(lower, "s"):
		return lower + "es", true
	case strings.HasSuffix(lower, "y"):
		return lower[:len(lower)-1] + "ies", true
	}
	return lower + "s", true
}
