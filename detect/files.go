package detect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	kjson "sigs.k8s.io/json"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/cluster"
)

// Files are the rules and Mutes of some files.
type Files struct {
	Rules []*v1alpha1.DetectionRule
	Mutes []*v1alpha1.Mute
	// Others counts objects of other kinds.
	Others int

	places map[string]*cluster.Tree // of rules, by name
}

// ReadFiles reads rules and Mutes. A path is a file, a folder (every *.yaml, *.yml and
// *.json in it and below), or "-", which is stdin. What cannot be read is a
// v1alpha1.FieldErrorList, and then nothing is.
func ReadFiles(ctx context.Context, paths []string, stdin io.Reader) (*Files, error) {
	f := &Files{places: map[string]*cluster.Tree{}}
	var problems v1alpha1.FieldErrorList
	_, err := cluster.Trees(ctx, paths, stdin, cluster.FileOptions{Workers: 1}, func(t *cluster.Tree) { problems = append(problems, f.take(t)...) })
	return f.read(problems, err)
}

// ReadText reads rules and Mutes of a text; name is what messages call it.
func ReadText(ctx context.Context, name string, text []byte) (*Files, error) {
	f := &Files{places: map[string]*cluster.Tree{}}
	var problems v1alpha1.FieldErrorList
	err := cluster.TreesOf(ctx, name, text, cluster.FileOptions{Workers: 1}, func(t *cluster.Tree) { problems = append(problems, f.take(t)...) })
	return f.read(problems, err)
}

func (f *Files) read(problems v1alpha1.FieldErrorList, err error) (*Files, error) {
	if list, ok := errors.AsType[v1alpha1.FieldErrorList](err); ok {
		problems = append(problems, list...)
	} else if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return f, nil
}

// take reads one object.
func (f *Files) take(t *cluster.Tree) v1alpha1.FieldErrorList {
	if group, _, _ := strings.Cut(t.APIVersion, "/"); group != v1alpha1.GroupName || t.Kind != "DetectionRule" && t.Kind != "Mute" {
		f.Others++
		return nil
	}
	if want := v1alpha1.SchemeGroupVersion.String(); t.APIVersion != want {
		return v1alpha1.FieldErrorList{t.Problem(t.Root, "apiVersion", fmt.Sprintf("there is no %s of %s", t.Kind, t.APIVersion), "write apiVersion: "+want)}
	}
	rule, mute := &v1alpha1.DetectionRule{}, &v1alpha1.Mute{}
	var into any = rule
	if t.Kind == "Mute" {
		into = mute
	}
	if problems := decode(t, into); problems != nil {
		return problems
	}
	if t.Kind == "DetectionRule" {
		f.Rules = append(f.Rules, rule)
		if f.places[rule.Name] == nil {
			f.places[rule.Name] = t
		}
		return nil
	}
	if wrong := CheckMute(mute); wrong != nil {
		return v1alpha1.FieldErrorList{t.Problem(find(t.Root, wrong.Field), wrong.Field, wrong.Message, "kubectl explain mute.spec tells the fields")}
	}
	f.Mutes = append(f.Mutes, mute)
	return nil
}

// CheckMute says what is wrong with a Mute, where an API server has not: it says nothing,
// or for ever, or is nobody's.
func CheckMute(m *v1alpha1.Mute) *Problem {
	match := &m.Spec.Match
	switch {
	case len(match.Rules)+len(match.Fingerprints)+len(match.Users)+len(match.Namespaces) == 0:
		return &Problem{m.Name, "spec.match", "say which findings: set rules, fingerprints, users or namespaces"}
	case m.Spec.Owner == "":
		return &Problem{m.Name, "spec.owner", "say who answers for it"}
	case m.Spec.Reason == "":
		return &Problem{m.Name, "spec.reason", "say why"}
	case m.Spec.ExpiresAt.IsZero():
		return &Problem{m.Name, "spec.expiresAt", "say until when"}
	}
	return nil
}

// unknownField is how the decoder names one.
var unknownField = regexp.MustCompile(`^unknown field "(.*)"$`)

// decode decodes an object strictly.
func decode(t *cluster.Tree, into any) v1alpha1.FieldErrorList {
	hint := fmt.Sprintf("kubectl explain %s.spec tells the fields", strings.ToLower(t.Kind))
	var object map[string]any
	if err := t.Root.Decode(&object); err != nil {
		return v1alpha1.FieldErrorList{t.Problem(t.Root, "", "decode "+t.Kind+": "+err.Error(), "")}
	}
	text, err := json.Marshal(object)
	if err != nil {
		return v1alpha1.FieldErrorList{t.Problem(t.Root, "", "decode "+t.Kind+": "+err.Error(), "write it so that it could be JSON: keys are text")}
	}
	strict, err := kjson.UnmarshalStrict(text, into)
	if err != nil {
		node, field := t.Root, ""
		if typed, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			field = typed.Field
			node = find(t.Root, field)
		}
		return v1alpha1.FieldErrorList{t.Problem(node, field, fmt.Sprintf("decode %s: %v", t.Kind, err), hint)}
	}
	var problems v1alpha1.FieldErrorList
	for _, err := range strict {
		field := ""
		if found := unknownField.FindStringSubmatch(err.Error()); found != nil {
			field = found[1]
		}
		problems = append(problems, t.Problem(find(t.Root, field), field, fmt.Sprintf("decode %s: %v", t.Kind, err), hint))
	}
	return problems
}

// Locate makes of problems with rules an error with their places; nil where there is none.
func (f *Files) Locate(problems []Problem) error {
	var all v1alpha1.FieldErrorList
	for _, p := range problems {
		message := fmt.Sprintf("DetectionRule %s: %s: %s", p.Rule, p.Field, p.Message)
		t := f.places[p.Rule]
		if t == nil {
			all = append(all, &v1alpha1.FieldError{Field: p.Field, Message: message})
			continue
		}
		all = append(all, t.Problem(find(t.Root, p.Field), p.Field, message, ""))
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// Place is where a rule stands, as file:line.
func (f *Files) Place(rule string) string {
	t := f.places[rule]
	if t == nil {
		return ""
	}
	return t.Source.Place()
}

// find is the node of a field such as spec.examples.positive[2].events, or the nearest one
// around it.
func find(n *yaml.Node, field string) *yaml.Node {
	for part := range strings.FieldsFuncSeq(field, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		below := (*yaml.Node)(nil)
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == part {
					below = n.Content[i+1]
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(n.Content) {
				below = n.Content[i]
			}
		}
		if below == nil {
			return n
		}
		n = below
	}
	return n
}
