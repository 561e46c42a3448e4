package check

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/review"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// Ask puts a request before the authorizers, where there are any, and then, where
// admission sees it, before the policies, whatever the authorizers said: all that
// stands in its way is told. An error means that the request is none.
func (j *Judge) Ask(ctx context.Context, spec *v1alpha1.RequestReviewSpec) (*Verdict, error) {
	a, err := review.Attributes(spec)
	if err != nil {
		return nil, err
	}
	trace := j.opts.Chain.Explain(ctx, a)
	verdict := &Verdict{Mutated: &policy.Outcome{}, Validated: &policy.Outcome{}}
	q, missing, err := j.question(ctx, spec)
	if err != nil {
		return nil, err
	}
	var gates []string
	if j.opts.Chain != nil {
		gates = append(gates, review.Authorization)
	}
	switch {
	case missing != "":
		trace.Steps = append(trace.Steps, gate.Step{Gate: policy.Gate, Part: policy.Part, Opinion: gate.NoOpinion, Reason: missing})
	case q != nil:
		q.User = a.GetUser()
		if verdict, err = j.Judge(ctx, *q, true); err != nil {
			return nil, err
		}
		steps := verdict.Trace.Steps
		if !verdict.Denied() {
			steps = append(steps, gate.Step{Gate: policy.Gate, Part: policy.Part, Opinion: gate.Allow, Reason: content(verdict)})
		}
		trace.Steps = append(trace.Steps, steps...)
		gates = append(gates, policy.Gate)
	}
	trace.Decide(gates...)
	verdict.Trace = trace
	return verdict, nil
}

func content(v *Verdict) string {
	switch asked := v.Mutated.Asked + v.Validated.Asked; asked {
	case 0:
		return "no policy matches it"
	case 1:
		return "the one policy that matches does not refuse it"
	default:
		return fmt.Sprintf("none of the %d policies that match refuses it", asked)
	}
}

// operations of verbs that admission is asked about.
var operations = map[string]admission.Operation{
	"create": admission.Create, "update": admission.Update, "patch": admission.Update,
	"delete": admission.Delete, "deletecollection": admission.Delete,
}

// subresources whose objects are of another kind than the resource's own. Those
// that connect are asked about as CONNECT, whatever the verb.
var subresources = map[schema.GroupResource]map[string]schema.GroupVersionKind{
	{Resource: "pods"}: {
		"exec": core("PodExecOptions"), "attach": core("PodAttachOptions"), "portforward": core("PodPortForwardOptions"), "proxy": core("PodProxyOptions"),
		"binding": core("Binding"), "eviction": {Group: "policy", Version: "v1", Kind: "Eviction"},
	},
	{Resource: "services"}:                    {"proxy": core("ServiceProxyOptions")},
	{Resource: "nodes"}:                       {"proxy": core("NodeProxyOptions")},
	{Resource: "serviceaccounts"}:             {"token": {Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"}},
	{Resource: "replicationcontrollers"}:      {"scale": scale},
	{Group: "apps", Resource: "deployments"}:  {"scale": scale},
	{Group: "apps", Resource: "replicasets"}:  {"scale": scale},
	{Group: "apps", Resource: "statefulsets"}: {"scale": scale},
}

var scale = schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}

func core(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Version: "v1", Kind: kind}
}

// question is what admission is asked of a request; nil where it does not see it.
// missing says what would be needed to ask.
func (j *Judge) question(ctx context.Context, spec *v1alpha1.RequestReviewSpec) (q *Question, missing string, err error) {
	a := spec.ResourceAttributes
	if a == nil {
		return nil, "", nil
	}
	object, err := decode(spec.Object, "object")
	if err != nil {
		return nil, "", err
	}
	old, err := decode(spec.OldObject, "oldObject")
	if err != nil {
		return nil, "", err
	}
	resource := schema.GroupResource{Group: a.Group, Resource: a.Resource}
	kind, namespaced, known := j.opts.Kinds.KindOf(resource)
	if given := object; given != nil || old != nil {
		if given == nil {
			given = old
		}
		// The version is that of the object; a kind that nobody knows is what it says.
		if of := given.GroupVersionKind(); !known || of.GroupKind() == kind.GroupKind() {
			kind, namespaced = of, namespaced || !known && a.Namespace != ""
			known = true
		}
	}
	if !known {
		return nil, "", fmt.Errorf("the resource %s is not known", resource)
	}
	parent := kind
	if a.Version != "" && a.Version != "*" {
		parent.Version = a.Version
	}
	operation, ok := operations[a.Verb]
	if a.Subresource != "" {
		if of, other := subresources[resource][a.Subresource]; other {
			kind = of
		}
		if strings.HasSuffix(kind.Kind, "Options") && (ok || a.Verb == "get") {
			operation, ok = admission.Connect, true
		}
	}
	if !ok {
		return nil, "", nil
	}
	q = &Question{Operation: operation, Kind: kind, Resource: parent.GroupVersion().WithResource(a.Resource), Subresource: a.Subresource, Name: a.Name, Object: object, OldObject: old}
	if namespaced {
		q.Namespace = a.Namespace
	} else if parent.Group == "" && parent.Kind == "Namespace" {
		q.Namespace = a.Name
	}
	if old == nil && a.Name != "" && (operation == admission.Update || operation == admission.Delete) {
		at := q.Namespace
		if !namespaced {
			at = ""
		}
		if q.OldObject, err = j.opts.Cluster.Object(ctx, kind, at, a.Name); err != nil && !apierrors.IsNotFound(err) {
			return nil, "", fmt.Errorf("read %s %s: %w", kind.Kind, a.Name, err)
		}
		if err != nil {
			return nil, fmt.Sprintf("not asked: there is no %s %q to %s; set spec.oldObject", parent.Kind, a.Name, a.Verb), nil
		}
	}
	switch operation {
	case admission.Create, admission.Update:
		if object == nil {
			return nil, "", nil // whether it may be asked for is the question
		}
	case admission.Connect:
		if object == nil {
			q.Object = &unstructured.Unstructured{Object: map[string]any{}}
			q.Object.SetGroupVersionKind(kind)
		}
	}
	if operation == admission.Create && a.Subresource == "" {
		if q.Name == "" {
			q.Name = object.GetName()
		}
		if in := object.GetNamespace(); in != "" && in != a.Namespace && namespaced {
			return nil, "", fmt.Errorf("the object is in the namespace %q, and the request in %q", in, a.Namespace)
		}
		if parent.Group == "" && parent.Kind == "Namespace" {
			q.Namespace = q.Name
		}
	}
	if q.Object != nil && q.Object.GroupVersionKind().GroupKind() != kind.GroupKind() {
		return nil, "", fmt.Errorf("object is a %s, and the request is for a %s", q.Object.GroupVersionKind().GroupKind(), kind.GroupKind())
	}
	return q, "", nil
}

func decode(raw *runtime.RawExtension, field string) (*unstructured.Unstructured, error) {
	if raw == nil {
		return nil, nil
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw.Raw); err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return u, nil
}

// Creation is the question whether an object may be created. namespace is for an
// object that needs one and names none.
func (j *Judge) Creation(o *unstructured.Unstructured, namespace string) Question {
	kind := o.GroupVersionKind()
	q := Question{Operation: admission.Create, Kind: kind, Name: o.GetName(), Object: o, Namespace: o.GetNamespace()}
	resource, namespaced, known := j.opts.Kinds.ResourceOf(kind.GroupKind())
	switch {
	case !known:
		q.Resource, _ = meta.UnsafeGuessKindToResource(kind)
	default:
		q.Resource = kind.GroupVersion().WithResource(resource)
		if !namespaced {
			q.Namespace = ""
		} else if q.Namespace == "" {
			q.Namespace = namespace
		}
	}
	if kind.Group == "" && kind.Kind == "Namespace" {
		q.Namespace = o.GetName()
	}
	return q
}

// Review is the same question as a RequestReview asks it.
func (q *Question) Review(verb string) *authorizationv1.ResourceAttributes {
	return &authorizationv1.ResourceAttributes{Verb: verb, Group: q.Resource.Group, Version: q.Resource.Version, Resource: q.Resource.Resource,
		Subresource: q.Subresource, Namespace: q.Namespace, Name: q.Name}
}

// chained is the verdict of a chain as an authorizer: that of the first part which
// allows or denies.
type chained review.Chain

// Authorize implements authorizer.UnconditionalAuthorizer.
func (c chained) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	var errs []error
	for _, part := range c {
		decision, reason, err := part.Authorizer.Authorize(ctx, a)
		if decision != authorizer.DecisionNoOpinion {
			return decision, reason, err
		}
		errs = append(errs, err)
	}
	return authorizer.DecisionNoOpinion, "", errors.Join(errs...)
}
