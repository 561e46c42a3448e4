package guard

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

func TestCompileRefuses(t *testing.T) {
	for spec, want := range map[string]string{
		`{subjects: {}, resources: [pods]}`:                                                           "spec.subjects: name at least one",
		`{subjects: {users: ["*"]}, resources: [pods]}`:                                               "spec.subjects.users: ",
		`{subjects: {groups: [""]}, resources: [pods]}`:                                               "spec.subjects.groups: ",
		`{subjects: {serviceAccounts: [{namespace: "*", name: a}]}, resources: [pods]}`:               "spec.subjects.serviceAccounts: ",
		`{subjects: {serviceAccounts: [{namespace: a, name: "a*"}]}, resources: [pods]}`:              "spec.subjects.serviceAccounts: ",
		`{subjects: {serviceAccounts: [{namespace: a}]}, resources: [pods]}`:                          "namespace and name must be set",
		`{subjects: {all: true}, except: {all: true}, resources: [pods]}`:                             "spec.except: a Guard that excepts everybody",
		`{subjects: {all: true}, except: {users: [""]}, resources: [pods]}`:                           "spec.except.users: ",
		`{subjects: {all: true}}`:                                                                     "spec: say what is refused",
		`{subjects: {all: true}, verbs: [get]}`:                                                       "spec: say what is refused",
		`{subjects: {all: true}, resources: [""]}`:                                                    "spec.resources: ",
		`{subjects: {all: true}, resources: ["po*"]}`:                                                 "spec.resources: ",
		`{subjects: {all: true}, exceptResources: ["a/b/c"]}`:                                         "spec.exceptResources: ",
		`{subjects: {all: true}, exceptResources: ["*"]}`:                                             "refuses nothing",
		`{subjects: {all: true}, resources: [pods], exceptVerbs: ["*"]}`:                              "refuses nothing",
		`{subjects: {all: true}, resources: [pods], verbs: [""]}`:                                     "spec.verbs: ",
		`{subjects: {all: true}, names: [""]}`:                                                        "spec.names: ",
		`{subjects: {all: true}, nonResourceURLs: [metrics]}`:                                         "spec.nonResourceURLs: ",
		`{subjects: {all: true}, resources: [pods], mode: warn}`:                                      "spec.mode: ",
		`{subjects: {all: true}, resources: [pods], reason: " "}`:                                     "spec.reason: ",
		`{subjects: {all: true}, resources: [pods], condition: "request.nothing == 1"}`:               "spec.condition: ",
		`{subjects: {all: true}, resources: [pods], condition: "1"}`:                                  "must evaluate to bool",
		`{subjects: {all: true}, resources: [pods], windows: [{}]}`:                                   "spec.windows[0]: ",
		`{subjects: {all: true}, namespaceSelector: {matchLabels: {"a b": c}}}`:                       "spec.namespaceSelector: ",
		`{subjects: {all: true}, resources: [pods], condition: "` + strings.Repeat(" ", 20000) + `"}`: "more than 10240",
	} {
		g := parse(t, "g", spec)
		a := newTest(t, Options{})
		if err := a.Check(&g); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), `read Guard "g": `) {
			t.Errorf("%.100s: %v, want %q", spec, err, want)
		}
		if a.Len() != 0 || len(a.Invalid()) != 0 {
			t.Error("Check changed something")
		}
	}
	g := parse(t, "", `{subjects: {all: true}, resources: [pods]}`)
	if err := New(Options{}).Check(&g); err == nil {
		t.Error("a Guard without a name is accepted")
	}
}

// What a Guard comes to that does not compile, with and without a version before.
func TestGuardThatDoesNotCompile(t *testing.T) {
	good := parse(t, "g", `{subjects: {users: [anna]}, resources: [pods], reason: good}`)
	narrow := parse(t, "g", `{subjects: {users: [anna]}, resources: [secrets], condition: "(", windows: [{days: [Fri]}], reason: narrow}`)
	mended := parse(t, "g", `{subjects: {users: [anna]}, resources: [secrets], condition: "false"}`)
	nobody := parse(t, "g", `{subjects: {}, resources: [secrets]}`)
	const pods, secrets = "anna get pods shop/a", "anna get secrets shop/a"
	for _, put := range []struct {
		name string
		put  func(a *Authorizer, g v1alpha1.Guard) error
	}{
		{"Upsert", func(a *Authorizer, g v1alpha1.Guard) error { return a.Upsert(&g) }},
		{"Replace", func(a *Authorizer, g v1alpha1.Guard) error { return a.Replace([]v1alpha1.Guard{g}) }},
	} {
		t.Run(put.name, func(t *testing.T) {
			a := newTest(t, Options{})
			step := func(what string, g v1alpha1.Guard, valid bool, denied ...string) {
				t.Helper()
				if err := put.put(a, g); (err == nil) != valid || (a.Invalid()["g"] == nil) != valid {
					t.Errorf("%s: %v, Invalid %v", what, err, a.Invalid())
				}
				for _, request := range []string{pods, secrets} {
					want := strings.Contains(strings.Join(denied, "\n"), request)
					if got, reason := decide(t, a, request); got != want {
						t.Errorf("%s: %s: denied %v, %q", what, request, got, reason)
					}
				}
			}
			step("new, and nobody knows whom it is about", nobody, false)
			step("new, and its condition does not compile", narrow, false, secrets)
			if _, reason := decide(t, a, secrets); reason != "Guard g: narrow (its windows[0], condition cannot be read, which counts as matching)" {
				t.Errorf("reason %q", reason)
			}
			step("mended", mended, true)
			step("good", good, true, pods)
			step("spoilt: the good one holds", narrow, false, pods)
			step("spoilt again", nobody, false, pods)
			step("good again", good, true, pods)
			a.Delete("g")
			if a.Len() != 0 || len(a.Invalid()) != 0 || len(a.current.Load().axes[bySubject].prefixes) != 0 {
				t.Error("something is left")
			}
			a.Delete("g")
		})
	}
}

// Sizes no schema would let in.
func TestHostileSizes(t *testing.T) {
	g := parse(t, "huge", `{subjects: {}, resources: ["*"]}`)
	for i := range 10_000 {
		g.Spec.Subjects.Users = append(g.Spec.Subjects.Users, fmt.Sprintf("user-%d", i), "\xff\xfe")
		g.Spec.Namespaces = append(g.Spec.Namespaces, fmt.Sprintf("ns-%d-*", i), strings.Repeat("*", 50))
	}
	g.Spec.Reason = "\xff\x1b[31mred"
	a := newTest(t, Options{}, g)
	request := ask(t, "user-9999 get pods ns-77-x/a")
	d, reason, err := a.Authorize(t.Context(), request)
	if d != authorizer.DecisionDeny || err != nil || reason != "Guard huge: \uFFFD\x1b[31mred" {
		t.Errorf("%v %q %v", d, reason, err)
	}
	groups := make([]string, 100_000)
	for i := range groups {
		groups[i] = fmt.Sprintf("group-%d", i)
	}
	for _, u := range []user.Info{
		&user.DefaultInfo{Name: "\xff\xfe", Groups: groups},
		&user.DefaultInfo{Name: "\xff\xfe", Groups: []string{"\x00", "", "\xff"}},
	} {
		request.User = u
		if d, _, _ := a.Authorize(t.Context(), request); d != authorizer.DecisionDeny {
			t.Errorf("%q passes", u.GetName())
		}
	}
	// A user in so many guarded groups finds a rule many times over.
	many := parse(t, "many", `{subjects: {all: false}, resources: [pods]}`)
	many.Spec.Subjects.Groups = groups
	if err := a.Upsert(&many); err != nil {
		t.Fatal(err)
	}
	request.User = &user.DefaultInfo{Name: "x", Groups: groups}
	if d, reason, _ := a.Authorize(t.Context(), request); d != authorizer.DecisionDeny || reason != "Guard many: because" {
		t.Errorf("%v %q", d, reason)
	}
	a.Delete("many")
	a.Delete("huge")
	for d, axis := range a.current.Load().axes {
		if axis.shards == nil {
			continue
		}
		for _, shard := range axis.shards {
			if len(shard) != 0 {
				t.Errorf("keys are left in dimension %d", d)
			}
		}
	}
}

// Requests read while Guards come and go; go test -race watches.
func TestConcurrentUse(t *testing.T) {
	a := newTest(t, randomOptions, parse(t, "fixed", `{subjects: {users: [anna]}, resources: [pods]}`))
	done := make(chan struct{})
	var writers, readers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			for i := range 300 {
				name := fmt.Sprintf("g%d-%d", w, i%20)
				g := parse(t, name, fmt.Sprintf(`{subjects: {all: true}, resources: [r%d], namespaces: ["n%d*"], condition: "request.user != ''"}`, i%7, i%3))
				if err := a.Upsert(&g); err != nil {
					t.Error(err)
				}
				if i%3 == 0 {
					a.Delete(name)
				}
				a.Invalid()
			}
		})
	}
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if denied, _ := decide(t, a, "anna get pods shop/a"); !denied {
					t.Error("a Guard that stays let something pass")
				}
				decide(t, a, "bob get r1 n1/a")
				decide(t, a, "bob * *")
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

// FuzzGuard: whatever a Guard holds, nothing panics, and what compiles is judged
// the same by the index and by asking it.
func FuzzGuard(f *testing.F) {
	f.Add("anna", "devs", "get", "pods/exec", "prod-*", "db*", "/metrics", "Monday", "09:00", "17:00", "Europe/Berlin", "request.user == 'a'", "env", "prod")
	f.Add("*", "", "*", "*/*", "*", "**", "*", "", "24:00", "", "Local", "[1][2] == 3", "a b", "\xff")
	f.Fuzz(func(t *testing.T, who, group, verb, resource, namespace, name, path, day, start, end, zone, condition, label, value string) {
		g := v1alpha1.Guard{}
		g.Name, g.Spec.Reason = "g", "because"
		g.Spec.Subjects = v1alpha1.GuardSubjects{Users: []string{who}, Groups: []string{group}}
		g.Spec.Verbs, g.Spec.Resources, g.Spec.Namespaces = []string{verb}, []string{resource}, []string{namespace}
		g.Spec.Names, g.Spec.NonResourceURLs = []string{name}, []string{path}
		g.Spec.Windows = []v1alpha1.GuardWindow{{Start: start, End: end, TimeZone: zone}}
		if day != "" {
			g.Spec.Windows[0].Days = []v1alpha1.GuardDay{v1alpha1.GuardDay(day)}
		}
		g.Spec.Condition = condition
		g.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{label: value}}
		a := New(Options{})
		if err := a.Replace(nil); err != nil {
			t.Fatal(err)
		}
		_ = a.Upsert(&g)
		_ = LockOut(&g, []v1alpha1.Guard{g}, []Holder{{Kind: "User", Name: who}})
		resourceName, sub, _ := strings.Cut(resource, "/")
		for _, r := range []authorizer.AttributesRecord{
			{Verb: verb, ResourceRequest: true, Resource: resourceName, Subresource: sub, Namespace: namespace, Name: name},
			{Verb: verb, ResourceRequest: true, Resource: resourceName, Subresource: sub},
			{Verb: verb, Path: path},
		} {
			r.User = &user.DefaultInfo{Name: who, Groups: []string{group}}
			q := newRequest(r, nil, nil)
			x := a.current.Load()
			if got, want := len(namesOf(x.touching(&q))), len(namesOf(x.scan(&q))); got != want {
				t.Errorf("the index finds %d, a scan %d", got, want)
			}
			if d, _, err := a.Authorize(t.Context(), r); d == authorizer.DecisionAllow || err != nil {
				t.Errorf("%v, %v", d, err)
			}
		}
	})
}
