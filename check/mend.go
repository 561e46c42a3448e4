package check

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/gatehouse-io/gatehouse/check/manifest"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// Mend is what the patches that policies state make of an object, as its file should
// have it: what the API would fill in by itself is not written.
type Mend struct {
	Object *manifest.Object
	// Written is the object of the file, and Wanted what should stand there.
	Written, Wanted map[string]any
	// Refused says why the object is not mended; then there is no Wanted.
	Refused string
}

// mending works out the Mend of an object from its findings.
type mending struct {
	run    *RunOptions
	object *manifest.Object
	// question is the one that was asked, and verdict its answer.
	question Question
	verdict  *Verdict
	written  map[string]any
}

// mend gives every finding with a patch what it would make of the file, and all of
// them together their Mend.
func (o *RunOptions) mend(ctx context.Context, object *manifest.Object, q Question, v *Verdict, found []Finding) {
	if !slices.ContainsFunc(found, func(f Finding) bool { return f.Fix != nil && f.Exception == nil }) {
		return
	}
	m := &Mend{Object: object}
	for i := range found {
		if found[i].Fix != nil && found[i].Exception == nil {
			found[i].Mend = m
		}
	}
	if m.Refused = notOfFile(object); m.Refused != "" {
		return
	}
	if len(v.Mutated.Denials) > 0 {
		m.Refused = "the policies that would change it do not agree"
		return
	}
	w := &mending{run: o, object: object, question: q, verdict: v}
	var problems any
	if m.Written, problems = treeValue(object); m.Written == nil {
		m.Refused = fmt.Sprintf("its text cannot be read again: %v", problems)
		return
	}
	w.written = m.Written
	m.Wanted, m.Refused = w.together(ctx, found)
}

// notOfFile says why the text of an object is not for us to change; empty where it is.
func notOfFile(o *manifest.Object) string {
	switch {
	case o.Tree() != nil:
		return ""
	case o.Way == manifest.Rendered:
		return "a template of the chart " + o.Made + " makes it: change the template, or its values"
	case o.Way == manifest.Kustomized:
		return "the kustomization " + o.Made + " makes it: change what it is built of"
	}
	return "it has no text of its own"
}

func treeValue(o *manifest.Object) (map[string]any, any) {
	value, problems := o.Tree().Value()
	if len(problems) > 0 {
		return nil, problems[0]
	}
	return value, nil
}

// together applies all patches, and asks the policies about what comes of it.
func (w *mending) together(ctx context.Context, found []Finding) (wanted map[string]any, refused string) {
	goal := w.verdict.Object.Object
	listed := false // a patch has moved items of a list: another may not mean the same ones
	for _, later := range []bool{false, true} {
		for i := range found {
			f := &found[i]
			if f.Mend == nil || f.changes || movesItems(f.Fix) != later {
				continue
			}
			f.Wanted = w.alone(f.Fix)
			if listed {
				f.Unmended = "another patch changes a list: run it again"
				continue
			}
			next, err := patched(goal, f.Fix)
			if err != nil {
				f.Unmended = "its patch does not fit the object: " + err.Error()
				continue
			}
			goal, listed = next, later
		}
	}
	wanted, _ = project(w.written, w.verdict.Given.Object, goal).(map[string]any)
	q := w.question
	whole, _ := project(w.object.Object, w.verdict.Given.Object, goal).(map[string]any)
	q.Object = &unstructured.Unstructured{Object: whole}
	prepared, err := w.run.Judge.prepare(q.Object, q.Namespace)
	switch {
	case err != nil:
		return nil, "what the patch makes of it is not an object: " + err.Error()
	case !equal(prepared.Object, goal):
		return nil, "the API's own defaults stand against the patch"
	}
	after, err := w.run.Judge.Judge(ctx, q, false)
	if err != nil {
		return nil, "what the patch makes of it cannot be judged: " + err.Error()
	}
	said := after.said()
	for i := range found {
		f := &found[i]
		switch {
		case f.Mend == nil:
		case f.changes:
			f.Wanted, _ = project(w.written, w.verdict.Given.Object, w.verdict.Object.Object).(map[string]any)
			f.Mends = !after.Mutated.Changed
		case f.Unmended == "":
			f.Mends = !slices.ContainsFunc(said, func(s Finding) bool { return s.is(f) })
		}
	}
	for _, s := range said {
		if s.Action == policy.Deny && s.Exception == nil && !slices.ContainsFunc(found, func(f Finding) bool { return s.is(&f) }) {
			return nil, fmt.Sprintf("with the patch %s would refuse it: %s", s.Rule, s.Message)
		}
	}
	return wanted, ""
}

// alone is what one patch would make of the file, without what mutators change; nil
// where it does not mean the same without them.
func (w *mending) alone(patch []byte) map[string]any {
	given, object := w.verdict.Given.Object, w.verdict.Object.Object
	goal, err := patched(given, patch)
	if err != nil {
		return nil
	}
	with, err := patched(object, patch)
	if err != nil || !bytes.Equal(policy.Patch(given, goal), policy.Patch(object, with)) {
		return nil
	}
	wanted, _ := project(w.written, given, goal).(map[string]any)
	return wanted
}

func (f *Finding) is(other *Finding) bool {
	return f.Rule == other.Rule && f.Path == other.Path && f.Message == other.Message
}

// movesItems reports whether a patch puts items into a list or takes some out.
func movesItems(patch []byte) bool {
	var all []struct{ Op, Path string }
	if json.Unmarshal(patch, &all) != nil {
		return true
	}
	for _, o := range all {
		last := o.Path[strings.LastIndexByte(o.Path, '/')+1:]
		if o.Op != "replace" && (last == "-" || last != "" && strings.Trim(last, "0123456789") == "") {
			return true
		}
	}
	return false
}

// patched is an object with an RFC 6902 patch.
func patched(object map[string]any, patch []byte) (map[string]any, error) {
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, err
	}
	data, err := utiljson.Marshal(object)
	if err != nil {
		return nil, err
	}
	if data, err = p.Apply(data); err != nil {
		return nil, err
	}
	out := map[string]any{}
	return out, utiljson.Unmarshal(data, &out)
}

func equal(a, b map[string]any) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// project makes of what is written what has to be written so that the API, which made
// given of it, makes goal: fields that given and goal share stay as they are written.
func project(written, given, goal any) any {
	if reflect.DeepEqual(given, goal) {
		return written
	}
	switch to := goal.(type) {
	case map[string]any:
		from, ok := given.(map[string]any)
		if !ok {
			break
		}
		fields, _ := written.(map[string]any)
		out := maps.Clone(fields)
		if out == nil {
			out = map[string]any{}
		}
		for name := range from {
			if _, stays := to[name]; !stays {
				delete(out, name)
			}
		}
		for name, v := range to {
			was, there := from[name]
			switch {
			case !there:
				out[name] = v
			case !reflect.DeepEqual(was, v):
				out[name] = project(fields[name], was, v)
			}
		}
		return out
	case []any:
		from, ok := given.([]any)
		items, both := written.([]any)
		if !ok || !both || len(from) != len(items) {
			break
		}
		return projectItems(items, from, to)
	}
	return goal
}

// projectItems pairs the items of lists from both ends: what is between is new or gone.
func projectItems(written, given, goal []any) []any {
	head := 0
	for head < min(len(given), len(goal)) && alike(given[head], goal[head]) {
		head++
	}
	tail := 0
	for tail < min(len(given), len(goal))-head && alike(given[len(given)-1-tail], goal[len(goal)-1-tail]) {
		tail++
	}
	same := len(given) == len(goal)
	out := make([]any, 0, len(goal))
	for i, v := range goal {
		switch {
		case i < head || same:
			out = append(out, project(written[i], given[i], v))
		case i >= len(goal)-tail:
			at := i - len(goal) + len(given)
			out = append(out, project(written[at], given[at], v))
		default:
			// One that only moved is written as it was.
			if at := slices.IndexFunc(given, func(g any) bool { return reflect.DeepEqual(g, v) }); at >= 0 {
				v = written[at]
			}
			out = append(out, v)
		}
	}
	return out
}

// alike reports whether two items are the same one, perhaps changed.
func alike(a, b any) bool {
	x, isMap := a.(map[string]any)
	y, both := b.(map[string]any)
	if isMap && both && x["name"] != nil {
		return x["name"] == y["name"]
	}
	return reflect.DeepEqual(a, b)
}

// mutators are the policies whose steps of a trace changed the object, each once.
func mutators(t *gate.Trace) string {
	var all []string
	for _, s := range t.Steps {
		if s.Opinion != gate.Mutate || len(s.Sources) == 0 {
			continue
		}
		by := s.Sources[0]
		by.File, by.Line = "", 0
		if !slices.Contains(all, by.String()) {
			all = append(all, by.String())
		}
	}
	if len(all) == 0 {
		return "policies"
	}
	return strings.Join(all, ", ")
}
