package rules_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/cel-go/cel"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/celevent"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/rules"
)

// fiveHundred are our rules again and again under other names.
func fiveHundred(t testing.TB) *detect.Set {
	t.Helper()
	files, err := rules.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []*v1alpha1.DetectionRule
	for n := 0; len(all) < 500; n++ {
		for _, r := range files.Rules {
			copied := r.DeepCopy()
			copied.Name = fmt.Sprintf("%s-%d", r.Name, n)
			if all = append(all, copied); len(all) == 500 {
				break
			}
		}
	}
	set, problems := detect.Compile(all, detect.Options{Untested: true})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return set
}

// traffic is what a cluster records on an ordinary day under the built-in policy: mostly
// controllers, nodes and service accounts, some people.
func traffic(n int) []*audit.Event {
	r := rand.New(rand.NewPCG(1, 1))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	all := make([]*audit.Event, n)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for i := range all {
		at = at.Add(time.Duration(r.IntN(40)) * time.Millisecond)
		e := &audit.Event{ID: fmt.Sprint(i), Stage: audit.StageComplete, Level: "Metadata", Time: at, Received: at, Code: 200, Source: "serve",
			SourceIPs: []string{"10.0.0.7"}, Namespace: pick("shop", "bank", "ci"), Name: "web", Annotations: map[string]string{audit.AnnotationDecision: "allow"}}
		switch k := r.IntN(100); {
		case k < 40:
			e.User, e.UserAgent = "system:serviceaccount:kube-system:"+pick("replicaset-controller", "endpointslice-controller", "deployment-controller", "job-controller"), "kube-controller-manager/v1.37"
			e.Verb, e.Resource = pick("update", "create", "patch", "get"), pick("pods", "replicasets", "endpointslices", "jobs", "deployments")
		case k < 65:
			e.User, e.UserAgent = "system:node:n"+pick("1", "2", "3"), "kubelet/v1.37"
			e.Verb, e.Resource = pick("get", "patch", "watch", "list"), pick("nodes", "pods", "secrets", "configmaps")
		case k < 92:
			e.User, e.UserAgent = "system:serviceaccount:"+pick("mon:prom", "shop:web", "ci:deployer"), pick("operator/v1", "prometheus/2")
			e.Verb, e.Resource = pick("get", "list", "watch", "update"), pick("pods", "services", "endpoints", "configmaps", "nodes", "leases", "widgets")
		default:
			e.User, e.UserAgent, e.Groups = pick("jane", "ann"), "kubectl/v1.37", []string{"devs", "system:authenticated"}
			e.Verb, e.Resource = pick("get", "list", "watch"), pick("pods", "services", "deployments", "jobs")
		}
		e.URI = "/apis/" + e.Resource
		all[i] = e
	}
	return all
}

// TestNothingAllocates: where no rule matches, 500 rules allocate nothing.
func TestNothingAllocates(t *testing.T) {
	set := fiveHundred(t)
	evaluator := set.NewEvaluator()
	ctx := context.Background()
	var quiet []*audit.Event
	for _, e := range traffic(3000) {
		if len(evaluator.Evaluate(ctx, e)) == 0 {
			quiet = append(quiet, e)
		}
	}
	if len(quiet) < 1500 {
		t.Errorf("only %d of 3000 events match nothing", len(quiet))
	}
	state := detect.NewState(set, detect.StateOptions{})
	for _, e := range quiet {
		state.Observe(ctx, e)
	}
	i := 0
	if n := testing.AllocsPerRun(2*len(quiet), func() {
		evaluator.Evaluate(ctx, quiet[i%len(quiet)])
		state.Observe(ctx, quiet[i%len(quiet)])
		i++
	}); n != 0 {
		t.Errorf("%v allocations an event that matches nothing", n)
	}
}

// BenchmarkRules compares 500 rules in a set with the same rules one by one: each rule's
// match and condition as one CEL program.
func BenchmarkRules(b *testing.B) {
	set, events, ctx := fiveHundred(b), traffic(20000), context.Background()
	b.Run("set", func(b *testing.B) {
		evaluator := set.NewEvaluator()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			evaluator.Evaluate(ctx, events[i%len(events)])
		}
	})
	b.Run("state", func(b *testing.B) {
		state := detect.NewState(set, detect.StateOptions{})
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			state.Observe(ctx, events[i%len(events)])
		}
	})
	b.Run("one by one", func(b *testing.B) {
		programs := plain(b, set)
		var a celevent.Activation
		rest := &variables{}
		a.Rest = rest
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			e := events[i%len(events)]
			a.Set(e)
			rest.event = e
			for _, p := range programs {
				_, _ = p.Match(ctx, &a)
			}
		}
	})
}

// plain are the rules' matches and conditions as CEL.
func plain(b *testing.B, set *detect.Set) (programs []*celevent.Program) {
	b.Helper()
	object := cel.MapType(cel.StringType, cel.DynType)
	env, err := celevent.NewEnv(celevent.Options{Extend: []cel.EnvOption{
		cel.Variable("user", cel.StringType), cel.Variable("actor", cel.StringType), cel.Variable("address", cel.StringType), cel.Variable("ns", cel.StringType),
		cel.Variable("who", cel.StringType), cel.Variable("object", object), cel.Variable("pod", object), cel.Variable("containers", cel.ListType(object)),
	}})
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range set.Rules() {
		terms := []string{`event.stage in ["ResponseStarted", "ResponseComplete", "Panic"]`}
		list := func(field string, values []string) {
			if len(values) > 0 {
				terms = append(terms, field+` in ["`+strings.Join(values, `", "`)+`"]`)
			}
		}
		list("event.verb", r.Spec.Match.Verbs)
		var resources []string
		for _, x := range r.Spec.Match.Resources {
			x, _, _ = strings.Cut(x, "/")
			x, _, _ = strings.Cut(x, ".")
			resources = append(resources, x)
		}
		list("event.objectRef.resource", resources)
		if r.Spec.Condition != "" {
			terms = append(terms, "("+r.Spec.Condition+")")
		}
		p, err := env.Compile(strings.Join(terms, " && "), celevent.Bool)
		if err != nil {
			b.Fatal(err)
		}
		programs = append(programs, p)
	}
	return programs
}

// variables are those of a condition, for events without bodies.
type variables struct{ event *audit.Event }

func (v *variables) Parent() cel.Activation { return nil }

func (v *variables) ResolveName(name string) (any, bool) {
	switch name {
	case "user", "actor":
		return v.event.User, true
	case "address":
		return "10.0.0.7", true
	case "ns":
		return v.event.Namespace, true
	case "who":
		return "account", true
	case "object", "pod":
		return map[string]any{}, true
	case "containers":
		return []any{}, true
	}
	return nil, false
}
