package replay

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	auditapi "k8s.io/apiserver/pkg/apis/audit"
	upstreamaudit "k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Recording is what an audit policy records, by upstream's own evaluator.
type Recording struct {
	policy    *auditapi.Policy
	evaluator upstreamaudit.PolicyRuleEvaluator
}

// NewRecording reads an audit policy, an audit.k8s.io/v1 Policy in YAML or JSON.
func NewRecording(data []byte) (*Recording, error) {
	parsed, err := policy.LoadPolicyFromBytes(data)
	if err != nil {
		return nil, fmt.Errorf("parse audit policy: %w", err)
	}
	return &Recording{parsed, policy.NewPolicyRuleEvaluator(parsed)}, nil
}

// somebody is a user that no rule names.
var somebody = &user.DefaultInfo{Name: "\x00", Groups: []string{user.AllAuthenticated}}

// Records reports whether requests for a resource are recorded, made by somebody whom
// the policy does not name, of an object that it does not name. resource is as rules of
// roles have it, pods/log.
func (r *Recording) Records(verb, group, resource string) bool {
	name, sub, _ := strings.Cut(resource, "/")
	a := &authorizer.AttributesRecord{User: somebody, Verb: verb, APIGroup: group, APIVersion: "v1", Resource: name, Subresource: sub,
		Namespace: "\x00", Name: someName, ResourceRequest: true}
	return r.evaluator.EvaluatePolicyRule(a).Level != auditapi.LevelNone
}

// RecordsPath is Records for a path.
func (r *Recording) RecordsPath(verb, path string) bool {
	a := &authorizer.AttributesRecord{User: somebody, Verb: verb, Path: path}
	return r.evaluator.EvaluatePolicyRule(a).Level != auditapi.LevelNone
}

// Unrecorded is what an audit policy leaves out.
type Unrecorded struct {
	// Sets are resources and the verbs of them that are not recorded, of somebody whom
	// the policy does not name.
	Sets []UnrecordedSet `json:"sets,omitempty"`
	// Rules are those that leave out requests of some users, namespaces or names alone.
	Rules []string `json:"rules,omitempty"`
	// Stages says that the policy leaves out the stage in which decisions are recorded.
	Stages []string `json:"stages,omitempty"`
}

// UnrecordedSet is resources with the verbs that are not recorded.
type UnrecordedSet struct {
	// Verbs are all of them where it is ["*"], and so are Resources.
	Verbs     []string `json:"verbs"`
	Resources []string `json:"resources"`
}

// recordable are the verbs that requests for resources have.
var recordable = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

// Leaves says what of some resources, subresources among them, is not recorded. A
// resource is named as in pods/log.
func (r *Recording) Leaves(resources []schema.GroupResource) *Unrecorded {
	u := &Unrecorded{}
	byVerbs := map[string][]string{}
	for _, resource := range resources {
		var verbs []string
		for _, verb := range recordable {
			if !r.Records(verb, resource.Group, resource.Resource) {
				verbs = append(verbs, verb)
			}
		}
		if len(verbs) > 0 {
			key := strings.Join(verbs, " ")
			if len(verbs) == len(recordable) {
				key = "*"
			}
			byVerbs[key] = append(byVerbs[key], showResource(resource))
		}
	}
	for _, verbs := range slices.Sorted(maps.Keys(byVerbs)) {
		names := byVerbs[verbs]
		if len(names) == len(resources) {
			names = []string{"*"}
		}
		slices.Sort(names)
		u.Sets = append(u.Sets, UnrecordedSet{strings.Fields(verbs), names})
	}
	slices.SortStableFunc(u.Sets, func(a, b UnrecordedSet) int { return -cmp.Compare(len(a.Resources), len(b.Resources)) })
	for i, rule := range r.policy.Rules {
		if rule.Level == auditapi.LevelNone && narrow(&rule) {
			u.Rules = append(u.Rules, fmt.Sprintf("rules[%d]: %s", i, showAuditRule(&rule)))
		}
	}
	for _, stage := range r.policy.OmitStages {
		if stage == auditapi.StageResponseComplete || stage == auditapi.StageResponseStarted {
			u.Stages = append(u.Stages, string(stage))
		}
	}
	return u
}

// showResource is pods/log, or deployments.apps/scale.
func showResource(r schema.GroupResource) string {
	name, sub, isSub := strings.Cut(r.Resource, "/")
	text := schema.GroupResource{Group: r.Group, Resource: name}.String()
	if isSub {
		text += "/" + sub
	}
	return text
}

// narrow reports whether a rule is about less than everybody's requests for a resource.
func narrow(rule *auditapi.PolicyRule) bool {
	for _, r := range rule.Resources {
		if len(r.ResourceNames) > 0 {
			return true
		}
	}
	return len(rule.Users)+len(rule.UserGroups)+len(rule.Namespaces) > 0
}

func showAuditRule(rule *auditapi.PolicyRule) string {
	var parts []string
	list := func(name string, values []string) {
		if len(values) > 0 {
			parts = append(parts, name+" "+strings.Join(values, ", "))
		}
	}
	list("users", rule.Users)
	list("groups", rule.UserGroups)
	list("verbs", rule.Verbs)
	var resources, names []string
	for _, r := range rule.Resources {
		if len(r.Resources) == 0 {
			resources = append(resources, "all of the group "+cmp.Or(r.Group, "core"))
		}
		for _, name := range r.Resources {
			resources = append(resources, showResource(schema.GroupResource{Group: r.Group, Resource: name}))
		}
		names = append(names, r.ResourceNames...)
	}
	list("resources", resources)
	list("names", names)
	list("namespaces", rule.Namespaces)
	list("paths", rule.NonResourceURLs)
	return strings.Join(parts, "; ")
}
