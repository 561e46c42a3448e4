package gatekeeper

import (
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/rego"
)

// reviewOf is input.review: an AdmissionRequest as Gatekeeper is sent it.
func (e *Engine) reviewOf(r *policy.Request, a *asked) (*ast.Term, error) {
	kind, resource := r.GetKind(), r.GetResource()
	gvk := map[string]any{"group": kind.Group, "version": kind.Version, "kind": kind.Kind}
	gvr := map[string]any{"group": resource.Group, "version": resource.Version, "resource": resource.Resource}
	review := map[string]any{
		"uid": "", "kind": gvk, "resource": gvr, "requestKind": gvk, "requestResource": gvr,
		"name": r.GetName(), "operation": string(r.GetOperation()), "dryRun": r.IsDryRun(), "options": nil,
		"object": nil, "oldObject": nil,
	}
	if s := r.GetSubresource(); s != "" {
		review["subResource"], review["requestSubResource"] = s, s
	}
	if ns := r.GetNamespace(); ns != "" {
		review["namespace"] = ns
	}
	if a.object != nil {
		review["object"] = a.object.Object
	}
	if a.old != nil {
		review["oldObject"] = a.old.Object
	}
	who := map[string]any{}
	if u := r.GetUserInfo(); u != nil {
		if u.GetName() != "" {
			who["username"] = u.GetName()
		}
		if u.GetUID() != "" {
			who["uid"] = u.GetUID()
		}
		if len(u.GetGroups()) > 0 {
			who["groups"] = u.GetGroups()
		}
		if len(u.GetExtra()) > 0 {
			who["extra"] = u.GetExtra()
		}
	}
	review["userInfo"] = who
	if o := r.GetOperationOptions(); o != nil {
		if content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o); err == nil {
			review["options"] = content
		}
	}
	ns, err := e.namespaces.term(a.ns)
	if err != nil {
		return nil, err
	}
	review["namespaceObject"] = ns.Value
	return rego.Sent(review)
}

// mostNamespaces bounds what namespaces keeps.
const mostNamespaces = 1000

// namespaces are input.review.namespaceObject, by name, as long as the object is the
// same: a request in each of them would make it anew.
type namespaces struct {
	mu   sync.Mutex // guards made
	made map[string]madeNamespace
}

type madeNamespace struct {
	of   *corev1.Namespace
	term *ast.Term
}

// term is an empty object for what is in no namespace, as Gatekeeper has it.
func (n *namespaces) term(of *corev1.Namespace) (*ast.Term, error) {
	if of == nil {
		return rego.Term(map[string]any{})
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if m, ok := n.made[of.Name]; ok && m.of == of {
		return m.term, nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(of)
	if err != nil {
		return nil, err
	}
	term, err := rego.Term(content)
	if err != nil {
		return nil, err
	}
	if n.made == nil || len(n.made) >= mostNamespaces {
		n.made = map[string]madeNamespace{}
	}
	n.made[of.Name] = madeNamespace{of, term}
	return term, nil
}
