package sigma

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
)

// rule is one document.
type rule struct {
	Title     string `yaml:"title"`
	Level     string `yaml:"level"`
	LogSource struct {
		Product string `yaml:"product"`
		Service string `yaml:"service"`
	} `yaml:"logsource"`
	Tags           []string             `yaml:"tags"`
	FalsePositives []string             `yaml:"falsepositives"`
	Detection      map[string]yaml.Node `yaml:"detection"`
	Correlation    *yaml.Node           `yaml:"correlation"`
}

// Looks reports whether a text looks like a file of Sigma rules.
func Looks(text []byte) bool { return looks.Match(text) }

var looks = regexp.MustCompile(`(?m)^(detection|correlation|logsource):`)

// Import translates a file, of one document or more. The error is for what is no file of
// rules; name is what it calls the file.
func Import(name string, text []byte) (*detect.Imported, error) {
	out := &detect.Imported{}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	names := map[string]bool{}
	for {
		var node yaml.Node
		if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: read Sigma rules: %w", name, err)
		}
		var r rule
		if err := node.Decode(&r); err != nil {
			return nil, fmt.Errorf("%s:%d: read Sigma rules: %w", name, node.Line, err)
		}
		if r.Title == "" && r.Detection == nil && r.Correlation == nil {
			continue // an empty document
		}
		t := &translator{}
		translated, err := t.translate(&r)
		if err == nil && names[translated.Name] {
			err = fmt.Errorf("there is another rule of this title")
		}
		if err != nil {
			out.Left = append(out.Left, detect.Remark{Rule: r.Title, Line: node.Line, Why: err.Error()})
			continue
		}
		names[translated.Name] = true
		out.Rules = append(out.Rules, translated)
		for _, n := range t.notes {
			out.Notes = append(out.Notes, detect.Remark{Rule: r.Title, Line: node.Line, Why: n})
		}
	}
}

// translator translates one rule.
type translator struct{ notes []string }

func (t *translator) note(text string) {
	if text != "" && !slices.Contains(t.notes, text) {
		t.notes = append(t.notes, text)
	}
}

var severities = map[string]v1alpha1.DetectionSeverity{
	"informational": v1alpha1.SeverityInfo, "low": v1alpha1.SeverityLow, "medium": v1alpha1.SeverityMedium, "high": v1alpha1.SeverityHigh, "critical": v1alpha1.SeverityCritical,
}

var tactics = map[string]string{
	"reconnaissance": "Reconnaissance", "resource-development": "ResourceDevelopment", "initial-access": "InitialAccess", "execution": "Execution", "persistence": "Persistence",
	"privilege-escalation": "PrivilegeEscalation", "defense-evasion": "DefenseEvasion", "credential-access": "CredentialAccess", "discovery": "Discovery",
	"lateral-movement": "LateralMovement", "collection": "Collection", "command-and-control": "CommandAndControl", "exfiltration": "Exfiltration", "impact": "Impact",
}

var technique = regexp.MustCompile(`^attack\.t([0-9]{4}(\.[0-9]{3})?)$`)

func (t *translator) translate(r *rule) (*v1alpha1.DetectionRule, error) {
	switch {
	case r.Correlation != nil:
		return nil, fmt.Errorf("it is a correlation: write a DetectionRule with count, distinct or sequence")
	case r.LogSource.Product != "kubernetes" || r.LogSource.Service != "audit" && r.LogSource.Service != "":
		return nil, fmt.Errorf("it is about %s %s, not about audit events of Kubernetes", r.LogSource.Product, r.LogSource.Service)
	}
	selections := map[string]string{}
	var conditions []string
	for name, node := range r.Detection {
		switch name {
		case "condition":
			if node.Kind == yaml.SequenceNode {
				for _, c := range node.Content {
					conditions = append(conditions, c.Value)
				}
			} else {
				conditions = []string{node.Value}
			}
		case "timeframe":
		default:
			cel, err := t.selection(&node, 0)
			if err != nil {
				return nil, err
			}
			selections[name] = cel
		}
	}
	if len(conditions) == 0 {
		return nil, fmt.Errorf("it has no condition")
	}
	var any []string
	for _, c := range conditions {
		cel, err := condition(c, selections)
		if err != nil {
			return nil, err
		}
		any = append(any, cel)
	}
	out := &v1alpha1.DetectionRule{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "DetectionRule"},
		ObjectMeta: metav1.ObjectMeta{Name: detect.ImportedName("sigma", r.Title)},
		Spec: v1alpha1.DetectionRuleSpec{
			Title: cut(r.Title, 128), Severity: severities[r.Level], Condition: joined(any, " || "), FalsePositives: cut(strings.Join(r.FalsePositives, "; "), 2048),
			Message: cut(strings.ReplaceAll(r.Title, "{{", "{ {"), 800) + ": {{user}} ({{event.verb}} {{event.objectRef.resource}} {{event.objectRef.name}} in {{ns}})",
		},
	}
	if out.Spec.Title == "" {
		return nil, fmt.Errorf("it has no title")
	}
	if out.Spec.Severity == "" {
		out.Spec.Severity = v1alpha1.SeverityMedium
	}
	for _, tag := range r.Tags {
		tag = strings.ToLower(tag)
		if found := technique.FindStringSubmatch(tag); found != nil {
			out.Spec.Attack.Techniques = append(out.Spec.Attack.Techniques, "T"+found[1])
		} else if tactic := tactics[strings.ReplaceAll(strings.TrimPrefix(tag, "attack."), "_", "-")]; tactic != "" {
			out.Spec.Attack.Tactics = append(out.Spec.Attack.Tactics, tactic)
		}
	}
	if _, problems := detect.Compile([]*v1alpha1.DetectionRule{out}, detect.Options{}); len(problems) > 0 {
		return nil, fmt.Errorf("what comes out does not compile: %s", problems[0].Message)
	}
	return out, nil
}

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

// selection writes a selection as CEL: a map whose fields must all match, a list of maps
// or keywords of which one must.
func (t *translator) selection(n *yaml.Node, depth int) (string, error) {
	if depth > 5 {
		return "", fmt.Errorf("a selection at line %d nests too deep", n.Line)
	}
	switch n.Kind {
	case yaml.SequenceNode:
		var any []string
		for _, c := range n.Content {
			var cel string
			var err error
			if c.Kind == yaml.ScalarNode {
				cel, err = keyword(c.Value)
			} else {
				cel, err = t.selection(c, depth+1)
			}
			if err != nil {
				return "", err
			}
			any = append(any, cel)
		}
		if len(any) > 0 {
			return joined(any, " || "), nil
		}
	case yaml.MappingNode:
		var all []string
		for i := 0; i+1 < len(n.Content); i += 2 {
			cel, err := t.field(n.Content[i].Value, n.Content[i+1])
			if err != nil {
				return "", err
			}
			all = append(all, cel)
		}
		if len(all) > 0 {
			return joined(all, " && "), nil
		}
	}
	return "", fmt.Errorf("a selection at line %d is empty, or none that is known", n.Line)
}

// keyword is a word anywhere in the event: in the texts it has for clients.
func keyword(word string) (string, error) {
	c, err := modifiers{by: "contains"}.compare(word, false)
	return "[event.requestURI, event.userAgent, event.user.username, event.objectRef.name].exists(v, " + strings.ReplaceAll(c, hole, "v") + ")", err
}

// verbs are those that audit events have.
var verbs = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "post", "put", "head", "options", "connect", "proxy"}

func (t *translator) field(key string, node *yaml.Node) (string, error) {
	parts := strings.Split(key, "|")
	m, err := parseModifiers(parts[1:])
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	w, number, note, err := fieldOf(parts[0])
	if err != nil {
		return "", err
	}
	t.note(note)
	values := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		values = node.Content
	}
	var all []string
	for _, v := range values {
		if v.Kind != yaml.ScalarNode {
			return "", fmt.Errorf("%s at line %d is no text", key, v.Line)
		}
		if v.Tag == "!!null" {
			all = append(all, "!("+w(there)+")")
			continue
		}
		if parts[0] == "verb" && m.by == "" && !strings.ContainsAny(v.Value, "*?") && !slices.Contains(verbs, strings.ToLower(v.Value)) {
			t.note(fmt.Sprintf("%s is no verb of an audit event", v.Value))
		}
		comparison, err := m.compare(v.Value, number)
		if err != nil {
			return "", fmt.Errorf("%s: %w", key, err)
		}
		all = append(all, w(comparison))
	}
	if len(all) == 0 {
		return "", fmt.Errorf("%s has no value", key)
	}
	if m.all {
		return joined(all, " && "), nil
	}
	return joined(all, " || "), nil
}
