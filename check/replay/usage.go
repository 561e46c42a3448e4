package replay

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/authz/rbac"
	"github.com/gatehouse-io/gatehouse/authz/review"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
)

// Target is whose use of grants is asked for. The zero value is everybody's of all.
type Target struct {
	// User is one by the name the server knows them by; Groups are those they are in,
	// besides those that the log says. Group is everybody in a group.
	User   string
	Groups []string
	Group  string
	// RoleKind, RoleNamespace and RoleName are a role, by every binding of it.
	RoleKind, RoleNamespace, RoleName string
	// BindingKind, BindingNamespace and BindingName are a binding.
	BindingKind, BindingNamespace, BindingName string
}

// UsageOptions say what of which past is told.
type UsageOptions struct {
	// World is what grants. Its Guards and ABAC count for nothing here.
	World  World
	Target Target
	// From and To bound the time; zero is no bound.
	From, To time.Time
	// Recording is the audit policy; nil where nobody gave it.
	Recording *Recording
	// Workers is how many goroutines count. Default: as many as there are processors.
	Workers int
}

// UsageReport is what was granted, and what of it was used.
type UsageReport struct {
	Window Window `json:"window"`
	// Seen are the requests that were allowed, and were made by whom was asked about.
	Seen Tally `json:"seen"`
	// GroupsUnknown are those of them whose groups are not known: grants to groups may
	// have been used by them.
	GroupsUnknown Tally `json:"groupsUnknown"`
	// Elsewhere are those that no grant of RBAC of today allows.
	Elsewhere Tally          `json:"elsewhere"`
	Bindings  []BindingUsage `json:"bindings"`
}

// BindingUsage is a binding, and what of its role was used by way of it. A request that
// several bindings allow is a use of each.
type BindingUsage struct {
	Binding v1alpha1.TraceSource `json:"binding"`
	Role    v1alpha1.TraceSource `json:"role"`
	// Missing says that the role is not there: the binding grants nothing.
	Missing  bool             `json:"missing,omitempty"`
	Subjects []rbacv1.Subject `json:"subjects,omitempty"`
	// Requests is how often it was used, and Last when; nil for never.
	Requests int64       `json:"requests"`
	Last     *time.Time  `json:"last,omitempty"`
	Rules    []RuleUsage `json:"rules,omitempty"`
}

// RuleUsage is a rule, and what of it was used.
type RuleUsage struct {
	Source   v1alpha1.TraceSource `json:"source"`
	Rule     rbacv1.PolicyRule    `json:"rule"`
	Requests int64                `json:"requests"`
	Last     *time.Time           `json:"last,omitempty"`
	Uses     []RuleUse            `json:"uses,omitempty"`
	// UnusedVerbs, UnusedResources and UnusedNames are those the rule names which no
	// request was for. A star is not among them: Uses say what of it was used.
	UnusedVerbs     []string `json:"unusedVerbs,omitempty"`
	UnusedResources []string `json:"unusedResources,omitempty"`
	UnusedNames     []string `json:"unusedNames,omitempty"`
	// Wildcard says that the rule has a star.
	Wildcard bool `json:"wildcard,omitempty"`
	// Unrecorded are the verbs of the rule that the audit policy does not record for at
	// least one of its resources: that they are not used is not known.
	Unrecorded []string `json:"unrecorded,omitempty"`
}

// RuleUse is a verb and resource, or path, that a rule was used for.
type RuleUse struct {
	Verb     string `json:"verb"`
	APIGroup string `json:"apiGroup,omitempty"`
	// Resource is as rules have it, pods/log.
	Resource string `json:"resource,omitempty"`
	Path     string `json:"path,omitempty"`
	// Namespaces and Names are the first of those used, in order.
	Namespaces []string  `json:"namespaces,omitempty"`
	Names      []string  `json:"names,omitempty"`
	Requests   int64     `json:"requests"`
	Last       time.Time `json:"last"`
}

// Use tells what of grants was used.
func Use(ctx context.Context, reader audit.Reader, opts UsageOptions) (*UsageReport, error) {
	if opts.World.View == nil {
		opts.World.View = &cluster.View{}
	}
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	window, err := WindowOf(ctx, reader, opts.From, opts.To)
	if err != nil {
		return nil, err
	}
	timed := opts.World.timed()
	counters := make([]*counter, opts.Workers)
	var index *rbac.Index
	var at *instant
	for i := range counters {
		if i == 0 || timed {
			at = &instant{}
			if index, err = newIndex(opts.World.View, at); err != nil {
				return nil, err
			}
		}
		counters[i] = &counter{opts: &opts, index: index, at: at, timed: timed, uses: map[rbac.Grant]*grantUse{}, bound: map[[2]string]int64{}, groups: map[string]bool{}}
	}
	if err := each(ctx, reader, opts.From, opts.To, opts.Workers, func(i int, r *audit.Request) { counters[i].take(r) }); err != nil {
		return nil, err
	}
	all := counters[0]
	for _, u := range counters[1:] {
		all.merge(u)
	}
	all.report.Window = window
	return all.finish(), nil
}

// counter counts uses.
type counter struct {
	opts   *UsageOptions
	index  *rbac.Index
	at     *instant
	timed  bool
	q      asked
	report UsageReport
	uses   map[rbac.Grant]*grantUse
	bound  map[[2]string]int64 // uses of a binding, by namespace and name
	groups map[string]bool     // of the user that is asked about
	// found are the grants of the request that is counted.
	found []rbac.Grant
}

type grantUse struct {
	requests int64
	last     time.Time
	of       map[useKey]*RuleUse
}

type useKey struct{ verb, group, resource, subresource, path string }

// mostUses is how many uses of a rule are told apart: a star may be used for anything.
const mostUses = 1000

// asks reports whether a request is one of those that are asked about.
func (t *Target) asks(r *audit.Request) bool {
	switch {
	case t.User != "":
		return r.User == t.User
	case t.Group != "":
		return slices.Contains(r.Groups, t.Group)
	}
	return true
}

func (u *counter) take(r *audit.Request) {
	t := &u.opts.Target
	if r.Decision == recordedForbid || !t.asks(r) {
		return
	}
	u.q.fill(r)
	if u.timed {
		u.at.time = r.Last
	}
	if t.User != "" {
		for _, group := range r.Groups {
			u.groups[group] = true
		}
		if len(t.Groups) > 0 {
			u.q.user.Groups = slices.Concat(u.q.user.Groups, t.Groups)
		}
	}
	u.found = u.found[:0]
	u.index.Grants(&u.q.attributes, func(g rbac.Grant) {
		if !slices.Contains(u.found, g) {
			u.found = append(u.found, g)
		}
	})
	if r.Decision == "" && len(u.found) == 0 {
		return // whether it was allowed is not known
	}
	u.report.Seen.add(r)
	if !u.q.groups {
		u.report.GroupsUnknown.add(r)
	}
	if len(u.found) == 0 {
		u.report.Elsewhere.add(r)
	}
	for i, g := range u.found {
		// What several rules of a binding allow is one use of the binding.
		if !slices.ContainsFunc(u.found[:i], func(h rbac.Grant) bool { return h.BindingNamespace == g.BindingNamespace && h.Binding == g.Binding }) {
			u.bound[[2]string{g.BindingNamespace, g.Binding}] += times(r)
		}
		use := u.uses[g]
		if use == nil {
			use = &grantUse{of: map[useKey]*RuleUse{}}
			u.uses[g] = use
		}
		use.take(r)
	}
}

func (g *grantUse) take(r *audit.Request) {
	g.requests += times(r)
	if r.Last.After(g.last) {
		g.last = r.Last
	}
	key := useKey{r.Verb, r.APIGroup, r.Resource, r.Subresource, r.Path}
	use := g.of[key]
	if use == nil {
		if len(g.of) >= mostUses {
			return
		}
		use = &RuleUse{Verb: r.Verb, APIGroup: r.APIGroup, Resource: r.Resource, Path: r.Path}
		if r.Subresource != "" {
			use.Resource += "/" + r.Subresource
		}
		g.of[key] = use
	}
	use.Requests += times(r)
	if r.Last.After(use.Last) {
		use.Last = r.Last
	}
	use.Names = firstNames(use.Names, r.Name)
	use.Namespaces = firstNames(use.Namespaces, r.Namespace)
}

func (u *counter) merge(other *counter) {
	u.report.Seen.merge(other.report.Seen)
	u.report.GroupsUnknown.merge(other.report.GroupsUnknown)
	u.report.Elsewhere.merge(other.report.Elsewhere)
	maps.Copy(u.groups, other.groups)
	for key, n := range other.bound {
		u.bound[key] += n
	}
	for key, o := range other.uses {
		have := u.uses[key]
		if have == nil {
			u.uses[key] = o
			continue
		}
		have.requests += o.requests
		if o.last.After(have.last) {
			have.last = o.last
		}
		for k, use := range o.of {
			mine := have.of[k]
			if mine == nil {
				have.of[k] = use
				continue
			}
			mine.Requests += use.Requests
			if use.Last.After(mine.Last) {
				mine.Last = use.Last
			}
			for _, name := range use.Names {
				mine.Names = firstNames(mine.Names, name)
			}
			for _, namespace := range use.Namespaces {
				mine.Namespaces = firstNames(mine.Namespaces, namespace)
			}
		}
	}
}

// finish lists the bindings that are asked about, in the cluster first.
func (u *counter) finish() *UsageReport {
	v := u.opts.World.View
	for i := range v.ClusterRoleBindings {
		h := &v.ClusterRoleBindings[i]
		u.binding(h.Source, "", h.Object.Name, h.Object.Subjects, h.Object.RoleRef)
	}
	for i := range v.RoleBindings {
		h := &v.RoleBindings[i]
		u.binding(h.Source, h.Object.Namespace, h.Object.Name, h.Object.Subjects, h.Object.RoleRef)
	}
	return &u.report
}

func (u *counter) binding(source gate.Source, namespace, name string, subjects []rbacv1.Subject, ref rbacv1.RoleRef) {
	role := gate.Source{Kind: ref.Kind, Name: ref.Name}
	if ref.Kind == string(cluster.Roles) {
		role.Namespace = namespace
	}
	if !u.listed(source, namespace, subjects, role) {
		return
	}
	place, there := u.opts.World.View.Source(cluster.Kind(role.Kind), role.Namespace, role.Name)
	if there {
		role = place
	}
	b := BindingUsage{Binding: review.Source(source), Role: review.Source(role), Missing: !there, Subjects: subjects}
	for n, rule := range u.rules(role) {
		key := rbac.Grant{BindingNamespace: namespace, Binding: name, RoleKind: role.Kind, RoleNamespace: role.Namespace, Role: role.Name, Rule: n}
		one := u.rule(rule, u.uses[key])
		at := role
		at.Part = fmt.Sprintf("rules[%d]", n)
		one.Source = review.Source(u.opts.World.locate(at))
		b.Rules = append(b.Rules, one)
		if one.Last != nil && (b.Last == nil || one.Last.After(*b.Last)) {
			b.Last = one.Last
		}
	}
	b.Requests = u.bound[[2]string{namespace, name}]
	u.report.Bindings = append(u.report.Bindings, b)
}

// listed reports whether a binding is one that is asked about.
func (u *counter) listed(source gate.Source, namespace string, subjects []rbacv1.Subject, role gate.Source) bool {
	t := &u.opts.Target
	switch {
	case t.BindingName != "":
		return source.Kind == t.BindingKind && namespace == t.BindingNamespace && source.Name == t.BindingName
	case t.RoleName != "":
		return role.Kind == t.RoleKind && role.Namespace == t.RoleNamespace && role.Name == t.RoleName
	case t.User == "" && t.Group == "":
		return true
	}
	groups, _ := groupsOf(t.User)
	return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
		switch s.Kind {
		case rbacv1.UserKind:
			return t.User != "" && s.Name == t.User
		case rbacv1.GroupKind:
			return s.Name == t.Group && t.Group != "" || t.User != "" && (u.groups[s.Name] || slices.Contains(t.Groups, s.Name) || slices.Contains(groups, s.Name))
		case rbacv1.ServiceAccountKind:
			return t.User != "" && t.User == "system:serviceaccount:"+cmp.Or(s.Namespace, namespace)+":"+s.Name
		}
		return false
	})
}

func (u *counter) rules(role gate.Source) []rbacv1.PolicyRule {
	v := u.opts.World.View
	if role.Kind == string(cluster.ClusterRoles) {
		if at := slices.IndexFunc(v.ClusterRoles, func(h cluster.Held[*rbacv1.ClusterRole]) bool { return h.Object.Name == role.Name }); at >= 0 {
			return v.ClusterRoles[at].Object.Rules
		}
		return nil
	}
	if at := slices.IndexFunc(v.Roles, func(h cluster.Held[*rbacv1.Role]) bool {
		return h.Object.Namespace == role.Namespace && h.Object.Name == role.Name
	}); at >= 0 {
		return v.Roles[at].Object.Rules
	}
	return nil
}

// rule is the use of one rule; nil for none.
func (u *counter) rule(rule rbacv1.PolicyRule, use *grantUse) RuleUsage {
	r := RuleUsage{Rule: rule}
	star := func(s string) bool { return strings.Contains(s, "*") }
	r.Wildcard = slices.ContainsFunc(rule.Verbs, star) || slices.ContainsFunc(rule.Resources, star) || slices.ContainsFunc(rule.APIGroups, star) || slices.ContainsFunc(rule.NonResourceURLs, star)
	verbs, things, names := map[string]bool{}, map[string]bool{}, map[string]bool{}
	if use != nil {
		r.Requests, r.Last = use.requests, pointer(use.last)
		for key, one := range use.of {
			r.Uses = append(r.Uses, *one)
			verbs[key.verb], things[one.Resource], things[one.Path] = true, true, true
			for _, name := range one.Names {
				names[name] = true
			}
		}
		slices.SortFunc(r.Uses, func(a, b RuleUse) int {
			return cmp.Or(cmp.Compare(a.APIGroup, b.APIGroup), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Verb, b.Verb))
		})
	}
	r.UnusedVerbs = without(rule.Verbs, verbs)
	r.UnusedResources = without(append(slices.Clone(rule.Resources), rule.NonResourceURLs...), things)
	if len(rule.ResourceNames) <= mostNames { // more names are not kept
		r.UnusedNames = without(rule.ResourceNames, names)
	}
	r.Unrecorded = u.unrecorded(&rule)
	return r
}

// without are the values, without stars, that are not in a set.
func without(values []string, used map[string]bool) (left []string) {
	for _, v := range values {
		if !strings.Contains(v, "*") && !used[v] {
			left = append(left, v)
		}
	}
	return left
}

// unrecorded are the verbs of a rule that the audit policy does not record.
func (u *counter) unrecorded(rule *rbacv1.PolicyRule) (verbs []string) {
	if u.opts.Recording == nil {
		return nil
	}
	for _, verb := range rule.Verbs {
		recorded := true
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				recorded = recorded && u.opts.Recording.Records(verb, group, resource)
			}
		}
		for _, path := range rule.NonResourceURLs {
			recorded = recorded && u.opts.Recording.RecordsPath(verb, path)
		}
		if !recorded {
			verbs = append(verbs, verb)
		}
	}
	return verbs
}

// Unused are the bindings of a report that were not used, and, of those that were, the
// rules that were not.
func (r *UsageReport) Unused() (bindings []BindingUsage, rules []BindingUsage) {
	for _, b := range r.Bindings {
		if b.Requests == 0 {
			bindings = append(bindings, b)
			continue
		}
		left := slices.DeleteFunc(slices.Clone(b.Rules), func(r RuleUsage) bool { return r.Requests > 0 })
		if len(left) > 0 {
			b.Rules = left
			rules = append(rules, b)
		}
	}
	return bindings, rules
}
