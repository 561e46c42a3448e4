package guard

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// monday is a Monday noon, UTC.
var monday = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// parse reads a Guard's spec; the reason need not be written.
func parse(t testing.TB, name, spec string) v1alpha1.Guard {
	t.Helper()
	g := v1alpha1.Guard{}
	g.Name, g.Spec.Reason = name, "because"
	if err := yaml.UnmarshalStrict([]byte(spec), &g.Spec); err != nil {
		t.Fatal(err)
	}
	return g
}

// labelled are namespaces with their labels.
type labelled map[string]map[string]string

func (l labelled) Labels(namespace string) (map[string]string, bool) {
	found, known := l[namespace]
	return found, known
}

// scopes are resources, as resource.group, that are in namespaces or not.
type scopes map[string]bool

func (s scopes) Namespaced(group, resource string) (bool, bool) {
	namespaced, known := s[resource+"."+group]
	return namespaced, known
}

// newTest is an authorizer with these Guards in force.
func newTest(t testing.TB, opts Options, guards ...v1alpha1.Guard) *Authorizer {
	t.Helper()
	if opts.Clock == nil {
		opts.Clock = testingclock.NewFakePassiveClock(monday)
	}
	a := New(opts)
	if err := a.Replace(guards); err != nil {
		t.Fatal(err)
	}
	return a
}

// ask reads a request: "anna,devs,ops get secrets.GROUP/SUB NAMESPACE/NAME", or a path in
// place of the resource. "-" is nothing.
func ask(t testing.TB, text string) authorizer.AttributesRecord {
	t.Helper()
	fields := append(strings.Fields(text), "-/-")
	if len(fields) < 4 {
		t.Fatalf("not a request: %q", text)
	}
	nothing := func(s string) string { return strings.TrimPrefix(s, "-") }
	who := strings.Split(fields[0], ",")
	a := authorizer.AttributesRecord{User: &user.DefaultInfo{Name: who[0], Groups: who[1:]}, Verb: fields[1]}
	if strings.HasPrefix(fields[2], "/") {
		a.Path = fields[2]
		return a
	}
	a.ResourceRequest = true
	resource, sub, _ := strings.Cut(fields[2], "/")
	a.Subresource = sub
	a.Resource, a.APIGroup, _ = strings.Cut(resource, ".")
	namespace, name, _ := strings.Cut(fields[3], "/")
	a.Namespace, a.Name = nothing(namespace), nothing(name)
	return a
}

func decide(t testing.TB, a *Authorizer, request string) (denied bool, reason string) {
	t.Helper()
	decision, reason, err := a.Authorize(t.Context(), ask(t, request))
	if err != nil || decision == authorizer.DecisionAllow {
		t.Fatalf("%s: decision %v, error %v", request, decision, err)
	}
	return decision == authorizer.DecisionDeny, reason
}
