package lint

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/gatehouse-io/gatehouse/policy"
)

// rule is what one object puts in force, cut into what is said and what is matched.
type rule struct {
	object policy.Object
	// says must be equal for two rules to say the same.
	says any
	// actions are what becomes of what breaks it.
	actions []string
	// match are conditions that all must hold, each by its name; those that are not
	// there hold always.
	match map[string]any
	// places are what it is for, as lists that cover each other.
	places []place
}

// place is one rule about resources, each field a list that may have a star.
type place map[string][]string

// shadowed finds rules that add nothing to another one: it says the same, does as much,
// and matches whatever they match. Of two that are equal the later is named.
func shadowed(objects []policy.Object) (found []Finding) {
	var rules []rule
	for _, o := range objects {
		if r, ok := ruleOf(o, objects); ok {
			rules = append(rules, r)
		}
	}
	for i := range rules {
		for j := range rules {
			if i == j || !rules[j].shadows(&rules[i]) || j > i && rules[i].shadows(&rules[j]) {
				continue
			}
			other := rules[j].object.Source
			other.File, other.Line = "", 0
			found = append(found, Finding{rules[i].object.Source, fmt.Sprintf("%s says the same of all that it matches: it adds nothing", other)})
			break
		}
	}
	return found
}

func (r *rule) shadows(other *rule) bool {
	if !reflect.DeepEqual(r.says, other.says) || !covers(r.actions, other.actions) {
		return false
	}
	for name, condition := range r.match {
		if !reflect.DeepEqual(condition, other.match[name]) {
			return false
		}
	}
	return !slices.ContainsFunc(other.places, func(p place) bool {
		return !slices.ContainsFunc(r.places, func(wide place) bool {
			for field, narrow := range p {
				if !covers(wide[field], narrow) {
					return false
				}
			}
			return true
		})
	})
}

// ruleOf is what an object puts in force; false for one that puts nothing in force by
// itself, or is of a language that is not compared.
func ruleOf(o policy.Object, objects []policy.Object) (rule, bool) {
	spec, _ := o.Object["spec"].(map[string]any)
	switch kind := o.GroupVersionKind(); {
	case kind.Group == "constraints.gatekeeper.sh":
		return constraintRule(o, spec, objects), true
	case kind.Kind == "ValidatingAdmissionPolicyBinding":
		of := named(objects, "ValidatingAdmissionPolicy", spec["policyName"])
		if of == nil {
			return rule{}, false
		}
		return bindingRule(o, spec, of), true
	}
	return rule{}, false
}

func named(objects []policy.Object, kind string, name any) map[string]any {
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name {
			spec, _ := o.Object["spec"].(map[string]any)
			return spec
		}
	}
	return nil
}

// constraintRule compares constraints of one template, and of templates of the same
// code.
func constraintRule(o policy.Object, spec map[string]any, objects []policy.Object) rule {
	var code any = o.GetKind()
	for _, t := range objects {
		if t.GetKind() == "ConstraintTemplate" && strings.EqualFold(t.GetName(), o.GetKind()) {
			of, _ := t.Object["spec"].(map[string]any)
			code = of["targets"]
		}
	}
	action, _ := spec["enforcementAction"].(string)
	if action == "" {
		action = "deny"
	}
	match, _ := spec["match"].(map[string]any)
	r := rule{object: o, says: []any{code, spec["parameters"], spec["scopedEnforcementActions"]}, actions: stronger(action), match: maps.Clone(match)}
	delete(r.match, "kinds")
	kinds, _ := match["kinds"].([]any)
	for _, entry := range kinds {
		e, _ := entry.(map[string]any)
		r.places = append(r.places, place{"groups": orStar(texts(e["apiGroups"])), "kinds": orStar(texts(e["kinds"]))})
	}
	if len(kinds) == 0 {
		r.places = []place{{"groups": {"*"}, "kinds": {"*"}}}
	}
	if namespaces := texts(match["namespaces"]); len(namespaces) > 0 {
		delete(r.match, "namespaces")
		for _, p := range r.places {
			p["namespaces"] = namespaces
		}
	} else {
		for _, p := range r.places {
			p["namespaces"] = []string{"*"}
		}
	}
	return r
}

// stronger are an action and those that it does the work of.
func stronger(action string) []string {
	if action == "deny" {
		return []string{"deny", "warn", "dryrun"}
	}
	return []string{action}
}

func orStar(list []string) []string {
	if len(list) == 0 {
		return []string{"*"}
	}
	return list
}

func bindingRule(o policy.Object, spec, of map[string]any) rule {
	says := maps.Clone(of)
	constraints, _ := of["matchConstraints"].(map[string]any)
	delete(says, "matchConstraints")
	r := rule{object: o, says: []any{says, spec["paramRef"]}, actions: texts(spec["validationActions"]), match: map[string]any{}}
	for field, v := range constraints {
		if field != "resourceRules" {
			r.match["policy."+field] = v
		}
	}
	if resources, _ := spec["matchResources"].(map[string]any); len(resources) > 0 {
		for field, v := range resources {
			r.match["binding."+field] = v
		}
	}
	rules, _ := constraints["resourceRules"].([]any)
	for _, entry := range rules {
		e, _ := entry.(map[string]any)
		p := place{}
		for _, field := range []string{"apiGroups", "apiVersions", "operations", "resources"} {
			p[field] = texts(e[field])
		}
		p["resourceNames"] = orStar(texts(e["resourceNames"]))
		scope, _ := e["scope"].(string)
		p["scope"] = orStar(strings.Fields(scope))
		r.places = append(r.places, p)
	}
	return r
}
