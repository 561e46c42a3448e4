package lint

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper"
)

// unmatched says why no request can match any of some selectors; empty where one can.
func unmatched(all []policy.Selector, kinds Kinds) (why string) {
	if len(all) == 0 {
		return "what it and its binding select has nothing in common"
	}
	for i := range all {
		reason := impossible(&all[i], kinds)
		if reason == "" {
			return ""
		}
		if why == "" {
			why = reason
		}
	}
	return why
}

// impossible says why no request can match a selector.
func impossible(s *policy.Selector, kinds Kinds) string {
	if s.NamespaceSelector != nil {
		if why := empty(s.NamespaceSelector); why != "" {
			return "no namespace is selected: " + why
		}
	}
	if s.Groups == nil || slices.Contains(s.Groups, "*") {
		return ""
	}
	known := false
	var tried []string
	for _, group := range s.Groups {
		for _, kind := range s.Kinds {
			if kind == "*" {
				return ""
			}
			_, _, ok := kinds.ResourceOf(schema.GroupKind{Group: group, Kind: kind})
			known = known || ok
			tried = append(tried, schema.GroupKind{Group: group, Kind: kind}.String())
		}
		if len(s.Kinds) > 0 {
			continue
		}
		for _, resource := range s.Resources {
			name, _, _ := strings.Cut(resource, "/")
			if name == "*" {
				return ""
			}
			_, _, ok := kinds.KindOf(schema.GroupResource{Group: group, Resource: name})
			known = known || ok
			tried = append(tried, schema.GroupResource{Group: group, Resource: name}.String())
		}
	}
	if known || len(tried) == 0 {
		return ""
	}
	return fmt.Sprintf("%s is not known: is it misspelt? If a CustomResourceDefinition makes it, give that too", strings.Join(tried, ", "))
}

// empty says why no labels can match a selector; empty where some can.
func empty(s labels.Selector) string {
	requirements, selectable := s.Requirements()
	if !selectable {
		return "the selector matches nothing"
	}
	type of struct {
		in             sets.Set[string]
		not            sets.Set[string]
		exists, absent bool
	}
	keys := map[string]*of{}
	for _, r := range requirements {
		k := keys[r.Key()]
		if k == nil {
			k = &of{not: sets.New[string]()}
			keys[r.Key()] = k
		}
		switch values := sets.New(r.ValuesUnsorted()...); r.Operator() {
		case selection.In, selection.Equals, selection.DoubleEquals:
			if k.exists = true; k.in == nil {
				k.in = values
			} else {
				k.in = k.in.Intersection(values)
			}
		case selection.NotIn, selection.NotEquals:
			k.not = k.not.Union(values)
		case selection.Exists:
			k.exists = true
		case selection.DoesNotExist:
			k.absent = true
		}
	}
	for _, key := range sets.List(sets.KeySet(keys)) {
		switch k := keys[key]; {
		case k.exists && k.absent:
			return fmt.Sprintf("the label %s would have to be there and not be there", key)
		case k.in != nil && k.in.Difference(k.not).Len() == 0:
			return fmt.Sprintf("the label %s can have no value", key)
		}
	}
	return ""
}

// contradiction says why what an object itself states can match nothing.
func contradiction(o policy.Object, objects []policy.Object) string {
	spec, _ := o.Object["spec"].(map[string]any)
	switch group := o.GroupVersionKind().Group; {
	case group == "admissionregistration.k8s.io":
		for _, field := range []string{"matchConstraints", "matchResources"} {
			match, _ := spec[field].(map[string]any)
			if why := selectorsOf(match, "spec."+field, "objectSelector", "namespaceSelector"); why != "" {
				return why
			}
			if rules, _ := match["resourceRules"].([]any); len(rules) > 0 && excludesAll(rules, match["excludeResourceRules"]) {
				return "spec." + field + ".excludeResourceRules takes out everything that resourceRules names"
			}
		}
	case group == "constraints.gatekeeper.sh":
		match, _ := spec["match"].(map[string]any)
		if why := selectorsOf(match, "spec.match", "labelSelector", "namespaceSelector"); why != "" {
			return why
		}
		return excluded(match, objects)
	}
	return ""
}

func selectorsOf(match map[string]any, path string, fields ...string) string {
	for _, field := range fields {
		stated, _ := match[field].(map[string]any)
		if stated == nil {
			continue
		}
		var typed metav1.LabelSelector
		if runtime.DefaultUnstructuredConverter.FromUnstructured(stated, &typed) != nil {
			continue
		}
		s, err := metav1.LabelSelectorAsSelector(&typed)
		if err != nil {
			continue
		}
		if why := empty(s); why != "" {
			return path + "." + field + ": " + why
		}
	}
	return ""
}

// excludesAll reports whether each rule is among the excluded ones, names and all.
func excludesAll(rules []any, excluded any) bool {
	out, _ := excluded.([]any)
	return !slices.ContainsFunc(rules, func(rule any) bool {
		r, _ := rule.(map[string]any)
		return !slices.ContainsFunc(out, func(other any) bool {
			x, _ := other.(map[string]any)
			if len(texts(x["resourceNames"])) > 0 {
				return false
			}
			for _, field := range []string{"apiGroups", "apiVersions", "operations", "resources"} {
				if !covers(texts(x[field]), texts(r[field])) {
					return false
				}
			}
			return x["scope"] == nil || x["scope"] == "*" || x["scope"] == r["scope"]
		})
	})
}

func texts(v any) (all []string) {
	list, _ := v.([]any)
	for _, item := range list {
		if text, ok := item.(string); ok {
			all = append(all, text)
		}
	}
	return all
}

// covers reports whether a list has everything of another, or a star.
func covers(wide, narrow []string) bool {
	return slices.Contains(wide, "*") || len(narrow) > 0 && !slices.ContainsFunc(narrow, func(one string) bool { return !slices.Contains(wide, one) })
}

// excluded says that every namespace which a constraint names is excluded, by itself or
// by a Config. A name with a star may match others, and counts for nothing here.
func excluded(match map[string]any, objects []policy.Object) string {
	named := texts(match["namespaces"])
	if len(named) == 0 {
		return ""
	}
	out := texts(match["excludedNamespaces"])
	by := "spec.match.excludedNamespaces"
	for _, o := range objects {
		if o.GetKind() != "Config" || o.GroupVersionKind().Group != "config.gatekeeper.sh" {
			continue
		}
		spec, _ := o.Object["spec"].(map[string]any)
		entries, _ := spec["match"].([]any)
		for _, entry := range entries {
			e, _ := entry.(map[string]any)
			if processes := texts(e["processes"]); slices.Contains(processes, "*") || slices.Contains(processes, "webhook") {
				if more := texts(e["excludedNamespaces"]); len(more) > 0 {
					out, by = append(out, more...), by+" or the Config "+o.GetName()
				}
			}
		}
	}
	for _, name := range named {
		if strings.Contains(name, "*") && !slices.Contains(out, name) {
			return ""
		}
		if !slices.Contains(out, name) && !slices.ContainsFunc(out, func(x string) bool { return gatekeeper.Wildcard(x).Matches(name) }) {
			return ""
		}
	}
	return "every namespace it names is excluded by " + by
}
