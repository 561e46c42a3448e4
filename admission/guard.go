package admission

import (
	"context"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// GuardCheckName is the name the plugin is registered under.
const GuardCheckName = "GuardCheck"

// GuardCheck refuses a Guard that would not do what it says, or that would leave
// nobody who could delete it: once it is stored, that would be too late.
type GuardCheck struct {
	*admission.Handler
	// Compile says what is wrong with a Guard by itself.
	Compile func(*v1alpha1.Guard) error
	// LockOut says whether nobody could delete Guards any more with this one in
	// force.
	LockOut func(*v1alpha1.Guard) error
}

var _ admission.ValidationInterface = &GuardCheck{}

// RegisterGuardCheck makes the plugin known to a chain under GuardCheckName.
func RegisterGuardCheck(plugins *admission.Plugins, compile, lockOut func(*v1alpha1.Guard) error) {
	plugins.Register(GuardCheckName, func(io.Reader) (admission.Interface, error) {
		return &GuardCheck{admission.NewHandler(admission.Create, admission.Update), compile, lockOut}, nil
	})
}

// Validate implements admission.ValidationInterface.
func (p *GuardCheck) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	resource := v1alpha1.SchemeGroupVersion.WithResource("guards").GroupResource()
	if a.GetResource().GroupResource() != resource || a.GetSubresource() != "" {
		return nil
	}
	g := &v1alpha1.Guard{}
	switch o := a.GetObject().(type) {
	case *v1alpha1.Guard:
		g = o
	case runtime.Unstructured:
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.UnstructuredContent(), g); err != nil {
			return admission.NewForbidden(a, fmt.Errorf("read Guard: %w", err))
		}
	default:
		return admission.NewForbidden(a, fmt.Errorf("an object of type %T is no Guard", o))
	}
	if err := p.Compile(g); err != nil {
		return apierrors.NewInvalid(v1alpha1.SchemeGroupVersion.WithKind("Guard").GroupKind(), g.Name,
			field.ErrorList{field.Invalid(field.NewPath("spec"), field.OmitValueType{}, err.Error())})
	}
	if err := p.LockOut(g); err != nil {
		return admission.NewForbidden(a, err)
	}
	return nil
}
