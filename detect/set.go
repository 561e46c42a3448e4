package detect

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect/condition"
)

// Options of Compile. The zero value is usable.
type Options struct {
	// Untested leaves the examples of rules aside: for rules that were tested before.
	Untested bool
}

// Set is compiled rules. It does not change, and is safe for concurrent use.
type Set struct {
	rules []*Rule // by name
	// verbs, groups, resources and subresources number what rules name, from 1.
	verbs, groups, resources, subresources map[string]uint16
}

// Compile compiles rules. Those with a problem are left out; of two with one name, the
// second is.
func Compile(objects []*v1alpha1.DetectionRule, o Options) (*Set, []Problem) {
	env, err := condition.NewEnv()
	if err != nil {
		return &Set{}, []Problem{{Field: "spec", Message: err.Error()}}
	}
	var rules []*Rule
	var problems []Problem
	names := map[string]bool{}
	for _, object := range objects {
		rule, wrong := compile(env, object)
		if names[object.Name] {
			wrong = append(wrong, taken(object.Name))
		}
		names[object.Name] = true
		if len(wrong) == 0 && !o.Untested {
			wrong = test(rule)
		}
		if problems = append(problems, wrong...); len(wrong) == 0 {
			rules = append(rules, rule)
		}
	}
	return newSet(rules), problems
}

// Join makes one Set of several. Of two rules with one name, the second is left out, with
// a problem.
func Join(sets ...*Set) (*Set, []Problem) {
	var rules []*Rule
	var problems []Problem
	names := map[string]bool{}
	for _, s := range sets {
		for _, r := range s.rules {
			if names[r.Name] {
				problems = append(problems, taken(r.Name))
				continue
			}
			names[r.Name] = true
			rules = append(rules, r)
		}
	}
	return newSet(rules), problems
}

func taken(name string) Problem {
	return Problem{name, "metadata.name", "there is another rule of this name"}
}

func newSet(rules []*Rule) *Set {
	s := &Set{rules: rules, verbs: map[string]uint16{}, groups: map[string]uint16{}, resources: map[string]uint16{}, subresources: map[string]uint16{}}
	slices.SortFunc(s.rules, func(a, b *Rule) int { return cmp.Compare(a.Name, b.Name) })
	number := func(of map[string]uint16, name string) {
		if of[name] == 0 && len(of) < 1<<16-2 {
			of[name] = uint16(len(of) + 1)
		}
	}
	for _, r := range s.rules {
		for _, m := range r.matches {
			for _, v := range m.verbs {
				number(s.verbs, v)
			}
			for _, pattern := range m.resources {
				name, group, sub, grouped := cutResource(pattern)
				number(s.resources, name)
				number(s.subresources, sub)
				if grouped {
					number(s.groups, group)
				}
			}
		}
	}
	return s
}

// Rules are those of the set, by name. The slice is not to be changed.
func (s *Set) Rules() []*Rule { return s.rules }

// Rule is the one of a name, or nil.
func (s *Set) Rule(name string) *Rule {
	if i, ok := slices.BinarySearchFunc(s.rules, name, func(r *Rule, n string) int { return cmp.Compare(r.Name, n) }); ok {
		return s.rules[i]
	}
	return nil
}

// kind is what rules can tell of an event by its verb and resource.
type kind struct {
	verb, group, resource, subresource uint16
	none                               bool // it is for no resource
	who                                string
}

func (s *Set) kindOf(e *audit.Event) kind {
	if e.Resource == "" {
		return kind{verb: s.verbs[e.Verb], none: true}
	}
	k := kind{verb: s.verbs[e.Verb], group: s.groups[e.APIGroup], resource: s.resources[e.Resource], subresource: s.subresources[e.Subresource]}
	if k.subresource == 0 && e.Subresource != "" {
		k.subresource = 1<<16 - 1 // one that is not named is still one: pods/* is not pods
	}
	return k
}

// maxKinds is how many kinds of events are remembered with their rules. There are no more
// than what rules name can be put together with four kinds of users.
const maxKinds = 1 << 14

// Evaluator asks the rules of a Set about one event after the other. It is for one
// goroutine at a time.
type Evaluator struct {
	set *Set
	in  condition.Input
	// kinds are the rules that may have a say about a kind.
	kinds map[kind][]*Rule
	hits  []Hit
	// failed is how often a rule's expressions could not be evaluated, and why the last time.
	failed map[*Rule]failure
}

type failure struct {
	times int64
	last  string
}

// Hit is a rule whose match and condition an event meets.
type Hit struct {
	Rule *Rule
	// steps are those of a sequence or an absence that the event is.
	steps uint16
}

// NewEvaluator makes an Evaluator.
func (s *Set) NewEvaluator() *Evaluator {
	return &Evaluator{set: s, kinds: map[kind][]*Rule{}, failed: map[*Rule]failure{}}
}

// Evaluate is which rules match an event, by name. The slice is good until the next call.
func (v *Evaluator) Evaluate(ctx context.Context, e *audit.Event) []Hit {
	v.in.Set(e)
	k := v.set.kindOf(e)
	k.who = v.in.Who()
	rules, known := v.kinds[k]
	if !known {
		rules = v.rulesOf(e)
		if len(v.kinds) >= maxKinds {
			clear(v.kinds)
		}
		v.kinds[k] = rules
	}
	v.hits = v.hits[:0]
	if len(rules) == 0 {
		return v.hits
	}
	for _, r := range rules {
		bits, err := r.bits(ctx, &v.in)
		if err != nil {
			v.fail(r, err)
		}
		if bits != 0 {
			v.hits = append(v.hits, Hit{r, bits})
		}
	}
	return v.hits
}

func (v *Evaluator) fail(r *Rule, err error) {
	f := v.failed[r]
	f.times++
	f.last = err.Error()
	v.failed[r] = f
}

// failures is how often an expression of any rule could not be evaluated.
func (v *Evaluator) failures() (n int64) {
	for _, f := range v.failed {
		n += f.times
	}
	return n
}

// rulesOf are the rules that may match some event of the same kind.
func (v *Evaluator) rulesOf(e *audit.Event) (rules []*Rule) {
	for _, r := range v.set.rules {
		if r.Operator() != "absence" && r.condition.Never(&v.in) {
			continue
		}
		if slices.ContainsFunc(r.matches, func(m match) bool {
			if len(m.verbs) > 0 && !slices.Contains(m.verbs, e.Verb) {
				return false
			}
			// What names or paths with stars match is not the same for all of a kind.
			if m.patterns && e.Resource != "" || len(m.paths) > 0 && e.Resource == "" {
				return true
			}
			return m.target(e)
		}) {
			rules = append(rules, r)
		}
	}
	return rules
}

// Bodies reports whether some rule looks at what was written.
func (s *Set) Bodies() bool { return slices.ContainsFunc(s.rules, (*Rule).Bodies) }

// String tells how many rules there are.
func (s *Set) String() string { return fmt.Sprintf("%d rules", len(s.rules)) }
