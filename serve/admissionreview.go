package serve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/client-go/dynamic"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/review"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// explainAdmission puts a request before every plugin of the chain, as a dry run, and
// says what each made of it: those that refuse, warn or change something, and, even
// where they have nothing to say, those that people ask about. It goes on after a
// refusal. Requests that admission does not see get no step.
func (g *policyGate) explainAdmission(ctx context.Context, objects dynamic.Interface, who user.Info, spec *v1alpha1.RequestReviewSpec) ([]gate.Step, error) {
	r, err := g.reviewed(ctx, objects, who, spec)
	if err != nil || r == nil {
		return nil, err
	}
	if r.missing != "" {
		return []gate.Step{{Gate: policy.Gate, Part: "chain", Opinion: gate.NoOpinion, Reason: r.missing}}, nil
	}
	namespace := r.GetNamespace()
	ctx = request.WithUser(request.WithNamespace(ctx, namespace), who)
	var steps []gate.Step
	var agreed []string
	disagreed := map[string]bool{}
	for _, p := range g.parts {
		if p.handler.Handles(r.GetOperation()) {
			agreed = append(agreed, p.name)
		}
	}
	pass := func(mutating, again bool) {
		for _, p := range g.parts {
			if !p.handler.Handles(r.GetOperation()) {
				continue
			}
			said := r.ask(ctx, p, mutating)
			for _, s := range said {
				// A plugin that is content is told of where people ask, once.
				if s.Opinion == gate.NoOpinion && len(s.Sources) == 0 &&
					(again || disagreed[p.name] || namespace == "" || s.Part == p.name && !slices.Contains(alwaysTold, p.name)) {
					continue
				}
				if s.Opinion == gate.Deny {
					disagreed[p.name] = true
				}
				steps = append(steps, s)
			}
		}
	}
	pass(true, false)
	if r.GetReinvocationContext().ShouldReinvoke() {
		// As upstream's reinvoker: once more, for those that want to see what others made.
		r.GetReinvocationContext().SetIsReinvoke()
		pass(true, true)
	}
	pass(false, false)
	if len(disagreed) == 0 {
		steps = append(steps, gate.Step{Gate: policy.Gate, Part: "chain", Opinion: gate.Allow, Reason: "none of " + strings.Join(agreed, ", ") + " refuses it"})
	}
	return steps, nil
}

// alwaysTold are the plugins whose say is shown when they are content, too.
var alwaysTold = []string{"PodSecurity", "LimitRanger", "Priority", "ResourceQuota"}

// reviewedRequest is what a plugin is shown. It collects what they write.
type reviewedRequest struct {
	admission.Attributes
	objects admission.ObjectInterfaces
	// missing says why admission cannot be asked.
	missing string

	mu          sync.Mutex
	annotations []string
	warnings    []string
}

// AddAnnotation implements admission.Attributes.
func (r *reviewedRequest) AddAnnotation(key, value string) error {
	return r.AddAnnotationWithLevel(key, value, auditinternal.LevelMetadata)
}

// AddAnnotationWithLevel implements admission.Attributes.
func (r *reviewedRequest) AddAnnotationWithLevel(key, value string, _ auditinternal.Level) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.annotations = append(r.annotations, key+": "+value)
	return nil
}

// AddWarning implements warning.Recorder.
func (r *reviewedRequest) AddWarning(_, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warnings = append(r.warnings, text)
}

func (r *reviewedRequest) said() (warnings, annotations []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	warnings, annotations = r.warnings, r.annotations
	r.warnings, r.annotations = nil, nil
	return warnings, annotations
}

// unaudited hides the audit event of a request: what plugins write there is of what is
// reviewed, and not of the review.
type unaudited struct{ context.Context }

// Value implements context.Context.
func (c unaudited) Value(key any) any {
	value := c.Context.Value(key)
	if _, ok := value.(*audit.AuditContext); ok {
		return nil
	}
	return value
}

// ask has one plugin judge the request.
func (r *reviewedRequest) ask(ctx context.Context, p admissionPart, mutating bool) []gate.Step {
	recorder := &gate.Recorder{All: true}
	ctx = audit.WithAuditContext(unaudited{gate.WithRecorder(warning.WithWarningRecorder(ctx, r), recorder)})
	begun := time.Now()
	var before map[string]any
	var err error
	if mutating {
		m, ok := p.handler.(admission.MutationInterface)
		if !ok {
			return nil
		}
		before = r.content()
		err = safely(func() error { return m.Admit(ctx, r, r.objects) })
	} else {
		v, ok := p.handler.(admission.ValidationInterface)
		if !ok {
			return nil
		}
		err = safely(func() error { return v.Validate(ctx, r, r.objects) })
	}
	took := time.Since(begun)
	steps := recorder.Steps()
	warnings, annotations := r.said()
	written := audit.AuditContextFrom(ctx).GetEventAnnotations()
	for _, key := range slices.Sorted(maps.Keys(written)) {
		annotations = append(annotations, key+": "+written[key])
	}
	if len(steps) > 0 { // it speaks for itself
		return steps
	}
	step := gate.Step{Gate: policy.Gate, Part: p.name, Opinion: gate.NoOpinion, Reason: "nothing is wrong", Took: took}
	switch {
	case err != nil:
		step.Opinion, step.Reason = gate.Deny, reasonOf(err)
	case len(warnings) > 0:
		step.Opinion, step.Reason = gate.Warn, strings.Join(warnings, "; ")
	}
	if mutating {
		if after := r.content(); before != nil && after != nil && !reflect.DeepEqual(before, after) {
			if err == nil {
				step.Opinion, step.Reason = gate.Mutate, ""
			}
			step.Patch = policy.Patch(before, after)
		} else if err == nil && len(warnings) == 0 && slices.Contains(alwaysTold, p.name) && validates(p) {
			return nil // it speaks when it validates
		}
	}
	if len(annotations) > 0 {
		step.Reason = strings.TrimPrefix(step.Reason+" ["+strings.Join(annotations, "; ")+"]", " ")
	}
	return []gate.Step{step}
}

func validates(p admissionPart) bool {
	_, ok := p.handler.(admission.ValidationInterface)
	return ok
}

func safely(ask func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the plugin panicked: %T", p)
		}
	}()
	return ask()
}

// reasonOf is what a refusal says, without the request that everybody knows here.
func reasonOf(err error) string {
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		return status.Status().Message
	}
	return err.Error()
}

// content is the object as it is now, in the version of the request.
func (r *reviewedRequest) content() map[string]any {
	if r.GetObject() == nil {
		return nil
	}
	versioned, err := admission.ConvertToGVK(r.GetObject(), r.GetKind(), r.objects)
	if err != nil {
		return nil
	}
	if u, ok := versioned.(*unstructured.Unstructured); ok {
		return u.DeepCopy().Object
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(versioned)
	if err != nil {
		return nil
	}
	return content
}

// operations of verbs that admission is asked about.
var operations = map[string]admission.Operation{
	"create": admission.Create, "update": admission.Update, "patch": admission.Update,
	"delete": admission.Delete, "deletecollection": admission.Delete,
}

// connecting are the kinds of options of subresources that connect: the operation
// is CONNECT, whatever the verb.
var connecting = []string{"PodExecOptions", "PodAttachOptions", "PodPortForwardOptions", "PodProxyOptions", "ServiceProxyOptions", "NodeProxyOptions"}

// reviewed reads the request as the API server's handlers would make it; nil where
// admission does not see it.
func (g *policyGate) reviewed(ctx context.Context, objects dynamic.Interface, who user.Info, spec *v1alpha1.RequestReviewSpec) (*reviewedRequest, error) {
	a := spec.ResourceAttributes
	if a == nil {
		return nil, nil
	}
	operation, ok := operations[a.Verb]
	mapper := g.mapper.Load()
	resource, err := mapper.ResourceFor(schema.GroupVersionResource{Group: a.Group, Version: strings.TrimPrefix(a.Version, "*"), Resource: a.Resource})
	if meta.IsNoMatchError(err) {
		return nil, fmt.Errorf("the server has no resource %q in the group %q", a.Resource, a.Group)
	}
	if err != nil {
		return nil, err
	}
	kind, err := mapper.KindFor(resource)
	if err != nil {
		return nil, err
	}
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	parent := kind
	if a.Subresource != "" {
		if kind, err = g.subresourceKind(resource, a.Subresource); err != nil {
			return nil, err
		}
		if slices.Contains(connecting, kind.Kind) && (ok || a.Verb == "get") {
			operation, ok = admission.Connect, true
		}
	}
	if !ok {
		return nil, nil
	}
	r := &reviewedRequest{}
	namespace := ""
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		namespace = a.Namespace
	} else if parent.Group == "" && parent.Kind == "Namespace" {
		namespace = a.Name
	}
	stored := func() (*runtime.RawExtension, error) {
		if spec.OldObject != nil || a.Name == "" {
			return spec.OldObject, nil
		}
		client := dynamic.ResourceInterface(objects.Resource(mapping.Resource))
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			client = objects.Resource(mapping.Resource).Namespace(namespace)
		}
		found, err := client.Get(ctx, a.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		data, err := found.MarshalJSON()
		return &runtime.RawExtension{Raw: data}, err
	}

	var object, old *runtime.RawExtension
	var options runtime.Object
	switch operation {
	case admission.Create:
		object, options = spec.Object, &metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
		if object == nil {
			return nil, nil // whether it may be asked for is the question
		}
	case admission.Update:
		object, options = spec.Object, &metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}
		if object == nil {
			return nil, nil
		}
		if old, err = stored(); err == nil && old == nil {
			r.missing = fmt.Sprintf("not asked: there is no %s %q to update; set spec.oldObject", parent.Kind, a.Name)
		}
	case admission.Delete:
		options = &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}
		if old, err = stored(); err == nil && old == nil && a.Name != "" {
			r.missing = fmt.Sprintf("not asked: there is no %s %q to delete; set spec.oldObject", parent.Kind, a.Name)
		}
	case admission.Connect:
		if object = spec.Object; object == nil {
			object = &runtime.RawExtension{Raw: fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q}`, kind.GroupVersion().String(), kind.Kind)}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read what is stored: %w", err)
	}
	if r.missing != "" {
		return r, nil
	}
	body, err := decodeObject(object, kind, "object")
	if err != nil {
		return nil, err
	}
	before, err := decodeObject(old, kind, "oldObject")
	if err != nil {
		return nil, err
	}
	r.objects = objectInterfaces(kind)
	name := a.Name
	if m, err := meta.Accessor(body); err == nil && body != nil && operation == admission.Create && a.Subresource == "" {
		if name == "" {
			name = m.GetName()
		}
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace && m.GetNamespace() == "" {
			m.SetNamespace(namespace)
		}
		if m.GetNamespace() != "" && m.GetNamespace() != namespace && mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			return nil, fmt.Errorf("the object is in the namespace %q, and the request in %q", m.GetNamespace(), namespace)
		}
		if parent.Group == "" && parent.Kind == "Namespace" {
			namespace = name
		}
	}
	r.Attributes = admission.NewAttributesRecord(body, before, kind, namespace, name, mapping.Resource, a.Subresource, operation, options, operation != admission.Connect, who)
	return r, nil
}

func (g *policyGate) subresourceKind(resource schema.GroupVersionResource, subresource string) (schema.GroupVersionKind, error) {
	list, err := g.discovery.ServerResourcesForGroupVersion(resource.GroupVersion().String())
	if err != nil {
		return schema.GroupVersionKind{}, err
	}
	for _, r := range list.APIResources {
		if r.Name == resource.Resource+"/"+subresource {
			kind := resource.GroupVersion().WithKind(r.Kind)
			if r.Version != "" {
				kind.Group, kind.Version = r.Group, r.Version
			}
			return kind, nil
		}
	}
	return schema.GroupVersionKind{}, fmt.Errorf("the resource %q has no subresource %q", resource.Resource, subresource)
}

// decodeObject reads a body as the handlers do: defaulted and in the internal
// version for the kinds of Kubernetes, as it is for others.
func decodeObject(raw *runtime.RawExtension, kind schema.GroupVersionKind, field string) (runtime.Object, error) {
	if raw == nil {
		return nil, nil
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw.Raw); err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if u.GroupVersionKind().GroupKind() != kind.GroupKind() {
		return nil, fmt.Errorf("%s is a %s, and the request is for a %s", field, u.GroupVersionKind().GroupKind(), kind.GroupKind())
	}
	if !legacyscheme.Scheme.Recognizes(u.GroupVersionKind()) {
		return u, nil
	}
	decoded, err := runtime.Decode(legacyscheme.Codecs.UniversalDecoder(), raw.Raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return decoded, nil
}

func objectInterfaces(kind schema.GroupVersionKind) admission.ObjectInterfaces {
	if legacyscheme.Scheme.Recognizes(kind) {
		return admission.NewObjectInterfacesFromScheme(legacyscheme.Scheme)
	}
	return schemaless{}
}

// schemaless are the interfaces of custom resources: they have one form.
type schemaless struct{}

func (schemaless) GetObjectCreater() runtime.ObjectCreater     { return schemaless{} }
func (schemaless) GetObjectTyper() runtime.ObjectTyper         { return legacyscheme.Scheme }
func (schemaless) GetObjectDefaulter() runtime.ObjectDefaulter { return schemaless{} }
func (schemaless) GetObjectConvertor() runtime.ObjectConvertor { return legacyscheme.Scheme }
func (schemaless) GetEquivalentResourceMapper() runtime.EquivalentResourceMapper {
	return runtime.NewEquivalentResourceRegistry()
}

// New implements runtime.ObjectCreater.
func (schemaless) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	return u, nil
}

// Default implements runtime.ObjectDefaulter.
func (schemaless) Default(runtime.Object) {}

// explain is a request before the authorizers and, as far as it can be, admission.
func (c *authorizerChain) explain(ctx context.Context, spec *v1alpha1.RequestReviewSpec) (*gate.Trace, error) {
	trace, err := c.current.Load().parts.Request(ctx, spec)
	if err != nil || c.policies == nil {
		return trace, err
	}
	a, err := review.Attributes(spec)
	if err != nil {
		return nil, err
	}
	steps, err := c.policies.explainAdmission(ctx, c.policies.objects, a.GetUser(), spec)
	if err != nil {
		return nil, err
	}
	trace.Steps = append(trace.Steps, steps...)
	gates := []string{review.Authorization}
	if slices.ContainsFunc(steps, func(s gate.Step) bool { return s.Opinion == gate.Allow || s.Opinion == gate.Deny }) {
		gates = append(gates, policy.Gate)
	}
	trace.Decide(gates...)
	return trace, nil
}
