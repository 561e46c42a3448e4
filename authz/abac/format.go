package abac

import (
	"errors"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/user"
)

const (
	groupName = "abac.authorization.kubernetes.io"
	kindName  = "Policy"
)

// v1beta1Policy is the version to write.
type v1beta1Policy struct {
	metav1.TypeMeta
	Spec struct {
		User            string `json:"user"`
		Group           string `json:"group"`
		Readonly        bool   `json:"readonly"`
		APIGroup        string `json:"apiGroup"`
		Resource        string `json:"resource"`
		Namespace       string `json:"namespace"`
		NonResourcePath string `json:"nonResourcePath"`
	} `json:"spec"`
}

// v0Policy is what lines without an apiVersion and kind are.
type v0Policy struct {
	metav1.TypeMeta
	User      string `json:"user"`
	Group     string `json:"group"`
	Readonly  bool   `json:"readonly"`
	Resource  string `json:"resource"`
	Namespace string `json:"namespace"`
}

// internalPolicy is upstream's form in memory. Nobody should write it, but a file
// that names its version is accepted upstream, with the field names of Go.
type internalPolicy struct {
	metav1.TypeMeta
	Spec spec
}

func (p *v1beta1Policy) DeepCopyObject() runtime.Object  { c := *p; return &c }
func (p *v0Policy) DeepCopyObject() runtime.Object       { c := *p; return &c }
func (p *internalPolicy) DeepCopyObject() runtime.Object { c := *p; return &c }

func (p *v1beta1Policy) spec() spec {
	s := spec(p.Spec)
	if s.User == everything || s.Group == everything {
		s.User, s.Group = "", user.AllAuthenticated
	}
	return s
}

// spec gives the fields that a line of the old form leaves out their old meaning,
// which is everyone and everything.
func (p *v0Policy) spec() spec {
	s := spec{User: p.User, Group: p.Group, Readonly: p.Readonly, Resource: p.Resource, Namespace: p.Namespace, APIGroup: everything}
	if s.User == everything || s.Group == everything || s.User == "" && s.Group == "" {
		s.User, s.Group = "", user.AllAuthenticated
	}
	if s.Namespace == "" && s.Resource == "" {
		s.NonResourcePath = everything
	}
	if s.Namespace == "" {
		s.Namespace = everything
	}
	if s.Resource == "" {
		s.Resource = everything
	}
	return s
}

// decoder reads lines with the library that upstream reads them with, so that what
// it takes (YAML, keys in another case, numbers where text should be) is taken or
// refused alike. It is strict, which refuses no more but tells of ignored fields.
var decoder = sync.OnceValue(func() runtime.Decoder {
	scheme := runtime.NewScheme()
	for version, object := range map[string]runtime.Object{
		"v0": &v0Policy{}, "v1beta1": &v1beta1Policy{}, runtime.APIVersionInternal: &internalPolicy{},
	} {
		scheme.AddKnownTypeWithName(schema.GroupVersionKind{Group: groupName, Version: version, Kind: kindName}, object)
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
})

// decoded is what a line holds.
type decoded struct {
	spec
	unversioned bool
	ignored     []error // the fields that nobody reads
}

var errOtherKind = errors.New("not a policy of the old form")

func decode(line []byte) (decoded, error) {
	object, _, err := decoder().Decode(line, nil, nil)
	unversioned := runtime.IsMissingVersion(err) || runtime.IsMissingKind(err) || runtime.IsNotRegisteredError(err)
	var ignored []error
	if unversioned {
		var old v0Policy
		object, _, err = decoder().Decode(line, nil, &old)
		if object != nil && object != &old {
			// A version without a kind, or the other way round, that is not of this form.
			return decoded{}, errOtherKind
		}
	}
	if strict, ok := runtime.AsStrictDecodingError(err); ok && object != nil {
		ignored, err = strict.Errors(), nil
	}
	if err != nil {
		return decoded{}, err
	}
	d := decoded{unversioned: unversioned, ignored: ignored}
	switch p := object.(type) {
	case *v1beta1Policy:
		d.spec = p.spec()
	case *v0Policy:
		d.spec = p.spec()
	case *internalPolicy:
		d.spec = p.Spec
	}
	return d, nil
}
