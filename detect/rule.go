package detect

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect/condition"
	"github.com/gatehouse-io/gatehouse/detect/operator"
)

// Rule is a compiled DetectionRule. It has no state and does not change.
type Rule struct {
	// Name of the object.
	Name string
	// Spec as it was written, with what was left out filled in.
	Spec v1alpha1.DetectionRuleSpec
	// Needs is what must be recorded: what the rule says, or what its expressions mention.
	Needs v1alpha1.DetectionNeeds

	match     match
	condition *condition.Condition
	key       []*condition.Value
	message   *condition.Message
	// operator is nil for a rule that fires at each request; of is what it looks at.
	operator operator.Operator
	of       *condition.Value
	// steps are those of a sequence, or the one that an absence comes after.
	steps []step
	// matches are such that an event which none of them matches is none of the rule's.
	matches []match
	// settled says that an event of a kind that the rule is found by is one of its match,
	// but for the stage.
	settled bool
	// bodies says that a body may be asked for, the message's included.
	bodies bool
	quiet  time.Duration
	// identity changes where what the rule remembers would mean something else.
	identity string
}

type step struct {
	match     match
	condition *condition.Condition
	// times is how many requests it is: as many steps of the operator.
	times int
}

// Bodies reports whether the rule looks at what was written.
func (r *Rule) Bodies() bool { return r.bodies }

// Operator names what the rule remembers: count, distinct, rate, firstSeen, sequence,
// absence, or nothing.
func (r *Rule) Operator() string {
	switch r.operator.(type) {
	case operator.Count:
		return "count"
	case operator.Distinct:
		return "distinct"
	case operator.Rate:
		return "rate"
	case operator.FirstSeen:
		return "firstSeen"
	case operator.Sequence:
		return "sequence"
	case operator.Absence:
		return "absence"
	}
	return ""
}

// horizon is how far back the rule looks.
func (r *Rule) horizon() time.Duration {
	switch o := r.operator.(type) {
	case operator.Count:
		return o.Window
	case operator.Distinct:
		return max(o.Window, o.Unseen)
	case operator.Rate:
		return max(o.Window, o.Before)
	case operator.FirstSeen:
		return max(o.Learn, min(o.Forget, 30*24*time.Hour))
	case operator.Sequence:
		return o.Window
	case operator.Absence:
		return o.Window
	}
	return 0
}

// Problem is why a rule is refused.
type Problem struct {
	// Rule by name, and the field that is to blame, such as spec.condition.
	Rule, Field string
	Message     string
}

func (p Problem) String() string {
	return fmt.Sprintf("DetectionRule %s: %s: %s", p.Rule, p.Field, p.Message)
}

// compiler compiles one rule, and keeps the problems.
type compiler struct {
	env      *condition.Env
	rule     *Rule
	problems []Problem
	level    string
	fields   []string
}

func (c *compiler) problem(field, format string, args ...any) {
	c.problems = append(c.problems, Problem{c.rule.Name, "spec." + field, fmt.Sprintf(format, args...)})
}

// compile compiles a rule, without its examples.
func compile(env *condition.Env, object *v1alpha1.DetectionRule) (*Rule, []Problem) {
	c := &compiler{env: env, rule: &Rule{Name: object.Name, Spec: *object.Spec.DeepCopy()}, level: condition.LevelMetadata}
	r, spec := c.rule, &c.rule.Spec
	c.texts()
	var err error
	if r.match, err = compileMatch(spec.Match); err != nil {
		c.problem("match", "%v", err)
	}
	r.matches = []match{r.match}
	r.settled = r.match.settled
	r.condition = c.condition("condition", spec.Condition)
	if len(spec.Key) == 0 {
		spec.Key = []string{"user", "ns"}
	}
	for i, k := range spec.Key {
		r.key = append(r.key, c.text(fmt.Sprintf("key[%d]", i), k))
	}
	c.operator()
	if r.message, err = env.Message(spec.Message); err != nil {
		c.problem("message", "%v", err)
	} else {
		r.bodies = r.bodies || r.message.Bodies()
	}
	spec.Runbook = cmp.Or(spec.Runbook, object.Name)
	r.quiet = time.Hour
	if spec.Quiet != nil {
		r.quiet = spec.Quiet.Duration
	}
	if r.quiet <= 0 {
		c.problem("quiet", "must be more than nothing")
	}
	r.Needs = v1alpha1.DetectionNeeds{Level: cmp.Or(spec.Needs.Level, c.level), Fields: spec.Needs.Fields}
	if len(r.Needs.Fields) == 0 {
		slices.Sort(c.fields)
		r.Needs.Fields = slices.Compact(c.fields)
	}
	r.identity = identity(spec)
	return r, c.problems
}

// identity is a hash of what decides what is remembered.
func identity(spec *v1alpha1.DetectionRuleSpec) string {
	text, err := json.Marshal([]any{spec.Match, spec.Condition, spec.Key, spec.Count, spec.Distinct, spec.Rate, spec.FirstSeen, spec.Sequence, spec.Absence})
	if err != nil {
		return "" // strings and numbers can always be written
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func (c *compiler) condition(field, expression string) *condition.Condition {
	compiled, err := c.env.Condition(expression)
	if err != nil {
		c.problem(field, "%v", err)
		return nil
	}
	c.mentions(compiled.Mentions())
	return compiled
}

func (c *compiler) text(field, expression string) *condition.Value {
	v, err := c.env.Text(expression)
	if err != nil {
		c.problem(field, "%v", err)
		return nil
	}
	c.mentions(v.Mentions())
	return v
}

func (c *compiler) mentions(m condition.Mentions) {
	c.level = max(c.level, m.Level) // the names are in the order of the levels
	c.fields = append(c.fields, m.Fields...)
	c.rule.bodies = c.rule.bodies || m.Bodies
}

// judges reports whether an event has what the rule needs.
func (r *Rule) judges(e *audit.Event) bool {
	switch r.Needs.Level {
	case condition.LevelRequest:
		return len(e.Request) > 0 || len(e.Response) > 0
	case condition.LevelRequestResponse:
		return len(e.Response) > 0
	}
	return true
}

// bits are the steps that an event may be: bit 0 for a rule without steps. None is 0.
func (r *Rule) bits(ctx context.Context, in *condition.Input) (bits uint16, err error) {
	e := in.Event()
	own := false
	if (r.settled && r.match.stages&stageBit(e.Stage) != 0 || !r.settled && r.match.matches(e)) && r.judges(e) {
		if own, err = r.condition.Match(ctx, in); err != nil {
			own = false
		}
	}
	switch r.operator.(type) {
	case operator.Sequence:
		at := 0
		for i := range r.steps {
			s := &r.steps[i]
			if own && s.match.matches(e) {
				yes, failed := s.condition.Match(ctx, in)
				if yes {
					bits |= (1<<s.times - 1) << at
				} else if failed != nil {
					err = failed
				}
			}
			at += s.times
		}
		return bits, err
	case operator.Absence:
		if len(r.steps) > 0 && r.steps[0].match.matches(e) {
			yes, failed := r.steps[0].condition.Match(ctx, in)
			if yes {
				bits |= 2
			} else if failed != nil {
				err = failed
			}
		}
	}
	if own {
		bits |= 1
	}
	return bits, err
}

const (
	// maxPart bounds one part of a key.
	maxPart = 256
	// between stands between parts. No text of an event has it: JSON may, so it is cut out.
	between = "\x00"
)

// keyOf is the key of an event: what tells one finding of the rule from another.
func (r *Rule) keyOf(ctx context.Context, in *condition.Input) (string, error) {
	var few [8]string
	parts := few[:0]
	for _, k := range r.key {
		part, err := k.Text(ctx, in)
		if err != nil {
			return "", err
		}
		part = strings.ToValidUTF8(part, "\uFFFD") // as it comes back from a snapshot
		if len(part) > maxPart || strings.Contains(part, between) {
			sum := sha256.Sum256([]byte(part))
			part = strings.ReplaceAll(strings.ToValidUTF8(part[:min(len(part), maxPart-20)], ""), between, "") + "…" + hex.EncodeToString(sum[:8])
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, between), nil
}

// fingerprint is that of a finding: of the rule and the key, and of nothing else.
func fingerprint(rule, key string) string {
	sum := sha256.Sum256([]byte(rule + between + key))
	return hex.EncodeToString(sum[:8])
}
