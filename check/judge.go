package check

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	gateadmission "github.com/gatehouse-io/gatehouse/admission"
	"github.com/gatehouse-io/gatehouse/authz/review"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// Kinds knows which resource objects of a kind are, and the other way round. The
// two name the resource in its plural, without a subresource.
type Kinds interface {
	ResourceOf(kind schema.GroupKind) (resource string, namespaced, known bool)
	KindOf(resource schema.GroupResource) (kind schema.GroupVersionKind, namespaced, known bool)
}

// Options are what a Judge knows.
type Options struct {
	// Engines compile the policies; the Judge has them to itself.
	Engines []policy.Engine
	// Policies are in force, and the Exceptions among them.
	Policies []policy.Object
	// Extra are policies that no object states, such as package podsecurity's.
	Extra []policy.Policy
	// Cluster is what policies look things up in. Default: nothing.
	Cluster policy.Cluster
	// Kinds are those there are. Needed.
	Kinds Kinds
	// Prepare makes of an object what an API server would put before admission: with
	// the defaults of its version. The one it is given may be changed. Default: it is
	// taken as it is.
	Prepare func(*unstructured.Unstructured) (*unstructured.Unstructured, error)
	// Objects knows the types of the server, for a matchPolicy Equivalent. Default:
	// none are known.
	Objects admission.ObjectInterfaces
	// Chain are the authorizers that are asked before, and by policies. Default: none
	// are asked, and a policy that asks cannot be evaluated.
	Chain review.Chain
	// Set shapes the set of policies; its Exceptions are those among Policies.
	Set policy.Options
}

// Judge asks policies about objects.
type Judge struct {
	opts Options
	set  *policy.Set
	// Loaded are the policies in force, what is wrong with others, and the kinds that
	// they look up.
	Loaded policy.Loaded
	// Exceptions are those among the policies.
	Exceptions *policy.Exceptions

	authorizer authorizer.UnconditionalAuthorizer
	lookups    *assuming
}

// New compiles the policies. Those that do not compile are among the Problems of
// Loaded, and the others in force.
func New(opts Options) *Judge {
	if opts.Cluster == nil {
		opts.Cluster = &cluster.Known{}
	}
	if opts.Prepare == nil {
		opts.Prepare = func(o *unstructured.Unstructured) (*unstructured.Unstructured, error) { return o, nil }
	}
	j := &Judge{opts: opts, lookups: &assuming{Cluster: opts.Cluster}}
	loaded, others := policy.Load(opts.Engines, opts.Policies)
	loaded.Policies = append(loaded.Policies, opts.Extra...)
	exceptions, problems := policy.LoadExceptions(others, nil)
	loaded.Problems = append(loaded.Problems, problems...)
	j.Loaded, j.Exceptions = loaded, exceptions
	opts.Set.Exceptions = exceptions
	j.set = policy.NewSet(loaded.Policies, opts.Set)
	if opts.Chain != nil {
		j.authorizer = chained(opts.Chain)
	}
	return j
}

// Assumed are the namespaces that were taken to have no labels but their name,
// since nobody gave them.
func (j *Judge) Assumed() []string { return j.lookups.names() }

// Question is one request. Where Resource is empty it is that of Kind.
type Question struct {
	Operation   admission.Operation
	Kind        schema.GroupVersionKind
	Resource    schema.GroupVersionResource
	Subresource string
	Namespace   string
	Name        string
	// Object is what is written; nil for a deletion. OldObject is what is there; nil
	// for a creation. Neither is changed.
	Object, OldObject *unstructured.Unstructured
	// User asks. Default: nobody in particular.
	User user.Info
}

// Verdict is what the gates make of a Question.
type Verdict struct {
	// Trace has the authorizers' steps and the policies'.
	Trace *gate.Trace
	// Mutated and Validated are what the mutators and the validators come to; never
	// nil. After a mutation that failed validators are asked nevertheless, so that
	// all that is wrong is told.
	Mutated, Validated *policy.Outcome
	// Given is the object as it was put before the policies, and Object as they left
	// it; nil for a deletion.
	Given, Object *unstructured.Unstructured
}

// Denied reports whether a policy refuses.
func (v *Verdict) Denied() bool { return len(v.Mutated.Denials)+len(v.Validated.Denials) > 0 }

// Judge asks the policies. An error means that the object is not one that could be
// judged. With steps the verdict has a trace of every policy that was asked.
func (j *Judge) Judge(ctx context.Context, q Question, steps bool) (*Verdict, error) {
	v := &Verdict{Mutated: &policy.Outcome{}, Validated: &policy.Outcome{}, Trace: &gate.Trace{}}
	object, err := j.prepare(q.Object, q.Namespace)
	if err != nil {
		return nil, err
	}
	old, err := j.prepare(q.OldObject, q.Namespace)
	if err != nil {
		return nil, fmt.Errorf("the old object: %w", err)
	}
	v.Given, v.Object = object, object
	if gateadmission.Exempt(q.Resource.GroupResource()) {
		return v, nil
	}
	who := q.User
	if who == nil {
		who = &user.DefaultInfo{}
	}
	a := admission.NewAttributesRecord(asRuntime(object), asRuntime(old), q.Kind, q.Namespace, q.Name, q.Resource, q.Subresource,
		q.Operation, optionsOf(q.Operation), q.Operation != admission.Connect, who)
	r := policy.NewRequest(a, nil, j.lookups)
	r.Authorizer, r.Objects = j.authorizer, j.opts.Objects
	recorder := &gate.Recorder{All: true}
	if steps {
		ctx = gate.WithRecorder(ctx, recorder)
	}
	if q.Operation == admission.Create || q.Operation == admission.Update {
		if v.Mutated = j.set.Mutate(ctx, r); v.Mutated.Changed {
			if v.Object, err = j.mutated(r); err != nil {
				return nil, err
			}
		}
	}
	v.Validated = j.set.Validate(ctx, r)
	v.Trace.Steps = recorder.Steps()
	return v, nil
}

// mutated is the object that mutators made, with the defaults of what they added.
func (j *Judge) mutated(r *policy.Request) (*unstructured.Unstructured, error) {
	made, err := r.Object()
	if err != nil {
		return nil, err
	}
	made, err = j.opts.Prepare(made.DeepCopy())
	if err != nil {
		return nil, fmt.Errorf("what the mutations made of the object is not one: %w", err)
	}
	r.SetObject(made)
	return made, nil
}

func (j *Judge) prepare(o *unstructured.Unstructured, namespace string) (*unstructured.Unstructured, error) {
	if o == nil {
		return nil, nil
	}
	o = o.DeepCopy()
	if namespace != "" && o.GetNamespace() == "" && o.GroupVersionKind().GroupKind() != (schema.GroupKind{Kind: "Namespace"}) {
		o.SetNamespace(namespace)
	}
	return j.opts.Prepare(o)
}

// assuming knows, of Namespaces that are not there, that they have their name.
type assuming struct {
	policy.Cluster

	mu      sync.Mutex
	assumed map[string]bool
}

// Namespace implements policy.Cluster.
func (c *assuming) Namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	n, err := c.Cluster.Namespace(ctx, name)
	if !apierrors.IsNotFound(err) {
		return n, err
	}
	c.mu.Lock()
	if c.assumed == nil {
		c.assumed = map[string]bool{}
	}
	c.assumed[name] = true
	c.mu.Unlock()
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}}}, nil
}

func (c *assuming) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.assumed))
}

// asRuntime keeps a nil pointer from becoming an object.
func asRuntime(o *unstructured.Unstructured) runtime.Object {
	if o == nil {
		return nil
	}
	return o
}

func optionsOf(operation admission.Operation) runtime.Object {
	all := []string{metav1.DryRunAll}
	switch operation {
	case admission.Create:
		return &metav1.CreateOptions{DryRun: all}
	case admission.Update:
		return &metav1.UpdateOptions{DryRun: all}
	case admission.Delete:
		return &metav1.DeleteOptions{DryRun: all}
	}
	return nil
}
