package falco

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
)

// item is one element of a file: a rule, a macro or a list.
type item struct {
	Rule       string            `yaml:"rule"`
	Macro      string            `yaml:"macro"`
	List       string            `yaml:"list"`
	Desc       string            `yaml:"desc"`
	Condition  string            `yaml:"condition"`
	Output     string            `yaml:"output"`
	Priority   string            `yaml:"priority"`
	Source     string            `yaml:"source"`
	Items      []string          `yaml:"items"`
	Tags       []string          `yaml:"tags"`
	Enabled    *bool             `yaml:"enabled"`
	Append     bool              `yaml:"append"`
	Override   map[string]string `yaml:"override"`
	Exceptions []exception       `yaml:"exceptions"`
	line       int
}

// exception is when a rule does not fire.
type exception struct {
	Name   string    `yaml:"name"`
	Fields yaml.Node `yaml:"fields"`
	Comps  yaml.Node `yaml:"comps"`
	Values yaml.Node `yaml:"values"`
}

// Looks reports whether a text looks like a file of Falco rules.
func Looks(text []byte) bool { return looks.Match(text) }

var looks = regexp.MustCompile(`(?m)^\s*- (rule|macro|list|required_engine_version|required_plugin_versions):`)

// file is what a file says, put together.
type file struct {
	macros map[string]*item
	lists  map[string][]string
	rules  []*item
}

// Import translates a file. The error is for what is no file of rules; name is what it
// calls the file.
func Import(name string, text []byte) (*detect.Imported, error) {
	var nodes []yaml.Node
	if err := yaml.Unmarshal(text, &nodes); err != nil {
		return nil, fmt.Errorf("%s: read Falco rules: %w", name, err)
	}
	f := &file{macros: map[string]*item{}, lists: map[string][]string{}}
	out := &detect.Imported{}
	for i := range nodes {
		one := item{line: nodes[i].Line}
		if err := nodes[i].Decode(&one); err != nil {
			return nil, fmt.Errorf("%s:%d: read Falco rules: %w", name, nodes[i].Line, err)
		}
		f.add(&one)
	}
	names := map[string]bool{}
	for _, r := range f.rules {
		rule, err := f.translate(r)
		if err == nil && names[rule.Name] {
			err = fmt.Errorf("there is another rule of this name")
		}
		if err != nil {
			out.Left = append(out.Left, detect.Remark{Rule: r.Rule, Line: r.line, Why: err.Error()})
			continue
		}
		names[rule.Name] = true
		out.Rules = append(out.Rules, rule)
	}
	return out, nil
}

// add puts an element with what was said before.
func (f *file) add(one *item) {
	switch appends := one.Append; {
	case one.List != "":
		if appends || one.Override["items"] == "append" {
			one.Items = append(slices.Clone(f.lists[one.List]), one.Items...)
		}
		f.lists[one.List] = one.Items
	case one.Macro != "":
		if before := f.macros[one.Macro]; before != nil && (appends || one.Override["condition"] == "append") {
			one.Condition = before.Condition + " " + one.Condition
		}
		f.macros[one.Macro] = one
	case one.Rule != "":
		i := slices.IndexFunc(f.rules, func(r *item) bool { return r.Rule == one.Rule })
		if i < 0 {
			f.rules = append(f.rules, one)
			return
		}
		before := f.rules[i]
		if !appends && len(one.Override) == 0 && one.Condition != "" {
			f.rules[i] = one // the same rule, told anew
			return
		}
		if one.Condition != "" {
			if appends || one.Override["condition"] == "append" {
				before.Condition += " " + one.Condition
			} else {
				before.Condition = one.Condition
			}
		}
		before.Exceptions = append(before.Exceptions, one.Exceptions...)
		if one.Enabled != nil {
			before.Enabled = one.Enabled
		}
		if one.Output != "" && !appends {
			before.Output = one.Output
		}
		if one.Priority != "" && !appends {
			before.Priority = one.Priority
		}
	}
}

var severities = map[string]v1alpha1.DetectionSeverity{
	"EMERGENCY": v1alpha1.SeverityCritical, "ALERT": v1alpha1.SeverityCritical, "CRITICAL": v1alpha1.SeverityCritical, "ERROR": v1alpha1.SeverityHigh,
	"WARNING": v1alpha1.SeverityMedium, "NOTICE": v1alpha1.SeverityLow, "INFO": v1alpha1.SeverityInfo, "INFORMATIONAL": v1alpha1.SeverityInfo, "DEBUG": v1alpha1.SeverityInfo,
}

func (f *file) translate(r *item) (*v1alpha1.DetectionRule, error) {
	switch {
	case r.Source != "k8s_audit":
		return nil, fmt.Errorf("it is about %s, not about audit events", orWord(r.Source, "system calls"))
	case r.Enabled != nil && !*r.Enabled:
		return nil, fmt.Errorf("it is switched off (enabled: false)")
	}
	condition, err := parse(r.Condition)
	if err != nil {
		return nil, fmt.Errorf("its condition cannot be read: %w", err)
	}
	for i := range r.Exceptions {
		e, err := r.Exceptions[i].condition()
		if err != nil {
			return nil, fmt.Errorf("its exception %s: %w", r.Exceptions[i].Name, err)
		}
		condition = &node{op: "and", parts: []*node{condition, {op: "not", parts: []*node{e}}}}
	}
	x := &expander{file: f}
	condition = folded(x.expand(condition, 0))
	switch {
	case x.err != nil:
		return nil, x.err
	case condition.op == "false":
		return nil, fmt.Errorf("it can never fire: its condition is always false")
	}
	text, err := emit(condition)
	if err != nil {
		return nil, err
	}
	rule := &v1alpha1.DetectionRule{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "DetectionRule"},
		ObjectMeta: metav1.ObjectMeta{Name: detect.ImportedName("falco", r.Rule)},
		Spec:       v1alpha1.DetectionRuleSpec{Title: cut(r.Rule, 128), Severity: severities[strings.ToUpper(r.Priority)], Condition: text, Message: message(r)},
	}
	if rule.Spec.Severity == "" {
		rule.Spec.Severity = v1alpha1.SeverityMedium
	}
	for _, t := range r.Tags {
		if technique.MatchString(t) {
			rule.Spec.Attack.Techniques = append(rule.Spec.Attack.Techniques, t)
		}
	}
	if _, problems := detect.Compile([]*v1alpha1.DetectionRule{rule}, detect.Options{}); len(problems) > 0 {
		return nil, fmt.Errorf("what comes out does not compile: %s", problems[0].Message)
	}
	return rule, nil
}

var technique = regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)

func orWord(text, or string) string {
	if text == "" {
		return or
	}
	return text
}

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

// outputField is a field in an output.
var outputField = regexp.MustCompile(`%([a-z][a-z0-9_.]*(\[[^\]]*\])?)`)

// message makes a template of an output.
func message(r *item) string {
	text := strings.ReplaceAll(orWord(strings.TrimSpace(r.Output), r.Rule), "{{", "{ {")
	out := outputField.ReplaceAllStringFunc(text, func(name string) string {
		f, err := fieldOf(strings.TrimRight(name[1:], "."))
		if err != nil {
			return "?"
		}
		return "{{" + f.cel + "}}"
	})
	if len(out) > 1024 {
		return cut(strings.ReplaceAll(r.Rule, "{{", "{ {"), 900) + ": {{user}}"
	}
	return out
}

// expander puts macros and lists in their places.
type expander struct {
	file *file
	err  error
	size int // how many parts there are
	read int // how many bytes of macros were read
}

// maxNodes and maxRead bound a condition once its macros are in it.
const (
	maxNodes = 5000
	maxRead  = 1 << 20
)

func (x *expander) expand(n *node, depth int) *node {
	if x.size++; (depth > maxDepth || x.size > maxNodes) && x.err == nil {
		x.err = fmt.Errorf("its macros are too many, or go round in a circle")
	}
	if x.err != nil {
		return &node{op: "false"}
	}
	switch n.op {
	case "and", "or", "not":
		out := &node{op: n.op}
		for _, p := range n.parts {
			out.parts = append(out.parts, x.expand(p, depth+1))
		}
		return out
	case "name":
		m := x.file.macros[n.name]
		if m == nil {
			x.err = fmt.Errorf("there is no macro %s", n.name)
			return &node{op: "false"}
		}
		if x.read += len(m.Condition); x.read > maxRead {
			x.err = fmt.Errorf("its macros are too long")
			return &node{op: "false"}
		}
		below, err := parse(m.Condition)
		if err != nil {
			x.err = fmt.Errorf("its macro %s cannot be read: %w", n.name, err)
			return &node{op: "false"}
		}
		return x.expand(below, depth+1)
	case "check":
		return x.check(n)
	}
	return n
}

// check puts lists into a comparison. The time of an event is always there and never 0: so
// Falco's rules write what is always, and what is never.
func (x *expander) check(n *node) *node {
	if n.field == "jevt.rawtime" || n.field == "evt.rawtime" || n.field == "evt.num" {
		switch {
		case n.by == "exists", n.by == ">=" && n.values[0] == "0", n.by == ">" && n.values[0] == "0", n.by == "!=" && n.values[0] == "0":
			return &node{op: "true"}
		case n.by == "=" && n.values[0] == "0", n.by == "<" && n.values[0] == "0", n.by == "<=" && n.values[0] == "0":
			return &node{op: "false"}
		}
	}
	if n.by != "in" && n.by != "intersects" && n.by != "pmatch" {
		return n
	}
	out := *n
	out.values = x.values(n.values, 0)
	if len(out.values) == 0 {
		return &node{op: "false"}
	}
	return &out
}

// maxValues bounds a list once others are in it.
const maxValues = 5000

func (x *expander) values(names []string, depth int) (all []string) {
	for _, v := range names {
		items, isList := x.file.lists[v]
		switch {
		case !isList:
			all = append(all, v)
		case depth > 20 || len(all) > maxValues:
			if x.err == nil {
				x.err = fmt.Errorf("its lists are too long, or go round in a circle")
			}
			return nil
		default:
			all = append(all, x.values(items, depth+1)...)
		}
	}
	return all
}
