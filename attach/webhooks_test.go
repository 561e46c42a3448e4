package attach

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
)

// knownKinds are the resources of some kinds.
type knownKinds map[schema.GroupKind][]string

func (k knownKinds) Resources(kind schema.GroupKind) []string { return k[kind] }

// A webhook is registered for what selectors can match, and for nothing else.
func TestRules(t *testing.T) {
	w := &webhooks{kinds: knownKinds{
		{Kind: "Pod"}: {"pods", "pods/ephemeralcontainers"}, {Group: "apps", Kind: "Deployment"}: {"deployments"},
	}}
	for name, c := range map[string]struct {
		selector policy.Selector
		want     string
	}{
		"objects of kinds":     {policy.Selector{Groups: []string{"", "apps"}, Kinds: []string{"Pod", "Deployment"}, Resources: []string{"*"}}, "[] [pods]; [apps] [deployments]"},
		"kinds":                {policy.Selector{Groups: []string{""}, Kinds: []string{"Pod"}}, "[] [pods pods/ephemeralcontainers]"},
		"a kind not served":    {policy.Selector{Groups: []string{"x.io"}, Kinds: []string{"X"}, Resources: []string{"*"}}, ""},
		"objects of any kind":  {policy.Selector{Groups: []string{"apps"}, Resources: []string{"*"}}, "[apps] [*]"},
		"objects of any group": {policy.Selector{Kinds: []string{"Pod"}, Resources: []string{"*"}}, "[*] [*]"},
		"other operations":     {policy.Selector{Operations: []admission.Operation{admission.Delete}, Resources: []string{"*"}}, ""},
	} {
		var got []string
		for _, rule := range w.rules([]policy.Selector{c.selector}, admission.Create, admission.Update) {
			got = append(got, fmt.Sprint(rule.APIGroups, " ", rule.Resources))
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s: %s, want %s", name, text, c.want)
		}
	}
}
