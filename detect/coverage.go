package detect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	gateaudit "github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect/condition"
)

// Sight is how much of what a rule needs is recorded.
type Sight string

// Sights, from the best down.
const (
	// Sees: the rule can fire.
	Sees Sight = "sees"
	// Partly: some of its requests are not recorded, or without what it needs.
	Partly Sight = "partly"
	// Blind: none is.
	Blind Sight = "blind"
)

// Coverage is what an audit policy leaves of a rule.
type Coverage struct {
	Rule  string `json:"rule"`
	Sight Sight  `json:"sight"`
	// Reasons are what is not recorded, in sentences; none where it sees.
	Reasons []string `json:"reasons,omitempty"`
	// Mend is the rule of an audit policy that would let it see, as YAML; empty where none
	// is needed.
	Mend string `json:"mend,omitempty"`
}

// Cover says of every rule whether an audit policy records what it needs. The examples
// that make a finding are put through the policy: what it would not have recorded is
// taken out of them, and the rule is asked again. The verbs and resources of its match are
// put through it too.
func Cover(set *Set, policy audit.PolicyRuleEvaluator) []Coverage {
	var all []Coverage
	for _, r := range set.rules {
		c := coverage{rule: r, policy: policy}
		all = append(all, c.cover())
	}
	return all
}

type coverage struct {
	rule    *Rule
	policy  audit.PolicyRuleEvaluator
	reasons []string
	lacking map[string][]string // verbs that are not recorded well enough, by resource
}

func (c *coverage) cover() Coverage {
	c.lacking = map[string][]string{}
	fired, tried := c.examples()
	seen, asked := c.matches()
	out := Coverage{Rule: c.rule.Name, Sight: Partly, Reasons: c.reasons}
	switch {
	case tried > 0 && fired == 0, tried == 0 && asked > 0 && seen == 0:
		out.Sight = Blind
	case fired == tried && seen == asked:
		out.Sight = Sees
	}
	if out.Sight == Sees {
		return Coverage{Rule: c.rule.Name, Sight: Sees}
	}
	out.Mend = c.mend()
	return out
}

func (c *coverage) because(format string, args ...any) {
	if reason := fmt.Sprintf(format, args...); !slices.Contains(c.reasons, reason) {
		c.reasons = append(c.reasons, reason)
	}
}

// examples puts the positive examples through the policy.
func (c *coverage) examples() (fired, tried int) {
	for i := range c.rule.Spec.Examples.Positive {
		x := &c.rule.Spec.Examples.Positive[i]
		events, err := ExampleEvents(x)
		if err != nil {
			continue // it was refused when the rule was loaded
		}
		tried++
		kept := slices.DeleteFunc(events, func(e *gateaudit.Event) bool { return c.recorded(e) == nil })
		until := time.Duration(0)
		if x.Until != nil {
			until = x.Until.Duration
		}
		if o := try(c.rule, kept, until); len(o.findings) > 0 {
			fired++
		}
	}
	return fired, tried
}

// recorded makes of an event what the policy would have recorded of it; nil for nothing.
func (c *coverage) recorded(e *gateaudit.Event) *gateaudit.Event {
	who := &user.DefaultInfo{Name: e.User, Groups: e.Groups}
	if e.User != "" && e.User != user.Anonymous && len(who.Groups) == 0 {
		who.Groups = []string{user.AllAuthenticated}
	} else if e.User == user.Anonymous {
		who.Groups = append(slices.Clone(who.Groups), user.AllUnauthenticated)
	}
	path, _, _ := strings.Cut(e.URI, "?")
	config := c.policy.EvaluatePolicyRule(authorizer.AttributesRecord{
		User: who, Verb: e.Verb, Namespace: e.Namespace, APIGroup: e.APIGroup, APIVersion: "v1", Resource: e.Resource, Subresource: e.Subresource,
		Name: e.Name, ResourceRequest: e.Resource != "", Path: path,
	})
	what := e.Verb + " " + resourceText(e)
	if config.Level == auditinternal.LevelNone {
		c.because("%s is not recorded (level None)", what)
		c.lack(e)
		return nil
	}
	if slices.Contains(config.OmitStages, auditinternal.Stage(e.Stage)) {
		c.because("the stage %s of %s is not recorded (omitStages)", e.Stage, what)
		return nil
	}
	judged := c.rule.judges(e)
	e.Level = string(config.Level)
	if config.Level.Less(auditinternal.LevelRequest) {
		e.Request = nil
	}
	if config.Level.Less(auditinternal.LevelRequestResponse) {
		e.Response = nil
	}
	if judged && !c.rule.judges(e) {
		c.because("%s is recorded at level %s, and the rule needs %s", what, config.Level, c.rule.Needs.Level)
		c.lack(e)
	}
	return e
}

func resourceText(e *gateaudit.Event) string {
	if e.Resource == "" {
		path, _, _ := strings.Cut(e.URI, "?")
		return path
	}
	text := e.Resource
	if e.APIGroup != "" {
		text += "." + e.APIGroup
	}
	if e.Subresource != "" {
		text += "/" + e.Subresource
	}
	return text
}

func (c *coverage) lack(e *gateaudit.Event) {
	if what := resourceText(e); !slices.Contains(c.lacking[what], e.Verb) {
		c.lacking[what] = append(c.lacking[what], e.Verb)
	}
}

// matches puts the verbs and resources that the rule names through the policy, for a user
// of no particular groups. What it does not name, it does not ask for.
func (c *coverage) matches() (seen, asked int) {
	if c.rule.Operator() == "absence" {
		return 0, 0 // which requests come is for its condition to say
	}
	for _, m := range c.rule.matches {
		for _, pattern := range m.resources {
			if strings.Contains(pattern, "*") {
				continue
			}
			name, group, sub, grouped := cutResource(pattern)
			if !grouped {
				group = usualGroup[name]
			}
			verbs := m.verbs
			if len(verbs) == 0 {
				verbs = []string{"get", "create"}
			}
			for _, verb := range verbs {
				asked++
				e := &gateaudit.Event{Verb: verb, APIGroup: group, Resource: name, Subresource: sub, Namespace: "example", Name: "example", User: "someone", Stage: gateaudit.StageComplete}
				e.Request, e.Response = []byte("{}"), []byte("{}")
				if kept := c.recorded(e); kept != nil && c.rule.judges(kept) {
					seen++
				}
			}
		}
	}
	return seen, asked
}

// usualGroup are the API groups of resources that rules name without one.
var usualGroup = map[string]string{
	"deployments": "apps", "daemonsets": "apps", "statefulsets": "apps", "replicasets": "apps", "jobs": "batch", "cronjobs": "batch",
	"roles": "rbac.authorization.k8s.io", "rolebindings": "rbac.authorization.k8s.io", "clusterroles": "rbac.authorization.k8s.io", "clusterrolebindings": "rbac.authorization.k8s.io",
	"ingresses": "networking.k8s.io", "networkpolicies": "networking.k8s.io", "certificatesigningrequests": "certificates.k8s.io",
	"mutatingwebhookconfigurations": "admissionregistration.k8s.io", "validatingwebhookconfigurations": "admissionregistration.k8s.io",
	"selfsubjectaccessreviews": "authorization.k8s.io", "selfsubjectrulesreviews": "authorization.k8s.io",
}

// mend is a rule for an audit policy that records what is lacking.
func (c *coverage) mend() string {
	level := c.rule.Needs.Level
	if level == "" {
		level = condition.LevelMetadata
	}
	byGroup, verbs := map[string][]string{}, []string{}
	for what, of := range c.lacking {
		name, group, sub, _ := cutResource(what)
		if strings.HasPrefix(name, "/") || name == "" {
			continue
		}
		if sub != "" {
			name += "/" + sub
		}
		byGroup[group] = append(byGroup[group], name)
		verbs = append(verbs, of...)
	}
	if len(byGroup) == 0 {
		return ""
	}
	slices.Sort(verbs)
	var out strings.Builder
	fmt.Fprintf(&out, "- level: %s\n  verbs: [%s]\n  resources:\n", level, strings.Join(slices.Compact(verbs), ", "))
	for _, group := range slices.Sorted(maps.Keys(byGroup)) {
		slices.Sort(byGroup[group])
		fmt.Fprintf(&out, "  - {group: %q, resources: [%s]}\n", group, strings.Join(slices.Compact(byGroup[group]), ", "))
	}
	return out.String()
}

// Condition is what the condition Sighted of a rule's status says.
func (c Coverage) Condition() (reason, message string) {
	switch c.Sight {
	case Sees:
		return v1alpha1.DetectionSees, "the audit policy records what the rule needs"
	case Partly:
		return v1alpha1.DetectionPartly, strings.Join(c.Reasons, "; ")
	}
	return v1alpha1.DetectionBlind, strings.Join(c.Reasons, "; ")
}
