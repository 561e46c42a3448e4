package v1alpha1

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestDetectionSchemas(t *testing.T) {
	const rule = `title: t, severity: high, message: m`
	for _, c := range []struct {
		name, kind, spec string
		// want is part of the error; "" accepts.
		want string
	}{
		{"least", "DetectionRule", rule, ""},
		{"operator", "DetectionRule", rule + `, count: {atLeast: 3, window: 5m}`, ""},
		{"two operators", "DetectionRule", rule + `, count: {atLeast: 3, window: 5m}, absence: {window: 5m}`, "set at most one of count"},
		{"severity", "DetectionRule", `title: t, severity: bad, message: m`, "spec.severity"},
		{"tactic", "DetectionRule", rule + `, attack: {tactics: [Stealing]}`, "spec.attack.tactics"},
		{"technique", "DetectionRule", rule + `, attack: {techniques: [T1552.007, X1]}`, "spec.attack.techniques"},
		{"count of one", "DetectionRule", rule + `, count: {atLeast: 1, window: 5m}`, "spec.count.atLeast"},
		{"one step", "DetectionRule", rule + `, sequence: {window: 5m, steps: [{}]}`, "spec.sequence.steps"},
		{"stage", "DetectionRule", rule + `, match: {stages: [Done]}`, "spec.match.stages"},
		{"example", "DetectionRule", rule + `, examples: {positive: [{events: [{at: 3s, repeat: 2, event: {verb: get, anything: {at: all}}}]}]}`, ""},
		{"no events", "DetectionRule", rule + `, examples: {positive: [{events: []}]}`, "spec.examples.positive"},

		{"least", "Mute", `match: {rules: [exec]}, reason: r, owner: o, expiresAt: "2027-01-01T00:00:00Z"`, ""},
		{"matches nothing", "Mute", `match: {}, reason: r, owner: o, expiresAt: "2027-01-01T00:00:00Z"`, "spec.match"},
		{"no end", "Mute", `match: {rules: [exec]}, reason: r, owner: o`, "spec.expiresAt"},
		{"fingerprint", "Mute", `match: {fingerprints: [xyz]}, reason: r, owner: o, expiresAt: "2027-01-01T00:00:00Z"`, "spec.match.fingerprints"},
	} {
		t.Run(c.kind+" "+c.name, func(t *testing.T) {
			var object map[string]any
			text := "apiVersion: gatehouse.io/v1alpha1\nkind: " + c.kind + "\nmetadata: {name: x}\nspec: {" + c.spec + "}\n"
			if err := yaml.Unmarshal([]byte(text), &object); err != nil {
				t.Fatal(err)
			}
			errs := validatorOf(t, crd(t, c.kind))(object)
			switch {
			case c.want == "" && len(errs) > 0:
				t.Error(errs.ToAggregate())
			case c.want != "" && (len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), c.want)):
				t.Errorf("got %v, want %s", errs.ToAggregate(), c.want)
			}
		})
	}
}
