package serve

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// Defaulted is an object with the defaults that the API server gives its version:
// what admission sees of it. Kinds that Kubernetes does not have are left as they
// are. Fields that the kind does not have are gone; a field of another type is an
// error.
func Defaulted(o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	kind := o.GroupVersionKind()
	if !legacyscheme.Scheme.Recognizes(kind) {
		return o, nil
	}
	typed, err := legacyscheme.Scheme.New(kind)
	if err != nil {
		return nil, err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, typed); err != nil {
		return nil, fmt.Errorf("%s %s cannot be read: %w", kind.Kind, o.GetName(), err)
	}
	legacyscheme.Scheme.Default(typed)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		return nil, err
	}
	made := &unstructured.Unstructured{Object: content}
	made.SetGroupVersionKind(kind)
	return made, nil
}

// Strict is what the API server of the linked release says of an object's form, with
// strict field validation: fields that its kind does not have, and values of another
// type. known is false for kinds that Kubernetes does not have.
func Strict(o *unstructured.Unstructured) (errs []error, known bool) {
	kind := o.GroupVersionKind()
	if !legacyscheme.Scheme.Recognizes(kind) {
		return nil, false
	}
	typed, err := legacyscheme.Scheme.New(kind)
	if err != nil {
		return []error{err}, true
	}
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, typed, true)
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		return strict.Errors(), true
	}
	if err != nil {
		return []error{err}, true
	}
	return nil, true
}

// KnownTypes are the conversions between the versions of the kinds of Kubernetes.
func KnownTypes() admission.ObjectInterfaces {
	return admission.NewObjectInterfacesFromScheme(legacyscheme.Scheme)
}
