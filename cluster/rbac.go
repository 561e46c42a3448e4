package cluster

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// metadata checks the name of an object.
func (d *decoder) metadata(o metav1.Object) {
	name := o.GetName()
	switch {
	case name == "" && o.GetGenerateName() != "":
		d.failAt("metadata.generateName", "give it a name; bindings and traces go by it", "metadata.name is missing: a generated name is not known before the object is created")
	case name == "":
		d.failAt("metadata.name", "write name: below metadata", "metadata.name is missing")
	case len(content.IsPathSegmentName(name)) > 0:
		d.failAt("metadata.name", "", "metadata.name %s %s", quote(name), strings.Join(content.IsPathSegmentName(name), ", "))
	}
}

// rbac sets the defaults of an RBAC object and checks what the API server checks
// (k8s.io/kubernetes, pkg/apis/rbac/validation): files may hold what no cluster would.
func (d *decoder) rbac(object metav1.Object) {
	switch o := object.(type) {
	case *rbacv1.Role:
		d.rules(o.Rules, true)
	case *rbacv1.ClusterRole:
		d.rules(o.Rules, false)
		d.aggregation(o.AggregationRule)
	case *rbacv1.RoleBinding:
		d.binding(&o.RoleRef, o.Subjects, true)
	case *rbacv1.ClusterRoleBinding:
		d.binding(&o.RoleRef, o.Subjects, false)
	}
}

func (d *decoder) rules(rules []rbacv1.PolicyRule, namespaced bool) {
	for i := range rules {
		r := &rules[i]
		at := fmt.Sprintf("rules[%d]", i)
		switch {
		case len(r.Verbs) == 0:
			d.failAt(at+".verbs", `write verbs: ["get", "list"] or the like`, "%s.verbs is missing", at)
		case len(r.NonResourceURLs) > 0 && namespaced:
			d.failAt(at+".nonResourceURLs", "put the rule into a ClusterRole", "%s.nonResourceURLs: a Role is about a namespace, and paths are in none", at)
		case len(r.NonResourceURLs) > 0 && (len(r.APIGroups) > 0 || len(r.Resources) > 0 || len(r.ResourceNames) > 0):
			d.failAt(at+".nonResourceURLs", "make two rules of it", "%s is about both resources and nonResourceURLs", at)
		case len(r.NonResourceURLs) > 0:
		case len(r.APIGroups) == 0:
			d.failAt(at+".apiGroups", `write apiGroups: [""] for the core group`, "%s.apiGroups is missing", at)
		case len(r.Resources) == 0:
			d.failAt(at+".resources", "name the resources in the plural", "%s.resources is missing", at)
		}
	}
}

func (d *decoder) aggregation(rule *rbacv1.AggregationRule) {
	if rule == nil {
		return
	}
	if len(rule.ClusterRoleSelectors) == 0 {
		d.failAt("aggregationRule", "name at least one selector", "aggregationRule.clusterRoleSelectors is missing")
	}
	for i := range rule.ClusterRoleSelectors {
		if _, err := metav1.LabelSelectorAsSelector(&rule.ClusterRoleSelectors[i]); err != nil {
			at := fmt.Sprintf("aggregationRule.clusterRoleSelectors[%d]", i)
			d.failAt(at, "", "%s: %s", at, clip(err.Error()))
		}
	}
}

func (d *decoder) binding(ref *rbacv1.RoleRef, subjects []rbacv1.Subject, namespaced bool) {
	if ref.APIGroup == "" {
		ref.APIGroup = rbacv1.GroupName
	}
	switch {
	case ref.APIGroup != rbacv1.GroupName:
		d.failAt("roleRef.apiGroup", "write apiGroup: "+rbacv1.GroupName, "roleRef.apiGroup: there are no roles in %s", quote(ref.APIGroup))
	case ref.Kind == string(Roles) && !namespaced:
		d.failAt("roleRef.kind", "refer to a ClusterRole, or make it a RoleBinding", "roleRef.kind: a ClusterRoleBinding cannot refer to a Role")
	case ref.Kind != string(Roles) && ref.Kind != string(ClusterRoles):
		d.failAt("roleRef.kind", "write kind: Role or kind: ClusterRole", "roleRef.kind: there is no kind of role %s", quote(ref.Kind))
	case ref.Name == "":
		d.failAt("roleRef.name", "name the role", "roleRef.name is missing")
	}
	for i := range subjects {
		s := &subjects[i]
		at := fmt.Sprintf("subjects[%d]", i)
		group := rbacv1.GroupName
		switch s.Kind {
		case rbacv1.ServiceAccountKind:
			group = ""
			if s.Namespace == "" && !namespaced {
				d.failAt(at+".namespace", "write namespace: below the subject", "%s.namespace is missing: a ServiceAccount is in one", at)
			}
		case rbacv1.UserKind, rbacv1.GroupKind:
			if s.APIGroup == "" {
				s.APIGroup = rbacv1.GroupName
			}
		default:
			d.failAt(at+".kind", "write kind: User, Group or ServiceAccount", "%s.kind: there is no kind of subject %s", at, quote(s.Kind))
			continue
		}
		if s.APIGroup != group {
			d.failAt(at+".apiGroup", "leave it out", "%s.apiGroup: %s is of the group %q", at, s.Kind, group)
		}
		if s.Name == "" {
			d.failAt(at+".name", "", "%s.name is missing", at)
		}
	}
}

// sameMeaning reports whether two objects of one kind and name say the same. What
// an API server adds to an object when it stores it does not matter.
func sameMeaning(a, b metav1.Object) bool {
	return equality.Semantic.DeepEqual(stripped(a), stripped(b))
}

func stripped(o metav1.Object) runtime.Object {
	copied := o.(runtime.Object).DeepCopyObject()
	m := copied.(metav1.Object)
	m.SetUID("")
	m.SetResourceVersion("")
	m.SetGeneration(0)
	m.SetSelfLink("")
	m.SetCreationTimestamp(metav1.Time{})
	annotations := m.GetAnnotations()
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	if len(annotations) == 0 {
		m.SetAnnotations(nil)
	}
	return copied
}
