package guard

import corelisters "k8s.io/client-go/listers/core/v1"

// ListedNamespaces are the namespaces that a lister knows.
func ListedNamespaces(lister corelisters.NamespaceLister) Namespaces { return listed{lister} }

type listed struct{ lister corelisters.NamespaceLister }

// Labels implements Namespaces.
func (l listed) Labels(namespace string) (map[string]string, bool) {
	found, err := l.lister.Get(namespace)
	if err != nil {
		return nil, false
	}
	return found.Labels, true
}
