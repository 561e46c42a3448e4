package abac

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/gate"
)

const (
	gateName = "authorization"
	partName = "ABAC"
)

// mostMisses is how many near misses a step names.
const mostMisses = 3

// explain is the decision on a request with its reasons: the first line of the file
// that allows it, or, where misses are asked for, those that nearly do.
func (p *Policies) explain(a authorizer.Attributes, misses bool) (step gate.Step) {
	begun := time.Now()
	step = gate.Step{Gate: gateName, Part: partName, Opinion: gate.NoOpinion, Reason: "no policy allows it"}
	defer func() { step.Took = time.Since(begun) }()
	u := a.GetUser()
	if u == nil {
		step.Reason = "the request has no user"
		return step
	}
	var r request
	r.fill(a)
	for _, policy := range p.of(u, false) {
		if policy.allows(&r) {
			step.Opinion = gate.Allow
			step.Reason = "allowed by the policy of " + policy.whose()
			step.Sources = []gate.Source{p.at(policy)}
			return step
		}
	}
	if misses {
		step.Misses = p.misses(a, &r)
	}
	return step
}

func (p *Policies) at(policy *policy) gate.Source {
	return gate.Source{File: p.file, Line: policy.line}
}

// whose names the user and the group that a policy names.
func (s *spec) whose() string {
	var names []string
	if s.User != "" {
		names = append(names, "user "+s.User)
	}
	if s.Group != "" {
		names = append(names, "group "+s.Group)
	}
	return strings.Join(names, " in ")
}

// misses are the policies of the requester that lack least, those on earlier lines
// first. A policy that lacks more than two things has nothing to do with the request.
func (p *Policies) misses(a authorizer.Attributes, r *request) []gate.Miss {
	type miss struct {
		lacks []string
		gate.Source
	}
	var all []miss
	groups := a.GetUser().GetGroups()
	for _, policy := range p.of(a.GetUser(), true) {
		lacks, near := policy.lacks(r, a.GetVerb())
		if !policy.isOf(groups) {
			lacks = append(lacks, "the user in group "+policy.Group)
		}
		if near && len(lacks) <= 2 {
			all = append(all, miss{lacks, p.at(policy)})
		}
	}
	slices.SortStableFunc(all, func(a, b miss) int { return cmp.Compare(len(a.lacks), len(b.lacks)) })
	var nearest []gate.Miss
	for _, m := range all[:min(len(all), mostMisses)] {
		nearest = append(nearest, gate.Miss{Sources: []gate.Source{m.Source}, Lacks: strings.Join(m.lacks, " and ")})
	}
	return nearest
}

// lacks says what a policy would need to allow the request. It is near where it
// speaks of the same kind of thing, paths or resources.
func (s *spec) lacks(r *request, verb string) (lacks []string, near bool) {
	if r.isResource {
		near = s.Resource != ""
		if !fits(s.Namespace, r.namespace) {
			lacks = append(lacks, wants("namespace", r.namespace, s.Namespace, "all namespaces"))
		}
		if !fits(s.Resource, r.resource) {
			lacks = append(lacks, wants("resource", r.resource, s.Resource, `resource ""`))
		}
		if !fits(s.APIGroup, r.apiGroup) {
			lacks = append(lacks, wants("API group", r.apiGroup, s.APIGroup, `API group "" (the core group)`))
		}
	} else {
		near = s.NonResourcePath != ""
		if !s.coversPath(r.path) {
			lacks = append(lacks, wants("path", r.path, s.NonResourcePath, `path ""`))
		}
	}
	if s.Readonly && !r.readOnly {
		lacks = append(lacks, "verb "+verb+" (it is readonly)")
	}
	return lacks, near
}

// wants says which value of a field is asked for, and which the policy has.
func wants(field, asked, has, empty string) string {
	text := field + " " + asked
	if asked == "" {
		text = empty
	}
	if has != "" {
		text += " (it has " + has + ")"
	}
	return text
}
