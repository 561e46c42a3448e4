package guard

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// resourcePattern is what spec.resources may hold, as in the CRD's schema.
var resourcePattern = regexp.MustCompile(`^(\*|[^/*]+)(/(\*|[^/*]+))?$`)

// compile turns a Guard into a rule. It is as strict as the CRD's schema, for
// objects that never went through it.
//
// Where there is both a rule and an error, what narrows the Guard (its selector,
// windows or condition) does not compile, and the rule is the Guard without it:
// a condition that cannot be compiled counts as true, as one that fails does.
// Where there is no rule, whom or what the Guard is about cannot be told.
func compile(g *v1alpha1.Guard, conditions func() authorizationcel.Compiler) (*rule, error) {
	r := &rule{name: strings.Clone(g.Name), reason: strings.ToValidUTF8(g.Spec.Reason, "\uFFFD")}
	if r.name == "" {
		return nil, errors.New("metadata.name: is empty")
	}
	if strings.TrimSpace(r.reason) == "" {
		return nil, errors.New("spec.reason: is empty; it is shown to who is refused")
	}
	switch modeOf(g) {
	case v1alpha1.GuardEnforce:
	case v1alpha1.GuardAudit:
		r.audit = true
	default:
		return nil, fmt.Errorf("spec.mode: %q is neither enforce nor audit", g.Spec.Mode)
	}
	if err := r.compileSubjects(&g.Spec); err != nil {
		return nil, err
	}
	if err := r.compileWhat(&g.Spec); err != nil {
		return nil, err
	}
	err := r.compileNarrowing(&g.Spec, conditions)
	return r, err
}

func (r *rule) compileSubjects(spec *v1alpha1.GuardSpec) (err error) {
	if r.subjects, err = newSubjects(&spec.Subjects); err != nil {
		return fmt.Errorf("spec.subjects.%w", err)
	}
	if r.subjects.empty() {
		return errors.New("spec.subjects: name at least one user, group or service account, or set all")
	}
	if spec.Except == nil {
		return nil
	}
	if r.except, err = newSubjects(spec.Except); err != nil {
		return fmt.Errorf("spec.except.%w", err)
	}
	if r.except.all {
		return errors.New("spec.except: a Guard that excepts everybody binds nobody")
	}
	return nil
}

func (r *rule) compileWhat(spec *v1alpha1.GuardSpec) error {
	r.onPaths = len(spec.NonResourceURLs) > 0
	r.onResources = len(spec.APIGroups)+len(spec.Resources)+len(spec.ExceptResources)+len(spec.Names)+len(spec.Namespaces) > 0 || spec.NamespaceSelector != nil
	if !r.onPaths && !r.onResources {
		return errors.New("spec: say what is refused: set resources, nonResourceURLs, apiGroups, names, namespaces or namespaceSelector")
	}
	for _, list := range []struct {
		name   string
		values []string
	}{{"verbs", spec.Verbs}, {"exceptVerbs", spec.ExceptVerbs}, {"names", spec.Names}, {"namespaces", spec.Namespaces}} {
		if slices.Contains(list.values, "") {
			return fmt.Errorf("spec.%s: holds an empty name", list.name)
		}
	}
	for _, path := range spec.NonResourceURLs {
		if path != "*" && !strings.HasPrefix(path, "/") {
			return fmt.Errorf("spec.nonResourceURLs: %q begins with neither / nor *", path)
		}
	}
	if slices.Contains(spec.ExceptVerbs, "*") || slices.Contains(spec.ExceptResources, "*") {
		return errors.New("spec: a Guard that excepts every verb or every resource refuses nothing")
	}
	var err error
	if r.resources, err = newResources(spec.Resources); err != nil {
		return fmt.Errorf("spec.resources: %w", err)
	}
	if r.exceptResources, err = newResources(spec.ExceptResources); err != nil {
		return fmt.Errorf("spec.exceptResources: %w", err)
	}
	if slices.ContainsFunc(r.resources, func(p resource) bool { return p.any }) {
		r.resources = nil
	}
	r.verbs, r.exceptVerbs = anyOf(spec.Verbs), cloned(spec.ExceptVerbs)
	r.groups = anyOf(spec.APIGroups)
	r.objects, r.namespaces, r.paths = newNames(spec.Names), newNames(spec.Namespaces), newNames(spec.NonResourceURLs)
	return nil
}

func (r *rule) compileNarrowing(spec *v1alpha1.GuardSpec, conditions func() authorizationcel.Compiler) error {
	var errs []error
	var broad []string
	fail := func(what string, err error) {
		errs = append(errs, fmt.Errorf("spec.%s: %w", what, err))
		broad = append(broad, what)
	}
	if spec.NamespaceSelector != nil {
		selector, err := metav1.LabelSelectorAsSelector(spec.NamespaceSelector)
		if err != nil {
			fail("namespaceSelector", err)
		} else {
			r.selector = selector
		}
	}
	for i := range spec.Windows {
		w, err := newWindow(&spec.Windows[i])
		if err != nil {
			fail(fmt.Sprintf("windows[%d]", i), err)
			continue
		}
		r.windows = append(r.windows, w)
	}
	if slices.ContainsFunc(broad, func(what string) bool { return strings.HasPrefix(what, "windows") }) {
		r.windows = nil
	}
	if spec.Condition != "" && conditions != nil {
		c, err := newCondition(conditions(), spec.Condition)
		if err != nil {
			fail("condition", err)
		}
		r.condition = c
	}
	r.broad = strings.Join(broad, ", ")
	return errors.Join(errs...)
}

func newResources(patterns []string) ([]resource, error) {
	var out []resource
	for _, pattern := range patterns {
		if !resourcePattern.MatchString(pattern) {
			return nil, fmt.Errorf("%q is none of pods, pods/exec, pods/*, */scale and *", pattern)
		}
		out = append(out, newResource(pattern))
	}
	return out, nil
}

// anyOf is a list, or nil where it is empty or holds "*".
func anyOf(list []string) []string {
	if slices.Contains(list, "*") {
		return nil
	}
	return cloned(list)
}

// cloned keeps the strings and not the object they are part of.
func cloned(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, strings.Clone(s))
	}
	return out
}
