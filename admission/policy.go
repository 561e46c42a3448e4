package admission

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/warning"

	"github.com/gatehouse-io/gatehouse/internal/auditid"
	"github.com/gatehouse-io/gatehouse/policy"
)

// PolicyName is the name the plugin is registered under.
const PolicyName = "GatehousePolicy"

// Annotations of audit events that the plugin writes.
const (
	// ViolationsAnnotation has what policies report without refusing or warning, as
	// a JSON list of texts.
	ViolationsAnnotation = "policy.gatehouse.io/violations"
	// ExceptedAnnotation has what Exceptions let through, as a JSON list of texts.
	ExceptedAnnotation = "policy.gatehouse.io/excepted"
)

// Policy puts the policy gate into an API server's chain: mutators when objects are
// mutated, validators when they are validated.
type Policy struct {
	*admission.Handler
	// Set is the policies in force; nil while they have not been read, and then
	// requests wait, and are refused in the end.
	Set func() *policy.Set
	// Cluster is what policies look things up in.
	Cluster func() policy.Cluster

	authorizer authorizer.UnconditionalAuthorizer
	excluded   map[schema.GroupResource]bool
}

var (
	_ admission.MutationInterface                 = &Policy{}
	_ admission.ValidationInterface               = &Policy{}
	_ initializer.WantsUnconditionalAuthorizer    = &Policy{}
	_ initializer.WantsExcludedAdmissionResources = &Policy{}
)

// RegisterPolicy makes the plugin known to a chain under PolicyName.
func RegisterPolicy(plugins *admission.Plugins, set func() *policy.Set, cluster func() policy.Cluster) {
	plugins.Register(PolicyName, func(io.Reader) (admission.Interface, error) {
		p := &Policy{Handler: admission.NewHandler(admission.Create, admission.Update, admission.Delete, admission.Connect), Set: set, Cluster: cluster}
		p.SetReadyFunc(func() bool { return set() != nil })
		return p, nil
	})
}

// SetUnconditionalAuthorizer implements initializer.WantsUnconditionalAuthorizer.
func (p *Policy) SetUnconditionalAuthorizer(a authorizer.UnconditionalAuthorizer) { p.authorizer = a }

// SetExcludedAdmissionResources implements
// initializer.WantsExcludedAdmissionResources: what is never stored, such as reviews.
func (p *Policy) SetExcludedAdmissionResources(resources []schema.GroupResource) {
	p.excluded = map[schema.GroupResource]bool{}
	for _, r := range resources {
		p.excluded[r] = true
	}
}

// ValidateInitialization implements admission.InitializationValidator.
func (p *Policy) ValidateInitialization() error {
	if p.Set == nil || p.Cluster == nil || p.authorizer == nil {
		return errors.New("the policy gate needs policies, lookups and an authorizer")
	}
	return nil
}

// policyGroups are the API groups of policies themselves. No policy judges them, as
// no webhook and no ValidatingAdmissionPolicy does: one that refused everything
// could not be taken away again.
var policyGroups = []string{
	"admissionregistration.k8s.io", "gatehouse.io",
	"templates.gatekeeper.sh", "constraints.gatekeeper.sh", "mutations.gatekeeper.sh", "expansion.gatekeeper.sh",
	"config.gatekeeper.sh", "syncset.gatekeeper.sh", "externaldata.gatekeeper.sh", "status.gatekeeper.sh",
}

// Exempt reports whether no policy judges a resource: policies themselves, and their
// definitions' instances.
func Exempt(resource schema.GroupResource) bool { return slices.Contains(policyGroups, resource.Group) }

// Admit implements admission.MutationInterface.
func (p *Policy) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if op := a.GetOperation(); op != admission.Create && op != admission.Update {
		return nil // there is nothing that could be changed
	}
	set, err := p.ready(a)
	if set == nil || err != nil {
		return err
	}
	r := p.request(a, o)
	out := set.Mutate(ctx, r)
	if err := out.Error(a); err != nil || !out.Changed {
		return err
	}
	after, err := r.Object()
	if err == nil {
		err = p.put(a, o, after)
	}
	if err != nil {
		return admission.NewForbidden(a, fmt.Errorf("what the mutations made of the object is not one: %w", err))
	}
	// Webhooks and other mutators asked before may want to see what has become of it.
	a.GetReinvocationContext().SetShouldReinvoke()
	return nil
}

// Validate implements admission.ValidationInterface.
func (p *Policy) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	set, err := p.ready(a)
	if set == nil || err != nil {
		return err
	}
	out := set.Validate(ctx, p.request(a, o))
	for i := range out.Warnings {
		warning.AddWarning(ctx, "", out.Warnings[i].Text())
	}
	annotations := AuditAnnotations(out)
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if err := a.AddAnnotation(key, annotations[key]); err != nil {
			auditid.Log(ctx).Error(err, "What policies say cannot be written into the audit event", "key", key)
		}
	}
	return out.Error(a)
}

// ready is the policies to ask; nil where none is to be asked.
func (p *Policy) ready(a admission.Attributes) (*policy.Set, error) {
	resource := a.GetResource().GroupResource()
	if p.excluded[resource] || Exempt(resource) {
		return nil, nil
	}
	set := p.Set()
	if set == nil && p.WaitForReady() {
		set = p.Set()
	}
	if set == nil {
		return nil, apierrors.NewServiceUnavailable("the policies have not been read yet")
	}
	return set, nil
}

func (p *Policy) request(a admission.Attributes, o admission.ObjectInterfaces) *policy.Request {
	r := policy.NewRequest(a, func(object runtime.Object) (*unstructured.Unstructured, error) {
		versioned, err := admission.ConvertToGVK(object, a.GetKind(), o)
		if err != nil {
			return nil, err
		}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(versioned)
		if err != nil {
			return nil, err
		}
		u := &unstructured.Unstructured{Object: content}
		u.SetGroupVersionKind(a.GetKind())
		return u, nil
	}, p.Cluster())
	r.Authorizer, r.Objects = p.authorizer, o
	return r
}

// put makes after the object of the request, in place.
func (p *Policy) put(a admission.Attributes, o admission.ObjectInterfaces, after *unstructured.Unstructured) error {
	if after.GroupVersionKind() != a.GetKind() {
		return fmt.Errorf("they made a %s of it", after.GroupVersionKind())
	}
	if u, ok := a.GetObject().(*unstructured.Unstructured); ok {
		u.Object = after.Object
		return nil
	}
	versioned, err := o.GetObjectCreater().New(a.GetKind())
	if err != nil {
		return err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(after.Object, versioned, true); err != nil {
		return err
	}
	o.GetObjectDefaulter().Default(versioned)
	return o.GetObjectConvertor().Convert(versioned, a.GetObject(), nil)
}

// mostAnnotated is how many texts an annotation has.
const mostAnnotated = 50

// AuditAnnotations are what an outcome writes into the audit event.
func AuditAnnotations(out *policy.Outcome) map[string]string {
	all := map[string]string{}
	maps.Copy(all, out.Annotations)
	for _, list := range []struct {
		key  string
		said []policy.Said
	}{{ViolationsAnnotation, out.Audits}, {ExceptedAnnotation, out.Excepted}} {
		if len(list.said) == 0 {
			continue
		}
		var texts []string
		for i := range list.said[:min(len(list.said), mostAnnotated)] {
			text := list.said[i].Text()
			if e := list.said[i].Exception; e != nil {
				text = e.Source.String() + ": " + text
			}
			texts = append(texts, text)
		}
		if value, err := utiljson.Marshal(texts); err == nil { // strings can be written
			all[list.key] = string(value)
		}
	}
	return all
}
