package cluster

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
)

// Identity is what an object says it is, and where it was read from.
type Identity struct {
	APIVersion, Kind, Namespace, Name string
	Source                            gate.Source
}

// object is an object of a file: its tree, and what it is.
type object struct {
	piece *piece
	node  *yaml.Node
	typeMeta
}

// mostNested is how deep lists may lie in lists.
const mostNested = 8

// objects hands on the objects that a tree holds: itself, or where it is a list
// its items. inherited is what it is where it does not say it.
func (r *reader) objects(p *piece, n *yaml.Node, inherited typeMeta, nested int) {
	d := decoder{piece: p}
	if n.Kind != yaml.MappingNode || nested > mostNested {
		r.notAnObject(p, n)
		return
	}
	o := object{piece: p, node: n}
	var items *yaml.Node
	for key, value := range d.entries(n, "", join) {
		switch key.Value {
		case "apiVersion":
			d.scalarInto(&o.apiVersion, value, "apiVersion")
		case "kind":
			d.scalarInto(&o.kind, value, "kind")
		case "items":
			if items = value; items.Kind == yaml.AliasNode {
				items = items.Alias
			}
		}
	}
	if len(d.problems) > 0 {
		for _, e := range d.problems {
			r.problems.add(e)
		}
		return
	}
	if items != nil && items.Kind != yaml.SequenceNode {
		items = nil
	}
	if o.kind == "" && o.apiVersion == "" && items == nil {
		o.typeMeta = inherited
	}
	switch {
	case items != nil && o.kind != "":
		inner := itemsOf(o.typeMeta)
		for _, item := range items.Content {
			r.objects(p, item, inner, nested+1)
		}
	case o.kind == "" || o.apiVersion == "":
		r.incomplete(o)
	default:
		r.take(&o)
	}
}

func (d *decoder) scalarInto(to *string, n *yaml.Node, path string) {
	n, ok := d.plain(n, path)
	switch {
	case !ok || isNull(n):
	case n.Kind != yaml.ScalarNode || !isString(n):
		d.wrongType(n, path, "a string")
	default:
		*to = n.Value
	}
}

// itemsOf is what the items of a list are that do not say it.
func itemsOf(l typeMeta) typeMeta {
	kind, ok := strings.CutSuffix(l.kind, "List")
	if !ok || kind == "" {
		return typeMeta{}
	}
	return typeMeta{l.apiVersion, kind}
}

// rbacKinds are the kinds of the group rbac.authorization.k8s.io.
var rbacKinds = []string{string(ClusterRoles), string(ClusterRoleBindings), string(Roles), string(RoleBindings)}

const guardAPIVersion = v1alpha1.GroupName + "/v1alpha1"

// fresh is a new object of what o says it is; nil where a View does not hold that.
// wrong says why o is nothing at all.
func (o *object) fresh() (fresh metav1.Object, wrong, hint string) {
	group, version, _ := strings.Cut(o.apiVersion, "/")
	switch {
	case group == rbacv1.GroupName && !slices.Contains(rbacKinds, o.kind):
		return nil, fmt.Sprintf("the group %s has no kind %s", group, quote(o.kind)), "it has " + strings.Join(rbacKinds, ", ")
	case group == rbacv1.GroupName && version != "v1":
		return nil, fmt.Sprintf("no API server serves %s any more", quote(o.apiVersion)), "write apiVersion: " + rbacv1.SchemeGroupVersion.String()
	case o.apiVersion == "v1" && slices.Contains(rbacKinds, o.kind):
		return nil, fmt.Sprintf("the group of the apiVersion v1 has no kind %s", o.kind), "write apiVersion: " + rbacv1.SchemeGroupVersion.String()
	case group == v1alpha1.GroupName && o.kind == string(Guards) && o.apiVersion != guardAPIVersion:
		return nil, fmt.Sprintf("there is no Guard of the apiVersion %s", quote(o.apiVersion)), "write apiVersion: " + guardAPIVersion
	case group == v1alpha1.GroupName && o.kind == string(Guards):
		return &v1alpha1.Guard{}, "", ""
	case o.apiVersion == "v1" && o.kind == string(Namespaces):
		return &corev1.Namespace{}, "", ""
	case group != rbacv1.GroupName:
		return nil, "", ""
	}
	switch Kind(o.kind) {
	case Roles:
		return &rbacv1.Role{}, "", ""
	case RoleBindings:
		return &rbacv1.RoleBinding{}, "", ""
	case ClusterRoles:
		return &rbacv1.ClusterRole{}, "", ""
	default:
		return &rbacv1.ClusterRoleBinding{}, "", ""
	}
}

// read decodes an object that a View holds into fresh, and says what is wrong.
// assumed reports that it names no namespace and is taken to be in the one given.
func (o *object) read(fresh metav1.Object, namespace string) (source gate.Source, rules []int, assumed bool, problems []*v1alpha1.FieldError) {
	id := o.identity(namespace)
	d := &decoder{piece: o.piece, left: mostAliased, at: map[string]*yaml.Node{"": o.node}, what: shown(id.Source)}
	v := reflect.ValueOf(fresh).Elem()
	if _, ok := fresh.(*corev1.Namespace); ok {
		// Newer clusters may say more of a Namespace than is known here, and none of
		// it matters.
		for key, value := range d.entries(o.node, "", join) {
			if key.Value == "metadata" {
				d.value(value, v.FieldByName("ObjectMeta"), "metadata")
			}
		}
	} else {
		d.value(o.node, v, "")
	}
	v.FieldByName("APIVersion").SetString(o.apiVersion)
	v.FieldByName("Kind").SetString(o.kind)
	fresh.SetManagedFields(nil)
	if len(d.problems) == 0 {
		d.metadata(fresh)
		switch f := fresh.(type) {
		case *rbacv1.Role, *rbacv1.RoleBinding:
			if assumed = fresh.GetNamespace() == ""; assumed {
				fresh.SetNamespace(namespace)
			}
			d.rbac(f)
		default:
			fresh.SetNamespace("") // as the API server does
			d.rbac(f)
		}
	}
	return id.Source, d.ruleLines(fresh), assumed, d.problems
}

// ruleLines are the lines on which the rules of a role begin.
func (d *decoder) ruleLines(o metav1.Object) []int {
	n := 0
	switch o := o.(type) {
	case *rbacv1.Role:
		n = len(o.Rules)
	case *rbacv1.ClusterRole:
		if o.AggregationRule == nil { // else they come from other roles
			n = len(o.Rules)
		}
	}
	var lines []int
	for i := range n {
		if at := d.at[fmt.Sprintf("rules[%d]", i)]; at != nil && len(d.problems) == 0 {
			line, _ := d.piece.at(at.Line, at.Column)
			lines = append(lines, line)
		}
	}
	return lines
}

// identity is what the object says it is; what of it is malformed is left out.
// namespace is that of an RBAC object in a namespace which names none.
func (o *object) identity(namespace string) Identity {
	id := Identity{APIVersion: o.apiVersion, Kind: o.kind}
	d := &decoder{piece: o.piece, left: mostAliased}
	for key, value := range d.entries(o.node, "", join) {
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		if key.Value != "metadata" || value.Kind != yaml.MappingNode {
			continue
		}
		for key, value := range d.entries(value, "metadata", join) {
			switch key.Value {
			case "name":
				d.scalarInto(&id.Name, value, "")
			case "namespace":
				d.scalarInto(&id.Namespace, value, "")
			}
		}
	}
	id.Source = gate.Source{Kind: o.kind, Name: id.Name, File: o.piece.file}
	if strings.HasPrefix(o.apiVersion, rbacv1.GroupName+"/") && (o.kind == string(Roles) || o.kind == string(RoleBindings)) {
		if id.Source.Namespace = id.Namespace; id.Namespace == "" {
			id.Source.Namespace = namespace
		}
	}
	id.Source.Line, _ = o.piece.at(max(o.node.Line, 1), 1)
	return id
}

// shown is an object as messages name it, without its place.
func shown(s gate.Source) string {
	s.File, s.Line, s.Name, s.Namespace = "", 0, clip(s.Name), clip(s.Namespace)
	return s.String()
}
