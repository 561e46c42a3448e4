package cel

import (
	"context"
	"fmt"

	"github.com/google/cel-go/interpreter"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	admissionauthorizer "k8s.io/apiserver/pkg/admission/plugin/authorizer"
	"k8s.io/apiserver/pkg/admission/plugin/policy/matching"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"

	"github.com/gatehouse-io/gatehouse/policy"
)

// view is a request as upstream's evaluators take it, made once for all policies of
// all engines: it is kept by the request until the object changes. It is used by one
// goroutine at a time, as the request is.
type view struct {
	request *policy.Request
	// served says that objects are those of the server that asks, and of its types.
	served bool
	// attributes are the request's; unless it is served, with its objects unstructured.
	attributes attributes
	// matcher matches rules and selectors, and knows namespaces.
	matcher *matching.Matcher
	// authorizer keeps its answers, as upstream's plugins do for one request; nil
	// where there is none to ask.
	authorizer authorizer.UnconditionalAuthorizer
	// in is the namespace of the request; nil until somebody asks.
	in *inNamespace
	// last is how the matcher answered last.
	last lastMatch
	// requested has the objects as the request has them, and what CEL makes of them.
	requested *admission.VersionedAttributes
	// converted are those in other versions that policies match.
	converted map[schema.GroupVersionKind]*admission.VersionedAttributes
	// shown is what expressions saw last, and shownToConditions what match conditions did.
	shown, shownToConditions shown
	// frame is that of the expressions, and frameOf the context that ends them. The frame
	// ends with that context.
	frame   *interpreter.ExecutionFrame
	frameOf context.Context
	// unmatched are the policies whose conditions did not hold.
	unmatched []unmatched
	// ctx is that of the evaluation at hand: upstream's listers take none.
	ctx context.Context
	err error
}

type viewKey struct{}

func viewOf(ctx context.Context, r *policy.Request) (*view, error) {
	v := r.Kept(viewKey{}, func() any { return newView(r) }).(*view)
	v.ctx = ctx
	return v, v.err
}

func newView(r *policy.Request) *view {
	v := &view{request: r, attributes: attributes{Attributes: r.Attributes}}
	v.matcher = matching.NewMatcher(namespaces{v}, client{v: v})
	object, err := r.Object()
	if err != nil {
		v.err = fmt.Errorf("read object: %w", err)
		return v
	}
	old, err := r.OldObject()
	if err != nil {
		v.err = fmt.Errorf("read old object: %w", err)
		return v
	}
	// A nil pointer in the interface would be an object to upstream.
	if object != nil {
		v.attributes.object = object
	}
	if old != nil {
		v.attributes.old = old
	}
	if r.Authorizer != nil {
		v.authorizer = admissionauthorizer.NewCachingAuthorizer(r.Authorizer)
	}
	return v
}

// asRequested is the request in its own version.
func (v *view) asRequested() *admission.VersionedAttributes {
	if v.requested == nil {
		v.requested = &admission.VersionedAttributes{
			Attributes: &v.attributes, VersionedKind: v.attributes.GetKind(),
			VersionedObject:    admission.NewLazyObject(v.attributes.object),
			VersionedOldObject: admission.NewLazyObject(v.attributes.old),
		}
	}
	return v.requested
}

// attributes are a request's with its objects as they are now, unstructured.
type attributes struct {
	admission.Attributes
	object, old runtime.Object
}

func (a *attributes) GetObject() runtime.Object    { return a.object }
func (a *attributes) GetOldObject() runtime.Object { return a.old }

// namespaces lists what the cluster of a view knows.
type namespaces struct{ v *view }

var _ corev1listers.NamespaceLister = namespaces{}

func (n namespaces) Get(name string) (*corev1.Namespace, error) {
	if name == n.v.request.GetNamespace() {
		return n.v.request.Namespace(n.v.ctx)
	}
	return n.v.request.Cluster.Namespace(n.v.ctx, name)
}

func (n namespaces) List(labels.Selector) ([]*corev1.Namespace, error) {
	return nil, fmt.Errorf("list namespaces: upstream's matcher does not")
}

// client is whom upstream's matcher asks for a namespace that its lister lacks. The
// cluster has said so already, and is not asked again.
type client struct {
	kubernetes.Interface
	typedcorev1.CoreV1Interface
	typedcorev1.NamespaceInterface
	v *view
}

func (c client) CoreV1() typedcorev1.CoreV1Interface        { return c }
func (c client) Namespaces() typedcorev1.NamespaceInterface { return c }
func (c client) Get(_ context.Context, name string, _ metav1.GetOptions) (*corev1.Namespace, error) {
	return namespaces{c.v}.Get(name)
}
