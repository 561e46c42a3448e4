package gatekeeper_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// together are templates whose constraints have to do with one another: where one cannot
// be evaluated, the others of its template say so too.
var together = map[string]string{
	"Contradicts": "is = x { x := input.parameters.list[_] }\nviolation[{\"msg\": sprintf(\"%v of %v\", [is, input.review.object.data[_]])}] { is }",
	"Says":        `violation[{"msg": input.parameters.list[_]}] { input.review.object.data.odd }`,
	"Numbers":     `violation[{"msg": sprintf("%v %v", [n, input.review.namespaceObject]), "details": {n}}] { n := input.review.object.data[_] }`,
	"Lists":       `violation[{"msg": "listed", "details": {"of": k, "in": input.parameters.list}}] { input.review.object.data[k] }`,
}

// TestRegoTogetherAgainstGatekeeper compares with Gatekeeper's own client what several
// constraints of several templates say of a request, where some of them fail.
func TestRegoTogetherAgainstGatekeeper(t *testing.T) {
	c := chance{rand.New(rand.NewPCG(11, 12))}
	type review struct{ Request map[string]any }
	counts := map[string]int{}
	for range 25 {
		question := struct {
			Templates, Constraints []*unstructured.Unstructured
			Reviews                []review
		}{}
		var all []policy.Object
		for _, kind := range slices.Sorted(maps.Keys(together)) {
			body := together[kind]
			o := objects(t, rego(kind, body, "{}"))[0]
			all = append(all, o)
			question.Templates = append(question.Templates, o.Unstructured)
			for i := range 1 + c.IntN(3) {
				list := []any{}
				for range c.IntN(3) {
					list = append(list, []any{"a", "b", int64(1), int64(1000000)}[c.IntN(4)])
				}
				u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": kind, "metadata": map[string]any{"name": fmt.Sprintf("c%d", i)},
					"spec": map[string]any{"parameters": map[string]any{"list": list}, "enforcementAction": c.pick("deny", "warn", "dryrun")}}}
				question.Constraints = append(question.Constraints, u)
				all = append(all, policy.Object{Unstructured: u, Source: gate.Source{Kind: kind, Name: u.GetName()}})
			}
		}
		var requests []*policy.Request
		for range 12 {
			u := aConfigMap()
			u.SetNamespace("")
			u.SetAPIVersion("example.org/v1") // of a kind that is in no namespace
			u.SetKind("Thing")
			data := map[string]any{}
			for range c.IntN(3) {
				data[c.pick("a", "b", "odd")] = []any{int64(1000000), int64(7), 2.5, "x", true}[c.IntN(5)]
			}
			u.Object["data"] = data
			r := request(admission.Create, u, nil, nil)
			requests = append(requests, r)
			gvk, gvr := r.GetKind(), r.GetResource()
			question.Reviews = append(question.Reviews, review{map[string]any{"uid": "1", "operation": "CREATE", "name": u.GetName(), "object": u.Object,
				"kind": map[string]any{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind}, "resource": map[string]any{"group": gvr.Group, "version": gvr.Version, "resource": gvr.Resource},
				"userInfo": map[string]any{"username": "jane", "groups": []string{"devs"}}}})
		}
		var answer struct {
			Errors, ReviewErrors []string
			Results              [][]struct {
				Kind, Name, Message, Action string
				Details                     any
			}
		}
		oracle(t, question, &answer)
		loaded := engine(t).Compile(all)
		if len(answer.Errors) > 0 || len(loaded.Problems) > 0 {
			t.Fatal(answer.Errors, loaded.Problems)
		}
		set := policy.NewSet(loaded.Policies, policy.Options{})
		for i, r := range requests {
			out := set.Validate(context.Background(), r)
			if failed := answer.ReviewErrors[i]; failed != "" {
				counts["not answered"]++
				for _, s := range slices.Concat(out.Denials, out.Warnings, out.Audits) {
					if s.Err == nil {
						t.Errorf("review %d: Gatekeeper answers nothing (%s), and ours %q of %s", i, failed, s.Message, s.By.Source())
					}
				}
				continue
			}
			var got, want []string
			for action, list := range map[string][]policy.Said{"deny": out.Denials, "warn": out.Warnings, "dryrun": out.Audits} {
				for _, s := range list {
					got = append(got, fmt.Sprintf("%s/%s %s %s %v %v", s.By.Source().Kind, s.By.Source().Name, action, s.Message, s.Details, s.Err))
				}
			}
			for _, w := range answer.Results[i] {
				want = append(want, fmt.Sprintf("%s/%s %s %s %v %v", w.Kind, w.Name, w.Action, w.Message, w.Details, error(nil)))
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("review %d %v:\n got %q\nwant %q", i, question.Reviews[i].Request["object"], got, want)
			}
			counts["answered"]++
			counts["violations"] += len(want)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("the same: %v", counts)
	if counts["answered"] < 50 || counts["not answered"] < 20 {
		t.Errorf("there is too little to compare: %v", counts)
	}
}
