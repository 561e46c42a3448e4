package policy

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Cluster is what a policy may know of the cluster besides the request. What is
// not there is a NotFound error of k8s.io/apimachinery; another error means that it
// could not be looked up. What is returned must not be changed.
type Cluster interface {
	// Namespace is one by its name.
	Namespace(ctx context.Context, name string) (*corev1.Namespace, error)
	// Object is one object; namespace is empty for what is in none.
	Object(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error)
	// Objects are all of a kind, in one namespace or, where it is empty, in all; in
	// the order of their namespace and name.
	Objects(ctx context.Context, kind schema.GroupVersionKind, namespace string) ([]*unstructured.Unstructured, error)
}

// Request is one admission request as every engine sees it. What is costly to make
// is made when it is first asked for, once, for all engines. A Request is used by
// one goroutine at a time.
type Request struct {
	// Attributes are who wants what: the operation, kind, resource, names, user,
	// dry run. Its objects may be of any type: engines take those of the Request.
	admission.Attributes
	// Cluster is what else can be looked up. Never nil.
	Cluster Cluster
	// Authorizer answers what CEL policies ask about permissions; nil where nobody
	// can: then such a question is an error.
	Authorizer authorizer.UnconditionalAuthorizer
	// Objects knows the types of the server, for the conversions that a matchPolicy
	// Equivalent wants; nil where there are none.
	Objects admission.ObjectInterfaces
	// Background says that nobody asks: an object that exists is judged anew. Only
	// enforcement points that cover audits count.
	Background bool
	// Again says that the mutators were asked before, and that others have changed the
	// object since: of those with MaxRuns, one run is over.
	Again bool

	convert func(runtime.Object) (*unstructured.Unstructured, error)
	// replaced says that the object is not that of the Attributes any more.
	replaced bool
	object   converted
	old      converted

	// unsettled says that what is said of the request hangs on more than what is Read.
	unsettled bool

	namespace    *corev1.Namespace
	namespaceErr error
	asked        bool

	mu            sync.Mutex
	kept, lasting map[any]any
}

type converted struct {
	done   bool
	object *unstructured.Unstructured
	err    error
}

// NewRequest makes a Request of an API server's attributes. convert gives the
// versioned content of objects that are not unstructured; nil where all are.
func NewRequest(a admission.Attributes, convert func(runtime.Object) (*unstructured.Unstructured, error), cluster Cluster) *Request {
	return &Request{Attributes: a, Cluster: cluster, convert: convert}
}

// Object is the object as it is now, in the version of GetKind; nil where the
// request has none (a deletion). It must not be changed.
func (r *Request) Object() (*unstructured.Unstructured, error) {
	return r.content(&r.object, r.Attributes.GetObject)
}

// OldObject is what is there already; nil for a creation. It must not be changed.
func (r *Request) OldObject() (*unstructured.Unstructured, error) {
	return r.content(&r.old, r.Attributes.GetOldObject)
}

// SetObject makes another object the request's: what a mutation came to.
func (r *Request) SetObject(o *unstructured.Unstructured) {
	r.object, r.replaced = converted{done: true, object: o}, true
	r.mu.Lock()
	clear(r.kept)
	r.mu.Unlock()
}

// Replaced reports whether a mutation has made another object the request's than that of
// its Attributes.
func (r *Request) Replaced() bool { return r.replaced }

func (r *Request) content(c *converted, get func() runtime.Object) (*unstructured.Unstructured, error) {
	if c.done {
		return c.object, c.err
	}
	c.done = true
	switch o := get().(type) {
	case nil:
	case *unstructured.Unstructured:
		c.object = o
	default:
		if r.convert == nil {
			c.err = fmt.Errorf("read object: nobody knows the type %T", o)
			break
		}
		c.object, c.err = r.convert(o)
	}
	return c.object, c.err
}

// Namespace is the one the request is in; nil for what is in none. For a Namespace
// it is the object itself, or, when it is deleted, what is there.
func (r *Request) Namespace(ctx context.Context) (*corev1.Namespace, error) {
	if r.asked {
		return r.namespace, r.namespaceErr
	}
	r.asked = true
	if name := r.GetNamespace(); name != "" {
		r.namespace, r.namespaceErr = r.Cluster.Namespace(ctx, name)
	}
	return r.namespace, r.namespaceErr
}

// Kept is what make made for key when it was first asked for since the object last
// changed: an engine's own form of the request. make may ask for what is kept by
// other keys.
func (r *Request) Kept(key any, make func() any) any {
	return r.keep(&r.kept, key, make)
}

// Lasting is Kept for what outlives changes of the object: the budget of a request.
func (r *Request) Lasting(key any, make func() any) any {
	return r.keep(&r.lasting, key, make)
}

func (r *Request) keep(in *map[any]any, key any, make func() any) any {
	r.mu.Lock()
	v, ok := (*in)[key]
	r.mu.Unlock()
	if ok {
		return v
	}
	v = make()
	r.mu.Lock()
	defer r.mu.Unlock()
	if *in == nil {
		*in = map[any]any{}
	}
	(*in)[key] = v
	return v
}

// Unsettle says that what the policy that is being asked says of the request is not only
// made of what it Reads.
func (r *Request) Unsettle() { r.unsettled = true }
