package policy

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
)

func compiled(t *testing.T, name string, spec v1alpha1.ExceptionSpec) *Exception {
	t.Helper()
	x, err := NewException(exception(name, spec), gate.Source{Kind: "Exception", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// excepts reports whether an Exception lets a refusal through, with the trace.
func excepts(t *testing.T, spec v1alpha1.ExceptionSpec, r *Request, v Validator) (bool, *Exception) {
	t.Helper()
	x := compiled(t, "x", spec)
	ctx, recorder := traced(t)
	out := NewSet([]Policy{v}, Options{Exceptions: NewExceptions([]*Exception{x}), Now: clock}).Validate(ctx, r)
	if len(out.Denials)+len(out.Excepted) != 1 {
		t.Fatalf("got %+v", out)
	}
	if excepted := len(out.Excepted) == 1; excepted != strings.Contains(fmt.Sprint(recorder.Steps()), "excepted by anna, until 2026-11-23T13:00:00Z") && spec.ExpiresAt.IsZero() {
		t.Errorf("excepted %v, and the trace says %v", excepted, recorder.Steps())
	}
	return len(out.Excepted) == 1, x
}

func match(m v1alpha1.ExceptionMatch) v1alpha1.ExceptionSpec {
	return v1alpha1.ExceptionSpec{Match: &m}
}

func TestExceptionMatch(t *testing.T) {
	type m = v1alpha1.ExceptionMatch
	labels := func(key, value string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
	}
	generated := pod("nginx")
	generated.SetName("")
	generated.SetGenerateName("job-")
	node := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": "web"}}}
	lost := pod("nginx")
	lost.SetNamespace("lost")
	for _, c := range []struct {
		name string
		m    m
		o    *unstructured.Unstructured
		want bool
	}{
		{"kind", m{Kinds: []string{"Deployment", "Pod"}}, pod("nginx"), true},
		{"another kind", m{Kinds: []string{"Deployment"}}, pod("nginx"), false},
		{"a star is no kind", m{Kinds: []string{"*"}}, pod("nginx"), false},

		{"namespace", m{Namespaces: []string{"shop"}}, pod("nginx"), true},
		{"namespace by stars", m{Namespaces: []string{"s*p"}}, pod("nginx"), true},
		{"part of a namespace", m{Namespaces: []string{"sho"}}, pod("nginx"), false},
		{"another namespace", m{Namespaces: []string{"kube-*"}}, pod("nginx"), false},
		{"no namespace", m{Namespaces: []string{"*"}}, node, false},
		{"an empty list", m{Namespaces: []string{}}, pod("nginx"), false},

		{"labels of the namespace", m{NamespaceSelector: labels("env", "prod")}, pod("nginx"), true},
		{"other labels of the namespace", m{NamespaceSelector: labels("env", "dev")}, pod("nginx"), false},
		{"labels nobody knows", m{NamespaceSelector: &metav1.LabelSelector{}}, lost, false},
		{"labels of no namespace", m{NamespaceSelector: &metav1.LabelSelector{}}, node, false},

		{"name", m{Names: []string{"web"}}, pod("nginx"), true},
		{"no hidden star", m{Names: []string{"we"}}, pod("nginx"), false},
		{"name by star", m{Names: []string{"w*"}}, pod("nginx"), true},
		{"star before", m{Names: []string{"*b"}}, pod("nginx"), true},
		{"nothing else is special", m{Names: []string{"w.b", "w?b", "[w]eb", "w+eb"}}, pod("nginx"), false},
		{"generated name", m{Names: []string{"job-"}}, generated, true},

		{"labels", m{Selector: labels("app", "web")}, pod("nginx"), true},
		{"other labels", m{Selector: labels("app", "db")}, pod("nginx"), false},

		{"image", m{Images: []string{"nginx"}}, pod("nginx"), true},
		{"image by star", m{Images: []string{"registry/*"}}, pod("registry/a@sha256:0"), true},
		{"part of an image", m{Images: []string{"nginx"}}, pod("nginx:1"), false},
		{"every image", m{Images: []string{"a", "b"}}, pod("a", "b"), true},
		{"one image of two", m{Images: []string{"a"}}, pod("a", "b"), false},
		{"no image", m{Images: []string{"*"}}, pod(), false},
		{"what has no images", m{Images: []string{"*"}}, node, false},

		{"all of it", m{Kinds: []string{"Pod"}, Namespaces: []string{"shop"}, NamespaceSelector: labels("env", "prod"), Names: []string{"web"}, Selector: labels("app", "web"), Images: []string{"nginx"}}, pod("nginx"), true},
		{"all but one", m{Kinds: []string{"Pod"}, Namespaces: []string{"shop"}, NamespaceSelector: labels("env", "prod"), Names: []string{"web"}, Selector: labels("app", "db"), Images: []string{"nginx"}}, pod("nginx"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, _ := excepts(t, match(c.m), creation(c.o), denies("a")); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// An Exception for images takes back what is said of those images alone.
func TestExceptionImagesByPath(t *testing.T) {
	o := pod("good", "bad", "")
	o.Object["spec"].(map[string]any)["volumes"] = []any{
		map[string]any{"name": "v", "image": map[string]any{"reference": "good"}},
		map[string]any{"name": "w", "image": map[string]any{"reference": "bad"}},
		map[string]any{"name": "h", "hostPath": map[string]any{"path": "/"}},
	}
	o.Object["spec"].(map[string]any)["initContainers"] = []any{map[string]any{"name": "i", "image": "good"}}
	for path, want := range map[string]bool{
		"spec.containers[0].image":                      true,
		"spec.containers[0]":                            true,
		"spec.containers[0].securityContext.privileged": true,
		"spec.containers[1].image":                      false,
		"spec.containers[2].image":                      false, // it has none
		"spec.containers[10].image":                     false,
		"spec.containers[0]x":                           false,
		"spec.initContainers[0].image":                  true,
		"spec.volumes[0].image.reference":               true,
		"spec.volumes[1].image.reference":               false,
		"spec.volumes[2].hostPath":                      false, // of the pod as a whole
		"spec.hostNetwork":                              false,
		"":                                              false,
	} {
		said := says("a", Result{Actions: []Action{Deny}, Path: path})
		if got, _ := excepts(t, match(v1alpha1.ExceptionMatch{Images: []string{"good"}}), creation(o), said); got != want {
			t.Errorf("%q: got %v", path, got)
		}
		if got, _ := excepts(t, match(v1alpha1.ExceptionMatch{Images: []string{"good", "bad"}}), creation(o), said); got != !strings.Contains(path, "containers[2]") {
			t.Errorf("%q, every image excepted: got %v", path, got)
		}
	}
	named := says("a", Result{Actions: []Action{Deny}, Path: "spec.containers[0]", Images: []string{"other"}})
	if got, _ := excepts(t, match(v1alpha1.ExceptionMatch{Images: []string{"good"}}), creation(o), named); got {
		t.Error("a Result that names its images is taken for one of others")
	}
}

func TestExceptionPolicies(t *testing.T) {
	v := denies("a")
	v.source = gate.Source{Kind: "BuiltinPolicies", Name: "platform", Part: "DisallowHostNetwork"}
	bound := says("binding", Result{Actions: []Action{Deny}, Sources: []gate.Source{{Kind: "ValidatingAdmissionPolicyBinding", Name: "b"}, {Kind: "ValidatingAdmissionPolicy", Name: "p"}}})
	for _, c := range []struct {
		v          Validator
		kind, name string
		want       bool
	}{
		{v, "", "DisallowHostNetwork", true},
		{v, "BuiltinPolicies", "DisallowHostNetwork", true},
		{v, "", "platform", true},
		{v, "", "DisallowHost*", true},
		{v, "", "DisallowHost", false},
		{v, "", "disallowhostnetwork", false},
		{v, "Other", "DisallowHostNetwork", false},
		{v, "*", "DisallowHostNetwork", false},
		{bound, "", "p", true},
		{bound, "ValidatingAdmissionPolicy", "p", true},
		{bound, "ValidatingAdmissionPolicy", "b", false},
		{bound, "Fake", "binding", true},
	} {
		spec := match(v1alpha1.ExceptionMatch{Names: []string{"*"}})
		spec.Policies = []v1alpha1.ExceptedPolicy{{Name: "no-such"}, {Kind: c.kind, Name: c.name}}
		if got, _ := excepts(t, spec, creation(pod("nginx")), c.v); got != c.want {
			t.Errorf("%s %q: got %v", c.kind, c.name, got)
		}
	}
}

func TestExceptionSubjects(t *testing.T) {
	account := &user.DefaultInfo{Name: "system:serviceaccount:ci:runner", Groups: []string{"system:serviceaccounts"}}
	accounts := func(namespace, name string) v1alpha1.GuardSubjects {
		return v1alpha1.GuardSubjects{ServiceAccounts: []v1alpha1.GuardServiceAccount{{Namespace: namespace, Name: name}}}
	}
	for _, c := range []struct {
		name string
		s    v1alpha1.GuardSubjects
		who  user.Info
		want bool
	}{
		{"user", v1alpha1.GuardSubjects{Users: []string{"anna"}}, anna, true},
		{"another user", v1alpha1.GuardSubjects{Users: []string{"an*"}}, anna, false},
		{"group", v1alpha1.GuardSubjects{Groups: []string{"ops", "devs"}}, anna, true},
		{"another group", v1alpha1.GuardSubjects{Groups: []string{"dev"}}, anna, false},
		{"account", accounts("ci", "runner"), account, true},
		{"every account", accounts("ci", "*"), account, true},
		{"another account", accounts("ci", "runne"), account, false},
		{"another namespace", accounts("cd", "*"), account, false},
		{"a user named like one", accounts("ci", "*"), &user.DefaultInfo{Name: "serviceaccount:ci:runner"}, false},
		{"nobody", v1alpha1.GuardSubjects{Users: []string{""}}, nil, false},
	} {
		request := NewRequest(attributes(admission.Create, pod("nginx"), nil, c.who), nil, noCluster{})
		spec := v1alpha1.ExceptionSpec{Subjects: &c.s}
		if got, _ := excepts(t, spec, request, denies("a")); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
		request.Background = true
		if got, _ := excepts(t, spec, request, denies("a")); got {
			t.Errorf("%s: an object that exists is excepted for who asked", c.name)
		}
	}
	background := creation(pod("nginx"))
	background.Background = true
	if got, _ := excepts(t, match(v1alpha1.ExceptionMatch{Names: []string{"web"}}), background, denies("a")); !got {
		t.Error("an object that exists is not excepted by its name")
	}
}

func TestExceptionExpires(t *testing.T) {
	for at, want := range map[time.Time]bool{now.Add(time.Second): true, now: false, now.Add(-time.Hour): false} {
		spec := match(v1alpha1.ExceptionMatch{Names: []string{"*"}})
		spec.ExpiresAt = metav1.NewTime(at)
		got, x := excepts(t, spec, creation(pod("nginx")), denies("a"))
		if got != want || x.Expired(now) == want {
			t.Errorf("until %s: got %v", at, got)
		}
		if used := !x.LastUsed().IsZero(); used != want || used && !x.LastUsed().Equal(now) {
			t.Errorf("until %s: last used %s", at, x.LastUsed())
		}
	}
}

// An Exception that only dry runs met is one to delete; one that an object which is
// there needs is not.
func TestExceptionIsUsedByWhatHasAnEffect(t *testing.T) {
	for _, c := range []struct {
		name               string
		dryRun, background bool
		recorder           *gate.Recorder
		want               bool
	}{
		{"a request", false, false, nil, true},
		{"a request that is traced", false, false, &gate.Recorder{}, true},
		{"a dry run", true, false, nil, false},
		{"a review", true, false, &gate.Recorder{All: true}, false},
		{"a review of exec", false, false, &gate.Recorder{All: true}, false},
		{"the scan", true, true, nil, true},
	} {
		o := pod("nginx")
		request := NewRequest(admission.NewAttributesRecord(o, nil, o.GroupVersionKind(), o.GetNamespace(), o.GetName(), schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "", admission.Create, &metav1.CreateOptions{}, c.dryRun, anna), nil, noCluster{})
		request.Background = c.background
		x := compiled(t, "x", match(v1alpha1.ExceptionMatch{Names: []string{"web"}}))
		out := NewSet([]Policy{denies("a")}, Options{Exceptions: NewExceptions([]*Exception{x}), Now: clock}).Validate(gate.WithRecorder(t.Context(), c.recorder), request)
		if used := !x.LastUsed().IsZero(); len(out.Excepted) != 1 || used != c.want {
			t.Errorf("%s: excepted %v, used %v", c.name, out.Excepted, used)
		}
	}
}

// What it lets through may be a warning, a failure or a mutation too, and what it
// does not name stands.
func TestExceptionOfOtherResults(t *testing.T) {
	all := NewExceptions([]*Exception{compiled(t, "x", v1alpha1.ExceptionSpec{Policies: []v1alpha1.ExceptedPolicy{{Name: "m*"}}, Match: &v1alpha1.ExceptionMatch{Names: []string{"web"}}})})
	m := mutates("m1", func(o map[string]any) { label(o, "a", "b") })
	failing := &mutator{named: named{source("m2"), everything}, do: func(map[string]any) error { return fmt.Errorf("broken") }}
	other := mutates("other", func(o map[string]any) { label(o, "c", "d") })
	s := NewSet([]Policy{m, failing, other, says("m3", Result{Actions: []Action{Warn}}), denies("z"),
		&validator{named: named{source("m4"), everything}, say: func(ctx context.Context, _ *Request) []Result { panic("x") }}}, Options{Exceptions: all, Now: clock})
	request := creation(pod("nginx"))
	out := s.Mutate(t.Context(), request)
	o, _ := request.Object()
	if labels := o.GetLabels(); labels["a"] != "" || labels["c"] != "d" || len(out.Denials) > 0 || len(out.Excepted) < 2 {
		t.Errorf("labels %v, %+v", labels, out)
	}
	out = s.Validate(t.Context(), request)
	if len(out.Warnings) > 0 || len(out.Denials) != 1 || len(out.Excepted) != 2 {
		t.Errorf("got %+v", out)
	}
}

// bound is a mutator that is made of two objects.
type bound struct {
	*mutator
	sources []gate.Source
}

func (b bound) Sources() []gate.Source { return b.sources }

// An Exception may name any object that a mutator is made of.
func TestExceptionOfMutations(t *testing.T) {
	policyOf := gate.Source{Kind: "MutatingAdmissionPolicy", Name: "p"}
	for _, c := range []struct {
		name  string
		of    v1alpha1.ExceptedPolicy
		names string
		ends  time.Time
		may   bool
		want  bool
	}{
		{"the policy", v1alpha1.ExceptedPolicy{Kind: "MutatingAdmissionPolicy", Name: "p"}, "web", now.Add(time.Hour), true, true},
		{"its binding", v1alpha1.ExceptedPolicy{Name: "b"}, "web", now.Add(time.Hour), true, true},
		{"another object", v1alpha1.ExceptedPolicy{Name: "p"}, "db", now.Add(time.Hour), true, false},
		{"another policy", v1alpha1.ExceptedPolicy{Name: "q"}, "web", now.Add(time.Hour), false, false},
		{"ended", v1alpha1.ExceptedPolicy{Name: "p"}, "web", now, false, false},
	} {
		m := bound{mutator: mutates("b", func(o map[string]any) { label(o, "a", "b") })}
		m.sources = []gate.Source{m.Source(), policyOf}
		x := compiled(t, "x", v1alpha1.ExceptionSpec{Policies: []v1alpha1.ExceptedPolicy{c.of}, ExpiresAt: metav1.NewTime(c.ends), Match: &v1alpha1.ExceptionMatch{Names: []string{c.names}}})
		s := NewSet([]Policy{m}, Options{Exceptions: NewExceptions([]*Exception{x}), Now: clock})
		r := creation(pod("nginx"))
		if may := s.MayExceptMutation(t.Context(), r); may != c.may || !x.LastUsed().IsZero() {
			t.Errorf("%s: may %v, want %v; used %s", c.name, may, c.may, x.LastUsed())
		}
		out := s.Mutate(t.Context(), r)
		if excepted := len(out.Excepted) == 1; excepted != c.want || out.Changed == c.want {
			t.Errorf("%s: excepted %v, changed %v", c.name, excepted, out.Changed)
		}
	}
	if NewSet([]Policy{mutates("a", nil)}, Options{}).MayExceptMutation(t.Context(), creation(pod("nginx"))) {
		t.Error("without Exceptions nothing is excepted")
	}
}

func TestNewExceptionRefuses(t *testing.T) {
	for want, change := range map[string]func(*v1alpha1.ExceptionSpec){
		"name a policy":         func(s *v1alpha1.ExceptionSpec) { s.Policies = nil },
		"a name is missing":     func(s *v1alpha1.ExceptionSpec) { s.Policies = append(s.Policies, v1alpha1.ExceptedPolicy{Kind: "Pod"}) },
		"set match or subjects": func(s *v1alpha1.ExceptionSpec) { s.Match = nil },
		"spec.match: set a field": func(s *v1alpha1.ExceptionSpec) {
			s.Match = &v1alpha1.ExceptionMatch{}
		},
		"say why":            func(s *v1alpha1.ExceptionSpec) { s.Reason = " " },
		"say who answers":    func(s *v1alpha1.ExceptionSpec) { s.Owner = "\t" },
		"say when it ends":   func(s *v1alpha1.ExceptionSpec) { s.ExpiresAt = metav1.Time{} },
		"name at least one":  func(s *v1alpha1.ExceptionSpec) { s.Subjects = &v1alpha1.GuardSubjects{All: true, Users: []string{"a"}} },
		"name at least one ": func(s *v1alpha1.ExceptionSpec) { s.Subjects = &v1alpha1.GuardSubjects{} },
		"spec.match.selector:": func(s *v1alpha1.ExceptionSpec) {
			s.Match.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a b": "c"}}
		},
		"spec.match.namespaceSelector:": func(s *v1alpha1.ExceptionSpec) {
			s.Match.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
		},
	} {
		e := exception("x", match(v1alpha1.ExceptionMatch{Names: []string{"a"}}))
		change(&e.Spec)
		if _, err := NewException(e, gate.Source{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// The first by name is used, whatever the order.
func TestExceptionsAreOrdered(t *testing.T) {
	a, b := compiled(t, "a", match(v1alpha1.ExceptionMatch{Names: []string{"*"}})), compiled(t, "b", match(v1alpha1.ExceptionMatch{Names: []string{"*"}}))
	for _, all := range [][]*Exception{{a, b}, {b, a}} {
		out := NewSet([]Policy{denies("p")}, Options{Exceptions: NewExceptions(all), Now: clock}).Validate(t.Context(), creation(pod("nginx")))
		if len(out.Excepted) != 1 || out.Excepted[0].Exception != a {
			t.Errorf("got %+v", out.Excepted)
		}
	}
	if (*Exceptions)(nil).All() != nil || len(NewExceptions([]*Exception{b, a}).All()) != 2 {
		t.Error("All")
	}
}
