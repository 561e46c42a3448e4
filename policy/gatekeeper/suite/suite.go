// Package suite runs the test suites of gator, Gatekeeper's command line: a suite.yaml
// names templates, constraints and objects, and what constraints say of them.
//
//	report, err := suite.Run(ctx, "policies/suite.yaml", suite.Options{Compiler: compiler})
//
// Files are read from where the suite is. Objects are put before a constraint as gator
// does it: at the enforcement point gator.gatekeeper.sh, with no operation and nobody
// asking, unless the object is an AdmissionReview.
package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/open-policy-agent/frameworks/constraint/pkg/apis/constraints"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper"
)

// Options shape a run.
type Options struct {
	// Compiler is that of package cel. Needed.
	Compiler *cel.Compiler
	// Filter says which tests and cases are run. Default: all.
	Filter *Filter
}

// Result is what became of a test, or, where Case is set, of one of its cases.
type Result struct {
	Test, Case string
	Skipped    bool
	// Err says why it failed; nil where it passed.
	Err error
}

type suiteFile struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   any    `json:"metadata,omitempty"`
	Skip       bool   `json:"skip,omitempty"`
	Tests      []test `json:"tests"`
}

type test struct {
	Name       string     `json:"name"`
	Template   string     `json:"template"`
	Constraint string     `json:"constraint"`
	Expansion  string     `json:"expansion,omitempty"`
	Cases      []testCase `json:"cases,omitempty"`
	Invalid    bool       `json:"invalid,omitempty"`
	Skip       bool       `json:"skip,omitempty"`
}

type testCase struct {
	Name       string      `json:"name"`
	Object     string      `json:"object"`
	Inventory  []string    `json:"inventory,omitempty"`
	Assertions []assertion `json:"assertions"`
	Skip       bool        `json:"skip,omitempty"`
}

type assertion struct {
	// Violations is yes, no or a number; YAML makes a boolean of the words.
	Violations any     `json:"violations,omitempty"`
	Message    *string `json:"message,omitempty"`
}

// Is reports whether a YAML file is a suite.
func Is(data []byte) bool {
	var of struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	return bytes.Contains(data, []byte("test.gatekeeper.sh")) && yaml.Unmarshal(data, &of) == nil &&
		of.Kind == "Suite" && strings.HasPrefix(of.APIVersion, "test.gatekeeper.sh/")
}

// Run runs a suite. An error means that the suite itself cannot be read; what is wrong
// with a test is in its Result.
func Run(ctx context.Context, file string, opts Options) ([]Result, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s := &suiteFile{}
	if err := yaml.UnmarshalStrict(data, s); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	filter := opts.Filter
	if filter == nil {
		filter = &Filter{}
	}
	var results []Result
	for i := range s.Tests {
		t := &s.Tests[i]
		if s.Skip || t.Skip || !filter.test(t) {
			results = append(results, Result{Test: t.Name, Skipped: true})
			continue
		}
		results = append(results, runTest(ctx, filepath.Dir(file), t, filter, opts)...)
	}
	return results, nil
}

func runTest(ctx context.Context, dir string, t *test, filter *Filter, opts Options) []Result {
	failed := func(err error) []Result { return []Result{{Test: t.Name, Err: err}} }
	policies, err := load(dir, t, opts)
	if t.Invalid {
		if err == nil || !strings.Contains(err.Error(), constraints.ErrSchema.Error()) {
			return failed(fmt.Errorf("the constraint keeps to the schema, and was to break it: %w", orNothing(err)))
		}
		return []Result{{Test: t.Name}}
	}
	if err != nil {
		return failed(err)
	}
	var results []Result
	for i := range t.Cases {
		c := &t.Cases[i]
		r := Result{Test: t.Name, Case: c.Name}
		if c.Skip || !filter.of(t, c) {
			r.Skipped = true
		} else {
			r.Err = runCase(ctx, dir, c, policies)
		}
		results = append(results, r)
	}
	if len(results) == 0 {
		results = append(results, Result{Test: t.Name})
	}
	return results
}

func orNothing(err error) error {
	if err == nil {
		return errors.New("there is no error")
	}
	return err
}

// load compiles a test's template and constraint.
func load(dir string, t *test, opts Options) ([]policy.Policy, error) {
	if t.Template == "" || t.Constraint == "" {
		return nil, errors.New("a test needs template and constraint")
	}
	var all []policy.Object
	for _, name := range []string{t.Template, t.Constraint, t.Expansion} {
		if name == "" {
			continue // a test need not have an expansion
		}
		objects, err := read(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if len(objects) == 0 {
			return nil, fmt.Errorf("%s: it has no object", name)
		}
		for _, o := range objects {
			if name == t.Expansion && (o.GetKind() != "ExpansionTemplate" || o.GroupVersionKind().Group != "expansion.gatekeeper.sh") {
				return nil, fmt.Errorf("%s: a %s is no ExpansionTemplate", name, o.GetKind())
			}
			all = append(all, policy.Object{Unstructured: o, Source: gate.Source{Kind: o.GetKind(), Name: o.GetName(), File: filepath.Join(dir, name)}})
		}
	}
	synced, err := inventories(dir, t)
	if err != nil {
		return nil, err
	}
	all = append(all, policy.Object{Unstructured: synced})
	engine, err := gatekeeper.New(gatekeeper.Options{Compiler: opts.Compiler, Point: gatekeeper.PointGator, AllOperations: true})
	if err != nil {
		return nil, err
	}
	loaded := engine.Compile(all)
	if len(loaded.Problems) > 0 {
		p := loaded.Problems[0]
		return nil, fmt.Errorf("%s: %s", p.Source, p.Message)
	}
	return loaded.Policies, nil
}

// inventories is a Config that has all synced which the cases have in their inventory:
// gator makes data of it whether a template says that it looks it up or not.
func inventories(dir string, t *test) (*unstructured.Unstructured, error) {
	only := []any{}
	seen := map[schema.GroupVersionKind]bool{}
	for i := range t.Cases {
		for _, name := range t.Cases[i].Inventory {
			objects, err := read(filepath.Join(dir, name))
			if err != nil {
				return nil, err
			}
			for _, o := range objects {
				if kind := o.GroupVersionKind(); !seen[kind] {
					seen[kind] = true
					only = append(only, map[string]any{"group": kind.Group, "version": kind.Version, "kind": kind.Kind})
				}
			}
		}
	}
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "config.gatekeeper.sh/v1alpha1", "kind": "Config", "metadata": map[string]any{"name": "config"},
		"spec": map[string]any{"sync": map[string]any{"syncOnly": only}}}}, nil
}

func runCase(ctx context.Context, dir string, c *testCase, policies []policy.Policy) error {
	if c.Object == "" {
		return errors.New("a case needs object")
	}
	if len(c.Assertions) == 0 {
		return errors.New("a case needs assertions")
	}
	objects, err := read(filepath.Join(dir, c.Object))
	if err != nil {
		return err
	}
	if len(objects) != 1 {
		return fmt.Errorf("%s: it has %d objects, and one is wanted", c.Object, len(objects))
	}
	known := &cluster.Known{}
	for _, name := range c.Inventory {
		there, err := read(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		for _, o := range there {
			known.Add(o)
		}
	}
	known.Seal()
	r, err := request(objects[0], known)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Object, err)
	}
	var messages []string
	for _, p := range policies {
		if isReview(objects[0]) && p.Source().Kind == "ExpansionTemplate" {
			continue // gator expands objects alone
		}
		for _, result := range p.(policy.Validator).Validate(ctx, r) {
			if len(result.Actions) == 0 {
				continue
			}
			message := result.Message
			if message == "" && result.Err != nil {
				message = result.Err.Error()
			}
			messages = append(messages, message)
		}
	}
	for i := range c.Assertions {
		if err := c.Assertions[i].holds(messages); err != nil {
			return err
		}
	}
	return nil
}

func isReview(o *unstructured.Unstructured) bool {
	return o.GetKind() == "AdmissionReview" && o.GroupVersionKind().Group == admissionv1.GroupName
}

// request is an object as gator reviews it.
func request(o *unstructured.Unstructured, known policy.Cluster) (*policy.Request, error) {
	if !isReview(o) {
		return policy.NewRequest(admission.NewAttributesRecord(o, nil, o.GroupVersionKind(), o.GetNamespace(), o.GetName(), schema.GroupVersionResource{}, "", "", nil, false, &user.DefaultInfo{}), nil, known), nil
	}
	review := &admissionv1.AdmissionReview{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, review, true); err != nil {
		return nil, err
	}
	a := review.Request
	if a == nil {
		return nil, errors.New("the AdmissionReview has no request")
	}
	object, err := raw(a.Object)
	if err != nil {
		return nil, err
	}
	old, err := raw(a.OldObject)
	if err != nil {
		return nil, err
	}
	switch {
	case object == nil && old == nil:
		return nil, errors.New("the request has neither object nor oldObject")
	case a.Operation == admissionv1.Delete && old == nil:
		return nil, errors.New("the request is a DELETE and has no oldObject")
	}
	extra := map[string][]string{}
	for key, values := range a.UserInfo.Extra {
		extra[key] = values
	}
	return policy.NewRequest(admission.NewAttributesRecord(object, old, schema.GroupVersionKind(a.Kind), a.Namespace, a.Name, schema.GroupVersionResource(a.Resource), a.SubResource,
		admission.Operation(a.Operation), nil, a.DryRun != nil && *a.DryRun, &user.DefaultInfo{Name: a.UserInfo.Username, UID: a.UserInfo.UID, Groups: a.UserInfo.Groups, Extra: extra}), nil, known), nil
}

func raw(of runtime.RawExtension) (runtime.Object, error) {
	if len(of.Raw) == 0 {
		return nil, nil
	}
	u := &unstructured.Unstructured{}
	return u, u.UnmarshalJSON(of.Raw)
}

// holds reports whether as many messages match as are wanted.
func (a *assertion) holds(messages []string) error {
	matching := len(messages)
	if a.Message != nil {
		expression, err := regexp.Compile(*a.Message)
		if err != nil {
			return fmt.Errorf("message: %w", err)
		}
		matching = 0
		for _, m := range messages {
			if expression.MatchString(m) {
				matching++
			}
		}
	}
	want, ok := "yes", false
	switch v := a.Violations.(type) {
	case nil:
		ok = matching > 0
	case bool:
		want, ok = map[bool]string{true: "yes", false: "no"}[v], v == (matching > 0)
	case string:
		want, ok = v, v == "yes" && matching > 0 || v == "no" && matching == 0
		if v != "yes" && v != "no" {
			return fmt.Errorf("violations: %q is none of yes, no and a number", v)
		}
	case float64:
		want, ok = fmt.Sprint(v), float64(matching) == v
		if v < 0 || v != float64(int(v)) {
			return fmt.Errorf("violations: %v is none of yes, no and a number", v)
		}
	default:
		return fmt.Errorf("violations: %v is none of yes, no and a number", v)
	}
	if ok {
		return nil
	}
	text := fmt.Sprintf("%d violations", matching)
	if a.Message != nil {
		text += fmt.Sprintf(" that match %q", *a.Message)
	}
	return fmt.Errorf("%s, and wanted: %s; what is said: %q", text, want, messages)
}

// read reads the objects of a file. What gator reads as true is true here.
func read(file string) ([]*unstructured.Unstructured, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for document := range bytes.SplitSeq(data, []byte("\n---")) {
		content, err := yaml.YAMLToJSONStrict(bytes.TrimPrefix(document, []byte("---")))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if string(content) == "null" {
			continue
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(content); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, u)
	}
	return all, nil
}
