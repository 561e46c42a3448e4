package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/gate"
)

// Objects are the roles and bindings as objects, those of the cluster first.
func (g *Generated) Objects() (all []metav1.Object) {
	for i := range g.Scopes {
		s := &g.Scopes[i]
		meta := metav1.ObjectMeta{Name: g.Name, Namespace: s.Namespace, Annotations: map[string]string{AnnotationGenerated: showSubject(&g.Subject)}}
		rules := make([]rbacv1.PolicyRule, len(s.Rules))
		for n := range s.Rules {
			rules[n] = s.Rules[n].PolicyRule
		}
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: g.Name}
		subjects := []rbacv1.Subject{g.subject()}
		if s.Namespace != "" {
			all = append(all, &rbacv1.Role{TypeMeta: rbacType("Role"), ObjectMeta: meta, Rules: rules},
				&rbacv1.RoleBinding{TypeMeta: rbacType("RoleBinding"), ObjectMeta: meta, Subjects: subjects, RoleRef: ref})
			continue
		}
		ref.Kind = "ClusterRole"
		all = append(all, &rbacv1.ClusterRole{TypeMeta: rbacType("ClusterRole"), ObjectMeta: meta, Rules: rules},
			&rbacv1.ClusterRoleBinding{TypeMeta: rbacType("ClusterRoleBinding"), ObjectMeta: meta, Subjects: subjects, RoleRef: ref})
	}
	return all
}

func rbacType(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: kind}
}

func (g *Generated) subject() rbacv1.Subject {
	s := g.Subject
	s.APIGroup = rbacv1.GroupName
	if s.Kind == rbacv1.ServiceAccountKind {
		s.APIGroup = ""
	}
	return s
}

// Write writes the objects as YAML, with what was seen of each rule as comments. With
// refused, what was refused is told in comments at the end.
func (g *Generated) Write(w io.Writer, refused bool) error {
	var out bytes.Buffer
	scope := 0
	for i, object := range g.Objects() {
		if i > 0 {
			out.WriteString("---\n")
		}
		switch o := object.(type) {
		case *rbacv1.Role:
			g.writeRole(&out, "Role", o.Namespace, g.Scopes[scope].Rules)
		case *rbacv1.ClusterRole:
			g.writeRole(&out, "ClusterRole", "", g.Scopes[scope].Rules)
		case *rbacv1.RoleBinding:
			g.writeBinding(&out, "RoleBinding", o.Namespace, &o.RoleRef)
			scope++
		case *rbacv1.ClusterRoleBinding:
			g.writeBinding(&out, "ClusterRoleBinding", "", &o.RoleRef)
			scope++
		}
	}
	if refused {
		for i := range g.Refused {
			fmt.Fprintf(&out, "# refused, and not granted: %s\n", g.Refused[i].show())
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

func (e *Evidence) show() string {
	what := e.Path
	if e.Resource != "" {
		resource, sub, isSub := strings.Cut(e.Resource, "/")
		if what = resource; e.APIGroup != "" {
			what += "." + e.APIGroup
		}
		if isSub {
			what += "/" + sub
		}
		if len(e.Names) > 0 {
			what += " [" + strings.Join(e.Names, ", ") + "]"
		}
		if e.Namespace != "" {
			what += " in " + e.Namespace
		}
	}
	return gate.Plain(fmt.Sprintf("%s %s, %s, the last %s", e.Verb, what, countOf(e.Requests), e.Last.UTC().Format(time.RFC3339)))
}

func countOf(requests int64) string {
	if requests == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", requests)
}

func (g *Generated) head(out *bytes.Buffer, kind, namespace string) {
	fmt.Fprintf(out, "apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n", rbacv1.SchemeGroupVersion, kind, scalar(g.Name))
	if namespace != "" {
		fmt.Fprintf(out, "  namespace: %s\n", scalar(namespace))
	}
	fmt.Fprintf(out, "  annotations:\n    %s: %s\n", AnnotationGenerated, scalar(showSubject(&g.Subject)))
}

func (g *Generated) writeRole(out *bytes.Buffer, kind, namespace string, rules []GeneratedRule) {
	g.head(out, kind, namespace)
	out.WriteString("rules:\n")
	for i := range rules {
		r := &rules[i]
		fmt.Fprintf(out, "# %s\n", r.evidence())
		first := "- "
		for _, field := range []struct {
			name   string
			values []string
		}{{"apiGroups", r.APIGroups}, {"resources", r.Resources}, {"resourceNames", r.ResourceNames}, {"nonResourceURLs", r.NonResourceURLs}, {"verbs", r.Verbs}} {
			if len(field.values) > 0 {
				fmt.Fprintf(out, "%s%s: %s\n", first, field.name, list(field.values))
				first = "  "
			}
		}
	}
}

// evidence is "get 40, list 2; the last 2026-11-01T10:00:00Z".
func (r *GeneratedRule) evidence() string {
	if r.Requests == 0 {
		return "granted by an earlier run, and not seen in this time"
	}
	var parts []string
	for _, verb := range r.Verbs {
		if n := r.ByVerb[verb]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", verb, n))
		}
	}
	return gate.Plain(fmt.Sprintf("seen: %s; the last %s", strings.Join(parts, ", "), r.Last.UTC().Format(time.RFC3339)))
}

func (g *Generated) writeBinding(out *bytes.Buffer, kind, namespace string, ref *rbacv1.RoleRef) {
	g.head(out, kind, namespace)
	fmt.Fprintf(out, "roleRef:\n  apiGroup: %s\n  kind: %s\n  name: %s\n", ref.APIGroup, ref.Kind, scalar(ref.Name))
	s := g.subject()
	fmt.Fprintf(out, "subjects:\n- kind: %s\n", s.Kind)
	if s.APIGroup != "" {
		fmt.Fprintf(out, "  apiGroup: %s\n", s.APIGroup)
	}
	if s.Namespace != "" {
		fmt.Fprintf(out, "  namespace: %s\n", scalar(s.Namespace))
	}
	fmt.Fprintf(out, "  name: %s\n", scalar(s.Name))
}

func list(values []string) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = scalar(v)
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

var (
	plainScalar = regexp.MustCompile(`^[a-z][a-z0-9./-]*$`)
	reserved    = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
)

// scalar is a text in YAML: as it is where that is safe, else in double quotes, with
// everything escaped that would steer a terminal.
func scalar(text string) string {
	if plainScalar.MatchString(text) && !slices.Contains(reserved, text) {
		return text
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return `""` // no string fails
	}
	var out strings.Builder
	for _, r := range string(quoted) {
		if r >= 0x7f && r <= 0xffff && gate.Plain(string(r)) != string(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}
