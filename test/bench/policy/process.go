package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/engines"
)

// cost is that of one request: nanoseconds and allocations.
type cost struct{ wall, cpu, allocations float64 }

func medianOf(all []cost) cost {
	of := func(get func(cost) float64) float64 {
		var list []float64
		for _, c := range all {
			list = append(list, get(c))
		}
		return median(list)
	}
	return cost{of(func(c cost) float64 { return c.wall }), of(func(c cost) float64 { return c.cpu }), of(func(c cost) float64 { return c.allocations })}
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// work is one row in process.
type work struct {
	language string
	target   target
	n        int
	// beside are policies more that do not match.
	beside int
}

func (w work) title() string {
	text := fmt.Sprintf("%d %s, %s", w.n, titles[w.language], w.target.name)
	if w.beside > 0 {
		text += fmt.Sprintf(", beside %d that do not match", w.beside)
	}
	return text
}

func (o *options) inProcess(ctx context.Context) (string, error) {
	var all []work
	for _, t := range []target{pods, deployments} {
		for _, language := range []string{inVAP, inCEL, inRego, inBuiltin} {
			for _, n := range []int{1, 16, 100, 1000} {
				all = append(all, work{language, t, n, 0})
			}
		}
	}
	var b strings.Builder
	fmt.Fprint(&b, "### In process\n\n| policies | ratio of CPU | gatehouse | CPU | allocations | again | allocations | Gatekeeper's client | CPU | allocations |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	targets := "### Targets in process\n\n| target | measured | |\n|---|--:|---|\n"
	verdict := func(what string, measured string, met bool) {
		targets += fmt.Sprintf("| %s | %s | %s |\n", what, measured, map[bool]string{true: "met", false: "missed"}[met])
	}
	all = append(all, work{inCEL, pods, 15, 0}, work{inRego, pods, 19, 0})
	for _, language := range []string{inVAP, inCEL, inRego} {
		all = append(all, work{language, pods, 16, 984})
	}
	for _, w := range all {
		if !strings.Contains(w.title(), o.rows) {
			continue
		}
		m, theirs, err := o.sides(ctx, w)
		if err != nil {
			return "", fmt.Errorf("%s: %w", w.title(), err)
		}
		first, again := medianOf(m.first), medianOf(m.again)
		fmt.Fprintf(os.Stderr, "%s: %s, again %s%s\n", w.title(), nanoseconds(first.wall), nanoseconds(again.wall), inTurns(m.first, theirs))
		ratio, their := "", "| | |"
		if len(theirs) > 0 {
			t := medianOf(theirs)
			ratio = fmt.Sprintf("%.1f", t.cpu/first.cpu)
			their = fmt.Sprintf("%s | %s | %.0f |", nanoseconds(t.wall), nanoseconds(t.cpu), t.allocations)
			switch {
			case w.language == inCEL && w.n == 15:
				verdict("15 constraints in CEL at least 10 times as fast as Gatekeeper's client", ratio+" times", t.cpu/first.cpu >= 10)
			case w.language == inRego && w.n == 19:
				verdict("19 constraints in Rego no slower than Gatekeeper's client", ratio+" times as fast", t.cpu/first.cpu >= 1)
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.0f | %s | %.0f | %s\n", w.title(), ratio, nanoseconds(first.wall), nanoseconds(first.cpu), first.allocations, nanoseconds(again.wall), again.allocations, their)
		switch {
		case w.language == inVAP && w.n == 16 && w.beside == 0 && w.target.name == pods.name:
			verdict("16 native policies in at most 60 µs", nanoseconds(first.cpu), first.cpu <= 60e3)
		case w.beside > 0:
			share := first.cpu / medianOf(m.alone).cpu
			verdict(fmt.Sprintf("1,000 %s of which 16 match at most 1.2 times the cost of those 16", titles[w.language]), fmt.Sprintf("%.2f times", share), share <= 1.2)
		}
	}
	return targets + "\n" + b.String(), nil
}

// inTurns are the ratios of CPU of each turn, as they were measured.
func inTurns(mine, theirs []cost) (text string) {
	for i := range theirs {
		text += fmt.Sprintf(" %.2f", theirs[i].cpu/mine[i].cpu)
	}
	if text != "" {
		text = ", the client's CPU by turns" + text + " times"
	}
	return text
}

func nanoseconds(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.3g ms", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.3g µs", n/1e3)
	}
	return fmt.Sprintf("%.0f ns", n)
}

// mine is what gatehouse was measured to cost: the first time that it is asked about an
// object, and when it is asked again about its like; and, where policies stand beside
// those that match, what these alone cost the first time.
type mine struct{ first, again, alone []cost }

// sides measures both in turns.
func (o *options) sides(ctx context.Context, w work) (m mine, theirs []cost, err error) {
	var s stated
	if err := s.policies(w.language, "", w.target, w.n); err != nil {
		return m, nil, err
	}
	matching, err := ours(slices.Concat(s.first, s.second), w)
	if err != nil {
		return m, nil, err
	}
	all := matching
	if w.beside > 0 {
		if err := s.policies(w.language, "Other", others, w.beside); err != nil {
			return m, nil, err
		}
		if all, err = ours(slices.Concat(s.first, s.second), w); err != nil {
			return m, nil, err
		}
	}
	rounds, each := o.rounds, o.each
	switch {
	case w.beside > 0:
		rounds *= 3 // a ratio of two that are near to each other
	case w.n >= 100:
		each = max(o.each*20/w.n, 5)
	}
	if w.n >= 1000 {
		rounds = min(rounds, 3)
	}
	for range rounds {
		if ctx.Err() != nil {
			return m, nil, ctx.Err()
		}
		for _, one := range []struct {
			to *[]cost
			of *asking
			do func(*asking) func(int) error
		}{{&m.first, all, (*asking).first}, {&m.again, all, (*asking).again}, {&m.alone, matching, (*asking).first}} {
			if one.to == &m.alone && w.beside == 0 {
				continue
			}
			c, err := measured(each, func() func(int) error { return one.do(one.of) })
			if err != nil {
				return m, nil, err
			}
			*one.to = append(*one.to, c)
		}
		if o.client == "" || w.beside > 0 || w.language == inVAP || w.language == inBuiltin {
			continue
		}
		other, err := asked(ctx, o.client, w, s, each)
		if err != nil {
			return m, nil, err
		}
		theirs = append(theirs, other)
	}
	return m, theirs, nil
}

// asking are policies, compiled, and what they are asked about.
type asking struct {
	work
	policies []policy.Policy
	cluster  policy.Cluster
	object   *unstructured.Unstructured
}

// ours compiles policies.
func ours(all []*unstructured.Unstructured, w work) (*asking, error) {
	made, err := engines.All(engines.Options{})
	if err != nil {
		return nil, err
	}
	var objects []policy.Object
	for _, o := range all {
		objects = append(objects, policy.Object{Unstructured: o, Source: gate.Source{Kind: o.GetKind(), Name: o.GetName()}})
	}
	loaded, _ := policy.Load(made, objects)
	if len(loaded.Problems) > 0 {
		return nil, fmt.Errorf("%s: %s", loaded.Problems[0].Source, loaded.Problems[0].Message)
	}
	known := &cluster.Known{}
	known.Add(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop"}}})
	known.Seal()
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON([]byte(w.target.object)); err != nil {
		return nil, err
	}
	return &asking{work: w, policies: loaded.Policies, cluster: known, object: o}, nil
}

func (a *asking) ask(set *policy.Set, version string) *policy.Outcome {
	who := &user.DefaultInfo{Name: "jane", Groups: []string{"devs"}}
	resource := schema.GroupVersionResource{Group: a.target.group, Version: version, Resource: a.target.resource}
	return set.Validate(context.Background(), policy.NewRequest(
		admission.NewAttributesRecord(a.object, nil, a.target.gvk(), "shop", "web", resource, "", admission.Create, &metav1.CreateOptions{}, false, who), nil, a.cluster))
}

func (a *asking) check(out *policy.Outcome) error {
	if len(out.Denials) > 0 || out.Asked != a.n {
		return fmt.Errorf("%d policies of %d were asked, and say: %s", out.Asked, a.n, out.Message())
	}
	return nil
}

// first asks a Set that knows nothing of the object each time. Which policies a kind
// comes to is known: that was worked out for another version of the resource.
func (a *asking) first() func(int) error {
	var sets []*policy.Set
	return func(i int) error {
		if i < 0 {
			set := policy.NewSet(a.policies, policy.Options{})
			a.ask(set, "v0")
			sets = append(sets, set)
			return nil
		}
		return a.check(a.ask(sets[i], "v1"))
	}
}

// again asks one Set all the time, which has seen the like.
func (a *asking) again() func(int) error {
	set := policy.NewSet(a.policies, policy.Options{})
	return func(int) error { return a.check(a.ask(set, "v1")) }
}

// measured measures n askings, each of which was prepared: that is asking with -1.
func measured(n int, begin func() func(int) error) (cost, error) {
	ask := begin()
	for range n {
		if err := ask(-1); err != nil {
			return cost{}, err
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cpu, begun := cpuTime(), time.Now()
	for i := range n {
		if err := ask(i); err != nil {
			return cost{}, err
		}
	}
	took, used := time.Since(begun), cpuTime()-cpu
	runtime.ReadMemStats(&after)
	return cost{float64(took) / float64(n), float64(used) / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n)}, nil
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// asked has Gatekeeper's client do the same, in a process of its own.
func asked(ctx context.Context, client string, w work, s stated, n int) (cost, error) {
	var o map[string]any
	if err := json.Unmarshal([]byte(w.target.object), &o); err != nil {
		return cost{}, err
	}
	review := map[string]any{"Request": map[string]any{"uid": "1", "operation": "CREATE", "name": "web", "namespace": "shop", "object": o,
		"kind": map[string]any{"group": w.target.group, "version": "v1", "kind": w.target.kind}, "resource": map[string]any{"group": w.target.group, "version": "v1", "resource": w.target.resource},
		"userInfo": map[string]any{"username": "jane", "groups": []string{"devs"}}},
		"Namespace": map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop"}}}
	// The first round warms up; the second counts.
	reviews := make([]any, n)
	for i := range reviews {
		reviews[i] = review
	}
	body, err := json.Marshal(map[string]any{"CEL": w.language == inCEL, "Templates": s.first, "Constraints": s.second, "Reviews": reviews, "Rounds": 2})
	if err != nil {
		return cost{}, err
	}
	cmd := exec.CommandContext(ctx, client)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(body), os.Stderr
	data, err := cmd.Output()
	if err != nil {
		return cost{}, fmt.Errorf("run %s: %w", client, err)
	}
	var answer struct {
		Errors  []string
		Results [][]any
		Rounds  []struct{ Nanoseconds, CPUNanoseconds, Allocations float64 }
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return cost{}, err
	}
	if len(answer.Errors) > 0 || len(answer.Rounds) != 2 || len(answer.Results[0]) > 0 {
		return cost{}, fmt.Errorf("the client of Gatekeeper says %v %v", answer.Errors, answer.Results[0])
	}
	r := answer.Rounds[1]
	return cost{r.Nanoseconds / float64(n), r.CPUNanoseconds / float64(n), r.Allocations / float64(n)}, nil
}
