package detect

import (
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect/operator"
)

// Severities from the mildest up.
var severities = []v1alpha1.DetectionSeverity{
	v1alpha1.SeverityInfo, v1alpha1.SeverityLow, v1alpha1.SeverityMedium, v1alpha1.SeverityHigh, v1alpha1.SeverityCritical,
}

// SeverityRank is 0 for info and 4 for critical; -1 for what is no severity.
func SeverityRank(s v1alpha1.DetectionSeverity) int { return slices.Index(severities, s) }

// Tactics are those of MITRE ATT&CK, in its order.
var tactics = []string{
	"Reconnaissance", "ResourceDevelopment", "InitialAccess", "Execution", "Persistence", "PrivilegeEscalation", "DefenseEvasion",
	"CredentialAccess", "Discovery", "LateralMovement", "Collection", "CommandAndControl", "Exfiltration", "Impact",
}

var technique = regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)

// texts checks what people read, which an API server would check by the schema.
func (c *compiler) texts() {
	r, spec := c.rule, &c.rule.Spec
	if errs := validation.IsDNS1123Subdomain(r.Name); len(errs) > 0 {
		c.problems = append(c.problems, Problem{r.Name, "metadata.name", errs[0]})
	}
	if spec.Title == "" || len(spec.Title) > 128 {
		c.problem("title", "says in 1 to 128 bytes what is noticed")
	}
	if SeverityRank(spec.Severity) < 0 {
		c.problem("severity", "%q is none of info, low, medium, high and critical", spec.Severity)
	}
	if spec.Message == "" || len(spec.Message) > 1024 {
		c.problem("message", "says in 1 to 1024 bytes what happened")
	}
	for _, t := range spec.Attack.Tactics {
		if !slices.Contains(tactics, t) {
			c.problem("attack.tactics", "%q is none of %s", t, strings.Join(tactics, ", "))
		}
	}
	for _, t := range spec.Attack.Techniques {
		if !technique.MatchString(t) {
			c.problem("attack.techniques", "%q is no technique such as T1552.007", t)
		}
	}
	if !slices.Contains([]string{"", "Metadata", "Request", "RequestResponse"}, spec.Needs.Level) {
		c.problem("needs.level", "%q is none of Metadata, Request and RequestResponse", spec.Needs.Level)
	}
	if spec.Keys < 0 || spec.Keys > 1000000 {
		c.problem("keys", "must be 1 to 1000000")
	}
}

// maxWindow is the longest time that is looked back.
const maxWindow = 90 * 24 * time.Hour

// window checks a time.
func (c *compiler) window(field string, d metav1.Duration, least time.Duration) time.Duration {
	if d.Duration < least || d.Duration > maxWindow {
		c.problem(field, "must be %v to %v", least, maxWindow)
	}
	return d.Duration
}

func (c *compiler) atLeast(field string, n int64, least, most int64) {
	if n < least || n > most {
		c.problem(field, "must be %d to %d", least, most)
	}
}

// operator compiles what the rule remembers.
func (c *compiler) operator() {
	r, spec := c.rule, &c.rule.Spec
	n := 0
	if o := spec.Count; o != nil {
		n++
		c.atLeast("count.atLeast", int64(o.AtLeast), 2, 10000)
		r.operator = operator.Count{AtLeast: int(o.AtLeast), Window: c.window("count.window", o.Window, time.Second)}
	}
	if o := spec.Distinct; o != nil {
		n++
		c.atLeast("distinct.atLeast", int64(o.AtLeast), 2, 10000)
		r.of = c.text("distinct.of", o.Of)
		distinct := operator.Distinct{AtLeast: int(o.AtLeast), Window: c.window("distinct.window", o.Window, time.Second)}
		if o.Unseen != nil {
			distinct.Unseen = c.window("distinct.unseen", *o.Unseen, o.Window.Duration)
		}
		r.operator = distinct
	}
	if o := spec.Rate; o != nil {
		n++
		c.rate(o)
	}
	if o := spec.FirstSeen; o != nil {
		n++
		c.firstSeen(o)
	}
	if o := spec.Sequence; o != nil {
		n++
		c.sequence(o)
	}
	if o := spec.Absence; o != nil {
		n++
		absence := operator.Absence{Window: c.window("absence.window", o.Window, time.Second), After: o.After != nil}
		if o.After != nil {
			after := c.step("absence.after", *o.After)
			if after.times != 1 {
				c.problem("absence.after.times", "must be 1")
			}
			r.steps, r.matches, r.settled = []step{after}, append(r.matches, after.match), false
		}
		r.operator = absence
	}
	if n > 1 {
		c.problem("", "set at most one of count, distinct, rate, firstSeen, sequence and absence")
	}
}

func (c *compiler) rate(o *v1alpha1.DetectionRate) {
	rate := operator.Rate{AtLeast: o.AtLeast, Window: c.window("rate.window", o.Window, time.Second)}
	c.atLeast("rate.atLeast", o.AtLeast, 1, 1<<53)
	if o.Of != "" {
		v, err := c.env.Number(o.Of)
		if err != nil {
			c.problem("rate.of", "%v", err)
		} else {
			c.rule.of = v
			c.mentions(v.Mentions())
		}
	}
	if o.Over != nil {
		c.atLeast("rate.over.factor", int64(o.Over.Factor), 2, 1000000)
		rate.Factor, rate.Before = int(o.Over.Factor), c.window("rate.over.before", o.Over.Before, 2*o.Window.Duration)
	}
	c.rule.operator = rate
}

func (c *compiler) firstSeen(o *v1alpha1.DetectionFirstSeen) {
	first := operator.FirstSeen{Learn: c.window("firstSeen.learn", o.Learn, 0), Forget: 30 * 24 * time.Hour, Values: int(o.Values)}
	if o.Forget != nil {
		first.Forget = c.window("firstSeen.forget", *o.Forget, time.Second)
	}
	if first.Values == 0 {
		first.Values = 1000
	}
	c.atLeast("firstSeen.values", int64(first.Values), 1, 100000)
	c.rule.of = c.text("firstSeen.of", o.Of)
	c.rule.operator = first
}

func (c *compiler) sequence(o *v1alpha1.DetectionSequence) {
	r := c.rule
	if len(o.Steps) < 2 || len(o.Steps) > 8 {
		c.problem("sequence.steps", "must be 2 to 8")
	}
	var matches []match
	requests := 0
	for i := range o.Steps {
		s := c.step("sequence.steps["+string(rune('0'+min(i, 9)))+"]", o.Steps[i])
		r.steps = append(r.steps, s)
		matches = append(matches, s.match)
		requests += s.times
	}
	if requests > operator.MaxSteps {
		c.problem("sequence.steps", "are %d requests together, more than %d", requests, operator.MaxSteps)
		requests = operator.MaxSteps
	}
	if r.match.everything() {
		r.matches, r.settled = matches, true // the rule's own match asks nothing
	}
	r.operator = operator.Sequence{Steps: requests, Window: c.window("sequence.window", o.Window, time.Second)}
}

func (c *compiler) step(field string, s v1alpha1.DetectionStep) step {
	m, err := compileMatch(s.Match)
	if err != nil {
		c.problem(field+".match", "%v", err)
	}
	times := max(int(s.Times), 1)
	if s.Times < 0 {
		c.problem(field+".times", "must be 1 to %d", operator.MaxSteps-1)
	}
	return step{m, c.condition(field+".condition", s.Condition), min(times, operator.MaxSteps)}
}
