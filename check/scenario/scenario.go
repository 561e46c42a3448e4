// Package scenario reads and judges scenarios: small files that say which policies
// and objects there are, what is requested, and what the gates make of it. Every
// mount is held against them.
//
// A scenario is a txtar archive. Its comment says what it is about; its sections are
//
//	-- policies.yaml --     policies and Exceptions; may be left out
//	-- cluster.yaml --      objects that are there; may be left out
//	-- request.yaml --      a RequestReview: who wants what
//	-- want --              what is said of it, as Said prints it
//	-- request-2.yaml --    any number of further ones, each with its want
//	-- want-2 --
//
// Only what admission says is compared: whether a user may ask at all is the
// business of authorizers. A mutation is a line with its patch; a line "note" is
// something that a policy says without refusing or warning.
package scenario

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// Scenario is one file, read.
type Scenario struct {
	// File it was read from.
	File string
	// About is the first line of its comment.
	About    string
	Policies []policy.Object
	Cluster  []*unstructured.Unstructured
	Requests []Request

	archive *txtar.Archive
}

// Request is one that is made, and what is said of it.
type Request struct {
	// Name is what its section adds to "request": "" or "-2".
	Name string
	Spec v1alpha1.RequestReviewSpec
	// Want is the text of its section want. Missing says that there is none.
	Want    string
	Missing bool
}

const (
	policiesSection = "policies.yaml"
	clusterSection  = "cluster.yaml"
)

// Parse reads a scenario. An error names the file and the line, and says how to
// mend it.
func Parse(file string, data []byte) (*Scenario, error) {
	archive := txtar.Parse(data)
	about, _, _ := strings.Cut(strings.TrimSpace(string(archive.Comment)), "\n")
	s := &Scenario{File: file, About: about, archive: archive}
	wants := map[string]string{}
	seen := map[string]bool{}
	line := 1 + bytes.Count(archive.Comment, []byte("\n"))
	for _, f := range archive.Files {
		at := line + 1
		line = at + bytes.Count(f.Data, []byte("\n"))
		fail := func(line int, format string, args ...any) error {
			return &v1alpha1.FieldError{File: file, Line: line, Col: 1, Message: gate.Plain(fmt.Sprintf(format, args...)),
				Hint: "gatehouse test --help tells the form of a scenario"}
		}
		if seen[f.Name] {
			return nil, fail(at-1, "the section %q is there twice", f.Name)
		}
		seen[f.Name] = true
		name, isRequest := strings.CutPrefix(strings.TrimSuffix(f.Name, ".yaml"), "request")
		switch {
		case f.Name == policiesSection, f.Name == clusterSection:
			objects, err := documents(f.Data)
			if err != nil {
				return nil, fail(at+err.line, "%s: %v", f.Name, err.error)
			}
			for _, o := range objects {
				if f.Name == clusterSection {
					s.Cluster = append(s.Cluster, o.Unstructured)
					continue
				}
				o.Source = gate.Source{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(), File: file, Line: at + o.Source.Line}
				s.Policies = append(s.Policies, o)
			}
		case isRequest && strings.HasSuffix(f.Name, ".yaml"):
			review := &v1alpha1.RequestReview{}
			if err := yaml.UnmarshalStrict(f.Data, review); err != nil {
				return nil, fail(at, "%s: %v", f.Name, err)
			}
			if review.Kind != "RequestReview" || review.Spec.ResourceAttributes == nil {
				return nil, fail(at, "%s is no RequestReview with resourceAttributes", f.Name)
			}
			s.Requests = append(s.Requests, Request{Name: name, Spec: review.Spec})
		case strings.HasPrefix(f.Name, "want"):
			wants[strings.TrimPrefix(f.Name, "want")] = string(f.Data)
		default:
			return nil, fail(at-1, "the section %q is not known", f.Name)
		}
	}
	if len(s.Requests) == 0 {
		return nil, &v1alpha1.FieldError{File: file, Line: 1, Col: 1, Message: "it has no section request.yaml", Hint: "gatehouse test --help tells the form of a scenario"}
	}
	for i := range s.Requests {
		r := &s.Requests[i]
		want, ok := wants[r.Name]
		r.Want, r.Missing = want, !ok
		delete(wants, r.Name)
	}
	for name := range wants {
		return nil, &v1alpha1.FieldError{File: file, Line: 1, Col: 1, Message: gate.Plain(fmt.Sprintf("the section %q has no request%s.yaml", "want"+name, name))}
	}
	return s, nil
}

type documentError struct {
	error
	line int
}

// documents reads objects; the line of their sources is where they begin, from 0.
func documents(data []byte) ([]policy.Object, *documentError) {
	var all []policy.Object
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	line := 0
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, &documentError{err, line}
		}
		begins := line
		line += bytes.Count(document, []byte("\n")) + 1 // and the line ---
		content, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			return nil, &documentError{err, begins}
		}
		if string(content) == "null" {
			continue
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(content); err != nil {
			return nil, &documentError{err, begins}
		}
		all = append(all, policy.Object{Unstructured: u, Source: gate.Source{Line: begins}})
	}
}

// Said is what admission says of a request: the verdict, then a line for everything
// that refuses, warns, changes or is noted. It is the same under every mount.
func Said(trace *gate.Trace) string {
	var b strings.Builder
	verdict := "ALLOWED"
	if slices.ContainsFunc(trace.Steps, func(s gate.Step) bool { return s.Gate == policy.Gate && s.Opinion == gate.Deny }) {
		verdict = "DENIED"
	}
	fmt.Fprintln(&b, verdict)
	for _, s := range trace.Steps {
		// Plugins of an API server that are no policies have no sources.
		if s.Gate != policy.Gate || len(s.Sources) == 0 || s.Opinion == gate.NoOpinion && s.Reason == policy.NothingWrong {
			continue
		}
		what := map[gate.Opinion]string{gate.Deny: "deny", gate.Warn: "warn", gate.Mutate: "mutate"}[s.Opinion]
		if what == "" {
			what = "note"
		}
		source := s.Sources[0]
		source.File, source.Line = "", 0
		text := s.Reason
		if s.Opinion == gate.Mutate {
			text = string(s.Patch)
		}
		fmt.Fprintf(&b, "%s %s: %s\n", what, gate.Plain(source.String()), gate.Plain(text))
	}
	return b.String()
}

// Update is the file with other wants, by the names of the requests; those of others
// stay.
func (s *Scenario) Update(wants map[string]string) []byte {
	all := map[string]string{}
	for _, f := range s.archive.Files {
		if name, ok := strings.CutPrefix(f.Name, "want"); ok {
			all[name] = string(f.Data)
		}
	}
	maps.Copy(all, wants)
	next := &txtar.Archive{Comment: s.archive.Comment}
	for _, f := range s.archive.Files {
		if strings.HasPrefix(f.Name, "want") {
			continue // each stands behind its request
		}
		next.Files = append(next.Files, f)
		name, isRequest := strings.CutPrefix(strings.TrimSuffix(f.Name, ".yaml"), "request")
		if want, ok := all[name]; isRequest && ok {
			next.Files = append(next.Files, txtar.File{Name: "want" + name, Data: []byte(want)})
		}
	}
	return txtar.Format(next)
}
