package admission

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/internal/auditid"
	"github.com/gatehouse-io/gatehouse/policy"
)

// NativeMutationExceptedAnnotation of audit events has what Exceptions let by
// MutatingAdmissionPolicies, as a JSON list of texts.
const NativeMutationExceptedAnnotation = "mutation.policy.gatehouse.io/excepted"

// notVouched is what a review is told where Exceptions do not count.
const notVouched = `["Exceptions of MutatingAdmissionPolicies do not count: the policies are about to be compiled, or some lie in files"]`

type nativeMutation struct {
	admission.MutationInterface
	shortcut
}

// exceptedMutation is how a request was answered, for when it is asked about again.
type exceptedMutation struct {
	set    *policy.Set
	output runtime.Object
}

// exceptedKey is where it stands in the request's reinvocation context.
const exceptedKey = "gatehouse.io/ExceptedMutation"

// Admit implements admission.MutationInterface. Upstream's plugin mutates, but for
// requests that an Exception lets by one of its policies; of a trace the engine knows
// which policy did what.
func (m *nativeMutation) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if before, ok := a.GetReinvocationContext().Value(exceptedKey).(*exceptedMutation); ok {
		// Of what was asked, upstream's plugin knows nothing: it would ask nobody again.
		if equality.Semantic.DeepEqual(before.output, a.GetObject()) {
			return nil
		}
		r := m.around.request(a, o)
		r.Again = true
		return m.take(a, o, before.set, r, before.set.Mutate(ctx, r))
	}
	// The engine never changes what it is shown: upstream's plugin finds the object as
	// it was.
	r := m.around.request(a, o)
	if set := m.around.Set(); set != nil && !m.around.Policy.excluded[a.GetResource().GroupResource()] {
		recorder, excepts := gate.RecorderFrom(ctx), set.MayExceptMutation(ctx, r)
		switch {
		case excepts && !m.vouches(set):
			// Upstream's plugin may know a policy that the engine does not, which is not to
			// be passed by. Of the policies no trace is told: it would tell of the Exception.
			if recorder != nil {
				annotate(ctx, a, NativeMutationExceptedAnnotation, notVouched)
			}
		case excepts || recorder != nil:
			r.Again = excepts && a.GetReinvocationContext().IsReinvoke()
			out := set.Mutate(ctx, r)
			if len(out.Excepted) > 0 {
				annotate(ctx, a, NativeMutationExceptedAnnotation, AuditAnnotations(&policy.Outcome{Excepted: out.Excepted})[ExceptedAnnotation])
				return m.take(a, o, set, r, out)
			}
			r = m.around.request(a, o)
		}
	}
	if set := m.policies(ctx); set != nil && !set.Mutates(ctx, r) {
		return nil
	}
	err := m.MutationInterface.Admit(ctx, a, o)
	m.answered(a, err)
	return err
}

func annotate(ctx context.Context, a admission.Attributes, key, value string) {
	if err := a.AddAnnotation(key, value); err != nil {
		auditid.Log(ctx).Error(err, "What policies say cannot be written into the audit event", "key", key)
	}
}

// vouches reports whether a set has all that upstream's plugin knows.
func (m *nativeMutation) vouches(set *policy.Set) bool {
	return m.may && m.around.Current != nil && m.around.Current() == set
}

// take makes what the engine came to the request's answer.
func (m *nativeMutation) take(a admission.Attributes, o admission.ObjectInterfaces, set *policy.Set, r *policy.Request, out *policy.Outcome) error {
	if len(out.Denials) > 0 {
		// Upstream's dispatcher has run the policy, and its words are what a client gets.
		if said := (*apierrors.StatusError)(nil); errors.As(out.Denials[0].Err, &said) {
			return said
		}
		return out.Error(a)
	}
	if out.Changed {
		after, err := r.Object()
		if err == nil {
			err = m.around.Policy.put(a, o, after)
		}
		if err != nil {
			return admission.NewForbidden(a, fmt.Errorf("what the mutations made of the object is not one: %w", err))
		}
		a.GetReinvocationContext().SetShouldReinvoke()
	}
	if object := a.GetObject(); object != nil {
		a.GetReinvocationContext().SetValue(exceptedKey, &exceptedMutation{set, object.DeepCopyObject()})
	}
	return nil
}
