// Command policy measures the policy gate, and Gatekeeper's own client beside it on the
// same work in the same run: templates of the kind that clusters have, in Rego and in
// CEL, over Pods that keep to all of them. It prints a table for docs/performance.md.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
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
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/engines"
)

func main() {
	oracle := flag.String("gatekeeper", "", "the program of test/oracle/gatekeeper, built; without it only this side is measured")
	rounds := flag.Int("rounds", 15, "how often each side is measured, in turns")
	each := flag.Int("each", 200, "how many requests a round has")
	flag.Parse()
	if err := run(*oracle, *rounds, *each); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// rule is one thing that is asked of a Pod, in both languages.
type rule struct{ name, rego, cel, message string }

var rules = []rule{
	{"NoHostNetwork", `input.review.object.spec.hostNetwork`, `!variables.anyObject.spec.?hostNetwork.orValue(false)`, "host network"},
	{"NoHostPID", `input.review.object.spec.hostPID`, `!variables.anyObject.spec.?hostPID.orValue(false)`, "host PID"},
	{"NoHostIPC", `input.review.object.spec.hostIPC`, `!variables.anyObject.spec.?hostIPC.orValue(false)`, "host IPC"},
	{"NoPrivileged", `input.review.object.spec.containers[_].securityContext.privileged`, `variables.anyObject.spec.containers.all(c, !c.?securityContext.?privileged.orValue(false))`, "privileged"},
	{"NoEscalation", `c := input.review.object.spec.containers[_]; not c.securityContext.allowPrivilegeEscalation == false`, `variables.anyObject.spec.containers.all(c, c.?securityContext.?allowPrivilegeEscalation.orValue(true) == false)`, "escalation"},
	{"Repositories", `c := input.review.object.spec.containers[_]; not startswith(c.image, "registry.example.org/")`, `variables.anyObject.spec.containers.all(c, c.image.startsWith("registry.example.org/"))`, "repository"},
	{"NoLatest", `endswith(input.review.object.spec.containers[_].image, ":latest")`, `variables.anyObject.spec.containers.all(c, !c.image.endsWith(":latest"))`, "latest"},
	{"Limits", `c := input.review.object.spec.containers[_]; not c.resources.limits.memory`, `variables.anyObject.spec.containers.all(c, has(c.resources) && has(c.resources.limits) && "memory" in c.resources.limits)`, "limits"},
	{"Labels", `not input.review.object.metadata.labels.app`, `has(variables.anyObject.metadata.labels) && "app" in variables.anyObject.metadata.labels`, "labels"},
	{"NonRoot", `c := input.review.object.spec.containers[_]; not c.securityContext.runAsNonRoot`, `variables.anyObject.spec.containers.all(c, c.?securityContext.?runAsNonRoot.orValue(false))`, "root"},
}

func (r rule) template(kind, language string) string {
	code := "    rego: |\n      package x\n      violation[{\"msg\": \"" + r.message + "\"}] {\n        " + strings.ReplaceAll(r.rego, "; ", "\n        ") + "\n      }\n"
	if language == "cel" {
		code = "    code:\n    - engine: K8sNativeValidation\n      source:\n        validations:\n        - {expression: '" + r.cel + "', message: \"" + r.message + "\"}\n"
	}
	return "apiVersion: templates.gatekeeper.sh/v1\nkind: ConstraintTemplate\nmetadata: {name: " + strings.ToLower(kind) + "}\nspec:\n  crd: {spec: {names: {kind: " + kind + "}}}\n  targets:\n  - target: admission.k8s.gatekeeper.sh\n" + code
}

// policies are n of a language: templates and constraints, or policies and bindings.
func policies(language string, n int) (templates, constraints []*unstructured.Unstructured, err error) {
	for i := range n {
		r := rules[i%len(rules)]
		kind := fmt.Sprintf("%s%d", r.name, i)
		first := r.template(kind, language)
		second := "apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: " + kind + "\nmetadata: {name: one}\nspec: {match: {kinds: [{apiGroups: [\"\"], kinds: [Pod]}]}}\n"
		if language == "vap" {
			name := strings.ToLower(kind)
			first = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: " + name + "}\nspec:\n  matchConstraints: {resourceRules: [{apiGroups: [\"\"], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [pods]}]}\n  validations:\n  - {expression: '" +
				strings.ReplaceAll(r.cel, "variables.anyObject", "object") + "', message: \"" + r.message + "\"}\n"
			second = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: " + name + "}\nspec: {policyName: " + name + ", validationActions: [Deny]}\n"
		}
		for _, one := range []struct {
			text string
			to   *[]*unstructured.Unstructured
		}{{first, &templates}, {second, &constraints}} {
			data, err := yaml.YAMLToJSONStrict([]byte(one.text))
			if err != nil {
				return nil, nil, fmt.Errorf("%w in\n%s", err, one.text)
			}
			u := &unstructured.Unstructured{}
			if err := u.UnmarshalJSON(data); err != nil {
				return nil, nil, err
			}
			*one.to = append(*one.to, u)
		}
	}
	return templates, constraints, nil
}

const pod = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "tier": "front"}},
 "spec": {"serviceAccountName": "web", "containers": [
  {"name": "web", "image": "registry.example.org/web:1.2", "ports": [{"containerPort": 8080}], "env": [{"name": "A", "value": "b"}], "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}}, "securityContext": {"runAsNonRoot": true, "allowPrivilegeEscalation": false}},
  {"name": "side", "image": "registry.example.org/side:2", "resources": {"limits": {"memory": "32Mi"}}, "securityContext": {"runAsNonRoot": true, "allowPrivilegeEscalation": false}}],
 "volumes": [{"name": "tmp", "emptyDir": {}}]}}`

// cost is that of one request.
type cost struct{ wall, cpu, allocations float64 }

func median(all []cost) cost {
	of := func(get func(cost) float64) float64 {
		var list []float64
		for _, c := range all {
			list = append(list, get(c))
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	return cost{of(func(c cost) float64 { return c.wall }), of(func(c cost) float64 { return c.cpu }), of(func(c cost) float64 { return c.allocations })}
}

func run(oracle string, rounds, each int) error {
	fmt.Printf("| policies | gatehouse | CPU | allocations | Gatekeeper's client | CPU | allocations | ratio |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, c := range []struct {
		language string
		n        int
	}{{"vap", 1}, {"vap", 16}, {"vap", 100}, {"vap", 1000}, {"rego", 1}, {"rego", 19}, {"rego", 100}, {"cel", 1}, {"cel", 15}, {"cel", 100}} {
		templates, constraints, err := policies(c.language, c.n)
		if err != nil {
			return err
		}
		ask, err := ours(slices.Concat(templates, constraints))
		if err != nil {
			return err
		}
		per := each
		if c.n >= 100 {
			per = max(each/10, 1)
		}
		var mine, theirs []cost
		for range rounds {
			one, err := measured(per, ask)
			if err != nil {
				return err
			}
			mine = append(mine, one)
			if oracle == "" || c.language == "vap" {
				continue
			}
			other, err := asked(oracle, c.language == "cel", templates, constraints, per)
			if err != nil {
				return err
			}
			theirs = append(theirs, other)
		}
		m := median(mine)
		fmt.Printf("| %d %s | %.1f µs | %.1f µs | %.0f |", c.n, map[string]string{"vap": "ValidatingAdmissionPolicies", "rego": "constraints in Rego", "cel": "constraints in CEL"}[c.language], m.wall/1e3, m.cpu/1e3, m.allocations)
		if len(theirs) == 0 {
			fmt.Printf(" – | – | – | – |\n")
			continue
		}
		t := median(theirs)
		fmt.Printf(" %.1f µs | %.1f µs | %.0f | %.1f |\n", t.wall/1e3, t.cpu/1e3, t.allocations, t.wall/m.wall)
	}
	return nil
}

// ours compiles policies, and returns what asks them about a Pod.
func ours(all []*unstructured.Unstructured) (func() error, error) {
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
	set := policy.NewSet(loaded.Policies, policy.Options{})
	known := &cluster.Known{}
	known.Add(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop"}}})
	known.Seal()
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON([]byte(pod)); err != nil {
		return nil, err
	}
	who := &user.DefaultInfo{Name: "jane", Groups: []string{"devs"}}
	return func() error {
		r := policy.NewRequest(admission.NewAttributesRecord(o, nil, o.GroupVersionKind(), "shop", "web", schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "", admission.Create, &metav1.CreateOptions{}, false, who), nil, known)
		if out := set.Validate(context.Background(), r); len(out.Denials) > 0 || out.Asked == 0 {
			return fmt.Errorf("%d policies were asked, and say: %s", out.Asked, out.Message())
		}
		return nil
	}, nil
}

func measured(n int, ask func() error) (cost, error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cpu, begun := cpuTime(), time.Now()
	for range n {
		if err := ask(); err != nil {
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
func asked(oracle string, inCEL bool, templates, constraints []*unstructured.Unstructured, n int) (cost, error) {
	var o map[string]any
	if err := json.Unmarshal([]byte(pod), &o); err != nil {
		return cost{}, err
	}
	review := map[string]any{"Request": map[string]any{"uid": "1", "operation": "CREATE", "name": "web", "namespace": "shop", "object": o,
		"kind": map[string]any{"group": "", "version": "v1", "kind": "Pod"}, "resource": map[string]any{"group": "", "version": "v1", "resource": "pods"},
		"userInfo": map[string]any{"username": "jane", "groups": []string{"devs"}}},
		"Namespace": map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop"}}}
	// The first round warms up; the second counts.
	reviews := make([]any, n)
	for i := range reviews {
		reviews[i] = review
	}
	body, err := json.Marshal(map[string]any{"CEL": inCEL, "Templates": templates, "Constraints": constraints, "Reviews": reviews, "Rounds": 2})
	if err != nil {
		return cost{}, err
	}
	cmd := exec.Command(oracle)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(body), os.Stderr
	data, err := cmd.Output()
	if err != nil {
		return cost{}, err
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
		return cost{}, fmt.Errorf("its client says %v %v", answer.Errors, answer.Results[0])
	}
	r := answer.Rounds[1]
	return cost{r.Nanoseconds / float64(n), r.CPUNanoseconds / float64(n), r.Allocations / float64(n)}, nil
}
