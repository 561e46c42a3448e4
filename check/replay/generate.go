package replay

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/authz/rbac"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
)

// GenerateOptions say whom roles are generated for, and from which past.
type GenerateOptions struct {
	// World is what exists: what its RBAC allows the subject is not generated again.
	World World
	// Subject is a User, Group or ServiceAccount.
	Subject rbacv1.Subject
	// Groups are those a user is in, besides those that the log says.
	Groups []string
	// From and To bound the time; zero is no bound.
	From, To time.Time
	// Now says which bindings of the World have ended. Needed where one has an end.
	Now time.Time
	// Widen drops the names of objects: rules are about every object of a resource.
	// Default: rules name the objects that were asked for by name.
	Widen bool
	// FromScratch generates all that was seen, whatever exists.
	FromScratch bool
	// Name is that of every object. Default: one made of the subject.
	Name string
}

// AnnotationGenerated says of a Role or ClusterRole that Generate made it, and for whom.
const AnnotationGenerated = "gatehouse.io/generated-for"

// Generated are roles and bindings.
type Generated struct {
	Window Window
	// Name is that of all of them, and Subject whom they are for.
	Name    string
	Subject rbacv1.Subject
	// Scopes are the cluster, if there is anything for it, and then namespaces by name.
	Scopes []GeneratedScope
	// Seen are the requests of the subject. Covered are those of them that what exists
	// allows, Granted those that the Scopes are for, Denied those that were refused, and
	// Unknown those of which the log does not say whether they were allowed.
	Seen, Covered, Granted, Denied, Unknown Tally
	// Odd are allowed requests for what no rule can be about alone, such as a resource
	// with a star in its name: they are not granted.
	Odd Tally
	// Omitted are requests whose names were not kept: they are granted for every name.
	Omitted Tally
	// Refused are the Denied, a resource and verb each, in order.
	Refused []Evidence
}

// GeneratedScope is a Role and its RoleBinding, or a ClusterRole and its
// ClusterRoleBinding.
type GeneratedScope struct {
	Namespace string // empty for the cluster
	Rules     []GeneratedRule
}

// GeneratedRule is a rule, and what was seen of it; the list may be empty for a rule of
// an earlier run.
type GeneratedRule struct {
	rbacv1.PolicyRule
	Requests int64
	Last     time.Time
	// ByVerb counts the requests of each verb.
	ByVerb map[string]int64
}

// Evidence is one thing that was asked for.
type Evidence struct {
	Namespace, Verb, APIGroup, Resource, Path string
	Names                                     []string
	Requests                                  int64
	Last                                      time.Time
}

// NameTakenError says that there is an object of the name that nobody generated.
type NameTakenError struct{ Source gate.Source }

func (e *NameTakenError) Error() string {
	return fmt.Sprintf("%s is there already, and was not generated", e.Source)
}

// Hint says what to do about it.
func (e *NameTakenError) Hint() string { return "give the generated objects another name with --name" }

// need is one thing that a rule must allow. Resource is as rules have it, pods/log; name
// is empty for a request without one, and for one whose name does not matter.
type need struct{ namespace, verb, group, resource, name, path string }

// odd reports whether no rule can be about it alone: a star would be about others, and
// what is no text cannot be written.
func (n *need) odd() bool {
	for _, text := range []string{n.namespace, n.verb, n.group, n.resource, n.name, n.path} {
		if !utf8.ValidString(text) {
			return true
		}
	}
	return strings.Contains(n.verb+n.group+n.resource, "*") || strings.HasSuffix(n.path, "*") || n.resource == "" && n.path == ""
}

type evidence struct {
	requests int64
	last     time.Time
}

func (e *evidence) add(requests int64, last time.Time) {
	e.requests += requests
	if last.After(e.last) {
		e.last = last
	}
}

// generator gathers what a subject needs.
type generator struct {
	opts     *GenerateOptions
	existing *rbac.Index // nil from scratch
	userName string
	out      Generated
	needs    map[need]*evidence
	refused  map[need]*Evidence
	// acts are what was needed to impersonate: whether it exists is asked when all
	// groups of the subject are known.
	acts   map[need]*evidence
	groups map[string]bool
}

// Generate makes the least roles that allow what a subject was seen to do and was
// allowed.
func Generate(ctx context.Context, reader audit.Reader, opts GenerateOptions) (*Generated, error) {
	if opts.World.View == nil {
		opts.World.View = &cluster.View{}
	}
	if !utf8.ValidString(opts.Subject.Name + "\n" + opts.Subject.Namespace) {
		return nil, fmt.Errorf("generate roles: %q is no text, and no binding can name it", opts.Subject.Name)
	}
	if opts.Name == "" {
		opts.Name = nameFor(&opts.Subject)
	}
	g := &generator{opts: &opts, needs: map[need]*evidence{}, refused: map[need]*Evidence{}, acts: map[need]*evidence{}, groups: map[string]bool{}}
	g.out.Name, g.out.Subject = opts.Name, opts.Subject
	switch opts.Subject.Kind {
	case rbacv1.UserKind:
		g.userName = opts.Subject.Name
	case rbacv1.ServiceAccountKind:
		g.userName = serviceaccount.MakeUsername(opts.Subject.Namespace, opts.Subject.Name)
	}
	others, own, err := g.split()
	if err != nil {
		return nil, err
	}
	if !opts.FromScratch {
		if g.existing, err = newIndex(others, &instant{opts.Now}); err != nil {
			return nil, err
		}
	}
	if g.out.Window, err = WindowOf(ctx, reader, opts.From, opts.To); err != nil {
		return nil, err
	}
	var q asked
	// One worker: a subject's requests are few.
	if err := each(ctx, reader, opts.From, opts.To, 1, func(_ int, r *audit.Request) { g.take(&q, r) }); err != nil {
		return nil, err
	}
	g.impersonation()
	if !opts.FromScratch {
		for n := range own {
			if g.needs[n] == nil {
				g.needs[n] = &evidence{}
			}
		}
	}
	g.finish()
	return &g.out, nil
}

// split takes the objects of an earlier run out of what exists, and returns what they
// grant. An object of the name that nobody generated is an error.
func (g *generator) split() (others *cluster.View, own map[need]bool, err error) {
	v := *g.opts.World.View
	own = map[need]bool{}
	mine := func(meta metav1.Object, source gate.Source, rules []rbacv1.PolicyRule) bool {
		if meta.GetName() != g.opts.Name {
			return false
		}
		if meta.GetAnnotations()[AnnotationGenerated] != showSubject(&g.opts.Subject) {
			err = &NameTakenError{source}
		}
		for i := range rules {
			needsOf(meta.GetNamespace(), &rules[i], own)
		}
		return true
	}
	v.Roles = slices.DeleteFunc(slices.Clone(v.Roles), func(h cluster.Held[*rbacv1.Role]) bool { return mine(h.Object, h.Source, h.Object.Rules) })
	v.ClusterRoles = slices.DeleteFunc(slices.Clone(v.ClusterRoles), func(h cluster.Held[*rbacv1.ClusterRole]) bool { return mine(h.Object, h.Source, h.Object.Rules) })
	v.RoleBindings = slices.DeleteFunc(slices.Clone(v.RoleBindings), func(h cluster.Held[*rbacv1.RoleBinding]) bool { return mine(h.Object, h.Source, nil) })
	v.ClusterRoleBindings = slices.DeleteFunc(slices.Clone(v.ClusterRoleBindings), func(h cluster.Held[*rbacv1.ClusterRoleBinding]) bool { return mine(h.Object, h.Source, nil) })
	return &v, own, err
}

// needsOf takes a rule apart.
func needsOf(namespace string, rule *rbacv1.PolicyRule, into map[need]bool) {
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	for _, verb := range rule.Verbs {
		for _, path := range rule.NonResourceURLs {
			into[need{verb: verb, path: path}] = true
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, name := range names {
					into[need{namespace: namespace, verb: verb, group: group, resource: resource, name: name}] = true
				}
			}
		}
	}
}

func (g *generator) take(q *asked, r *audit.Request) {
	if r.Impersonator != "" && r.Impersonator == g.userName {
		g.act(r)
	}
	if g.userName != "" && r.User != g.userName || g.userName == "" && !slices.Contains(r.Groups, g.opts.Subject.Name) {
		return
	}
	g.out.Seen.add(r)
	for _, group := range r.Groups {
		g.groups[group] = true
	}
	n := need{namespace: r.Namespace, verb: r.Verb, group: r.APIGroup, resource: r.Resource, name: r.Name}
	if r.Subresource != "" {
		n.resource += "/" + r.Subresource
	}
	if r.Resource == "" {
		n = need{verb: r.Verb, path: r.Path}
	}
	if r.Decision == recordedForbid {
		g.refuse(n, r)
		return
	}
	q.fill(r)
	if g.userName == "" { // what the group has, whoever its member is
		q.user = user.DefaultInfo{Groups: []string{g.opts.Subject.Name, user.AllAuthenticated}}
	} else if len(g.opts.Groups) > 0 {
		q.user.Groups = slices.Concat(q.user.Groups, g.opts.Groups)
	}
	if g.exists(&q.attributes) {
		g.out.Covered.add(r)
		return
	}
	if r.Decision == "" {
		g.out.Unknown.add(r)
		return
	}
	if n.odd() {
		g.out.Odd.add(r)
		return
	}
	g.out.Granted.add(r)
	if r.NameOmitted {
		g.out.Omitted.add(r)
	}
	g.need(g.needs, n, times(r), r.Last)
}

func (g *generator) need(in map[need]*evidence, n need, requests int64, last time.Time) {
	if g.opts.Widen {
		n.name = ""
	}
	e := in[n]
	if e == nil {
		e = &evidence{}
		in[n] = e
	}
	e.add(requests, last)
}

func (g *generator) exists(a *authorizer.AttributesRecord) bool {
	if g.existing == nil {
		return false
	}
	d, _, _ := g.existing.Authorize(context.Background(), a)
	return d == authorizer.DecisionAllow
}

// act takes down what the subject needed to impersonate somebody, by upstream's rules
// (k8s.io/apiserver, pkg/endpoints/filters/impersonation): whatever became of the
// request, that was allowed. Groups that are added by themselves are not asked about.
func (g *generator) act(r *audit.Request) {
	add := func(n need) {
		if n.verb = "impersonate"; n.odd() {
			g.out.Odd.add(r)
			return
		}
		g.need(g.acts, n, times(r), r.Last)
	}
	if namespace, name, err := serviceaccount.SplitUsername(r.User); err == nil {
		add(need{namespace: namespace, resource: "serviceaccounts", name: name})
	} else {
		add(need{resource: "users", name: r.User})
	}
	added, _ := groupsOf(r.User)
	for _, group := range r.Groups {
		if !slices.Contains(added, group) {
			add(need{resource: "groups", name: group})
		}
	}
	for key, values := range r.Extra {
		for _, value := range values {
			add(need{group: "authentication.k8s.io", resource: "userextras/" + key, name: value})
		}
	}
}

// impersonation adds what was needed to impersonate and does not exist.
func (g *generator) impersonation() {
	groups, _ := groupsOf(g.userName)
	info := &user.DefaultInfo{Name: g.userName, Groups: slices.Concat(groups, slices.Collect(maps.Keys(g.groups)), g.opts.Groups)}
	for n, e := range g.acts {
		resource, sub, _ := strings.Cut(n.resource, "/")
		if !g.exists(&authorizer.AttributesRecord{User: info, Verb: n.verb, APIGroup: n.group, Resource: resource, Subresource: sub, Namespace: n.namespace, Name: n.name, ResourceRequest: true}) {
			g.need(g.needs, n, e.requests, e.last)
		}
	}
}

func (g *generator) refuse(n need, r *audit.Request) {
	g.out.Denied.add(r)
	name := n.name
	n.name = ""
	e := g.refused[n]
	if e == nil {
		e = &Evidence{Namespace: n.namespace, Verb: n.verb, APIGroup: n.group, Resource: n.resource, Path: n.path}
		g.refused[n] = e
	}
	e.Names = firstNames(e.Names, name)
	e.Requests += times(r)
	if r.Last.After(e.Last) {
		e.Last = r.Last
	}
}

// finish makes rules of what is needed.
func (g *generator) finish() {
	scopes := map[string]map[need]*evidence{}
	for n, e := range g.needs {
		if n.namespace != "" && g.everywhere(n) {
			continue
		}
		if scopes[n.namespace] == nil {
			scopes[n.namespace] = map[need]*evidence{}
		}
		scopes[n.namespace][n] = e
	}
	for _, namespace := range slices.Sorted(maps.Keys(scopes)) {
		g.out.Scopes = append(g.out.Scopes, GeneratedScope{namespace, rulesFor(scopes[namespace])})
	}
	for _, e := range g.refused {
		g.out.Refused = append(g.out.Refused, *e)
	}
	slices.SortFunc(g.out.Refused, func(a, b Evidence) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.APIGroup, b.APIGroup), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Verb, b.Verb))
	})
}

// everywhere reports whether what is needed in a namespace is needed in the whole
// cluster too, by its name or without one; its evidence counts there.
func (g *generator) everywhere(n need) bool {
	e := g.needs[n]
	n.namespace = ""
	for _, name := range []string{n.name, ""} {
		n.name = name
		if whole := g.needs[n]; whole != nil {
			whole.add(e.requests, e.last)
			return true
		}
	}
	return false
}

// nameFor is the name of what is generated for a subject: the same for the same, and
// for no other.
func nameFor(s *rbacv1.Subject) string {
	kind := map[string]string{rbacv1.UserKind: "user", rbacv1.GroupKind: "group", rbacv1.ServiceAccountKind: "sa"}[s.Kind]
	whole := s.Name
	if s.Namespace != "" {
		whole = s.Namespace + "/" + s.Name
	}
	var slug strings.Builder
	same := true
	for _, c := range whole {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-':
			slug.WriteRune(c)
		default:
			same = false
			slug.WriteByte('-')
		}
	}
	const longest = 60
	name := strings.Trim(slug.String(), "-")
	if !same || name != whole || len(name) > longest || name == "" {
		sum := sha256.Sum256([]byte(whole))
		name = strings.Trim(name[:min(len(name), longest)]+"-"+hex.EncodeToString(sum[:4]), "-")
	}
	return "least-" + kind + "-" + name
}

// showSubject is the subject as the command line has it.
func showSubject(s *rbacv1.Subject) string {
	switch s.Kind {
	case rbacv1.GroupKind:
		return "group:" + s.Name
	case rbacv1.ServiceAccountKind:
		return "sa:" + s.Namespace + "/" + s.Name
	}
	return "user:" + s.Name
}
