package policy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime/debug"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/internal/auditid"
)

// NothingWrong is the reason of the step of a validator that has nothing to say.
const NothingWrong = "nothing is wrong"

// errTime is what is said of policies that the time did not reach.
var errTime = errors.New("the time for the request's policies is over")

// Mutate asks the mutators, in their order, until the object has settled. The
// Request then has the object they made. Where one fails whose failure counts, or
// the object does not settle, that is a denial.
func (s *Set) Mutate(ctx context.Context, r *Request) *Outcome {
	matching := s.mutators.matching(ctx, r)
	if len(matching) == 0 {
		return s.nothing
	}
	out := &Outcome{Asked: len(matching)}
	ctx, cancel := context.WithTimeout(ctx, s.opts.MaxTime)
	defer cancel()
	recorder := gate.RecorderFrom(ctx)

	runs := make([]int, len(matching))
	if r.Again {
		for i := range runs {
			runs[i] = 1
		}
	}
	// seen is the change of the object that a mutator has seen: its own included.
	seen, change := make([]int, len(matching)), 0
	var last []Mutator // those that changed the object in the last pass
	for pass := 0; ; pass++ {
		if pass == s.opts.MaxPasses {
			for _, m := range last {
				out.Denials = append(out.Denials, Said{By: m, Result: Result{Actions: []Action{Deny},
					Message: fmt.Sprintf("it still changes the object after %d passes over all mutations: it and another contradict each other, or it is not idempotent", pass)}})
			}
			break
		}
		last = last[:0]
		for i, m := range matching {
			if g, ok := m.(Grouper); ok {
				if i > 0 && sameGroup(g, matching[i-1]) || pass > 0 && seen[i] == change {
					continue // the first of a group has asked for all, or nothing is new
				}
				last = append(last, s.mutateGroup(ctx, out, recorder, r, g, matching[i:], &change)...)
				seen[i] = change
				continue
			}
			if pass > 0 && seen[i] == change || m.Mutation().MaxRuns > 0 && runs[i] >= m.Mutation().MaxRuns {
				continue
			}
			runs[i]++
			began := s.opts.Now()
			before, err := r.Object()
			if before == nil && err == nil {
				return out // a deletion has nothing to change
			}
			var after *unstructured.Unstructured
			if err == nil {
				after, err = mutate(ctx, m, r)
			}
			took := s.opts.Now().Sub(began)
			if err != nil {
				s.meter(m, r).count(failed, took)
				s.mutationFailed(ctx, out, recorder, r, m, err, took)
				seen[i] = change
				continue
			}
			if after == nil || reflect.DeepEqual(before.Object, after.Object) {
				s.meter(m, r).count(passed, took)
				seen[i] = change
				continue
			}
			if excepted := s.opts.Exceptions.find(ctx, r, namesOf(m), &Result{}, s.opts.Now()); excepted != nil {
				s.meter(m, r).count(letThrough, took)
				out.Excepted = append(out.Excepted, Said{By: m, Exception: excepted, Result: Result{Message: "would change the object"}})
				recorder.Record(exceptedStep(m.Source(), excepted, "it would change the object", took))
				seen[i], runs[i] = change, int(^uint(0)>>1)
				continue
			}
			s.meter(m, r).count(changed, took)
			change++
			seen[i] = change
			last = append(last, m)
			if recorder != nil {
				recorder.Record(gate.Step{Gate: Gate, Part: Part, Opinion: gate.Mutate, Sources: []gate.Source{m.Source()}, Patch: Patch(before.Object, after.Object), Took: took})
			}
			r.SetObject(after)
			out.Changed = true
		}
		if len(last) == 0 {
			break
		}
	}
	out.recordDenials(recorder)
	return out
}

func sameGroup(g Grouper, m Mutator) bool {
	other, ok := m.(Grouper)
	return ok && other.Group() == g.Group() && other.Mutation().Order == g.Mutation().Order
}

// mutateGroup asks the members of a group, which are the first of those given, and
// returns the ones that changed the object. Where an Exception names one of these, all
// are asked again without it.
func (s *Set) mutateGroup(ctx context.Context, out *Outcome, recorder *gate.Recorder, r *Request, g Grouper, from []Mutator, change *int) (by []Mutator) {
	n := slices.IndexFunc(from, func(m Mutator) bool { return !sameGroup(g, m) })
	if n < 0 {
		n = len(from)
	}
	members := slices.Clone(from[:n])
	for len(members) > 0 {
		began := s.opts.Now()
		changes, err := mutateAll(ctx, g, r, members, recorder != nil)
		took := s.opts.Now().Sub(began)
		var culprits []Mutator
		if err != nil {
			culprits = members[:1]
			if of := (*MutationError)(nil); errors.As(err, &of) && len(of.By) > 0 {
				culprits, err = of.By, of.Err
			}
		} else {
			for _, c := range changes.By {
				if !slices.Contains(culprits, c.By) {
					culprits = append(culprits, c.By)
				}
			}
		}
		excepted := slices.DeleteFunc(slices.Clone(culprits), func(m Mutator) bool { return !s.exceptMutator(ctx, out, recorder, r, m, err, took) })
		if len(excepted) > 0 {
			members = slices.DeleteFunc(members, func(m Mutator) bool { return slices.Contains(excepted, m) })
			continue
		}
		if err != nil {
			for _, m := range culprits {
				s.meter(m, r).count(failed, took)
				out.Denials = append(out.Denials, Said{By: m, Result: Result{Actions: []Action{Deny}, Err: err}})
			}
			return nil
		}
		for _, m := range members {
			what := passed
			if slices.Contains(culprits, m) {
				what = changed
			}
			s.meter(m, r).count(what, took/time.Duration(len(members)))
		}
		if changes.Object == nil {
			return nil
		}
		if recorder != nil {
			for _, c := range changes.By {
				if patch := Patch(c.Before.Object, c.After.Object); patch != nil {
					recorder.Record(gate.Step{Gate: Gate, Part: Part, Opinion: gate.Mutate, Sources: []gate.Source{c.By.Source()}, Patch: patch, Took: took / time.Duration(len(members))})
				}
			}
		}
		if before, err := r.Object(); err != nil || reflect.DeepEqual(before.Object, changes.Object.Object) {
			return nil
		}
		r.SetObject(changes.Object)
		*change++
		out.Changed = true
		return culprits
	}
	return nil
}

// exceptMutator reports whether an Exception takes back what a mutator did, or that it
// failed.
func (s *Set) exceptMutator(ctx context.Context, out *Outcome, recorder *gate.Recorder, r *Request, m Mutator, err error, took time.Duration) bool {
	said := Said{By: m, Result: Result{Message: "would change the object", Err: err}}
	text := "it would change the object"
	if err != nil {
		said.Message = ""
		text = said.sentence()
	}
	if said.Exception = s.opts.Exceptions.find(ctx, r, namesOf(m), &said.Result, s.opts.Now()); said.Exception == nil {
		return false
	}
	s.meter(m, r).count(letThrough, took)
	out.Excepted = append(out.Excepted, said)
	recorder.Record(exceptedStep(m.Source(), said.Exception, text, took))
	return true
}

func mutateAll(ctx context.Context, g Grouper, r *Request, members []Mutator, trace bool) (changes *Changes, err error) {
	if ctx.Err() != nil {
		return nil, errTime
	}
	defer recovered(ctx, g.Source(), &err)
	return g.MutateAll(ctx, r, members, trace)
}

func (s *Set) mutationFailed(ctx context.Context, out *Outcome, recorder *gate.Recorder, r *Request, m Mutator, err error, took time.Duration) {
	said := Said{By: m, Result: Result{Err: err}}
	excepted := s.opts.Exceptions.find(ctx, r, namesOf(m), &said.Result, s.opts.Now())
	switch {
	case excepted != nil:
		said.Exception = excepted
		out.Excepted = append(out.Excepted, said)
		recorder.Record(exceptedStep(m.Source(), excepted, said.sentence(), took))
	case m.Mutation().IgnoreFailure && !errors.As(err, new(*panicked)):
		recorder.Record(gate.Step{Gate: Gate, Part: Part, Opinion: gate.NoOpinion, Reason: said.sentence() + " (its failure policy is Ignore)", Sources: []gate.Source{m.Source()}, Took: took})
	default:
		said.Actions = []Action{Deny}
		out.Denials = append(out.Denials, said)
	}
}

// panicked is a policy that panicked: it is refused, whatever its failure policy.
type panicked struct{ what string }

func (p *panicked) Error() string { return "it panicked; the log says where" }

func recovered(ctx context.Context, source gate.Source, to *error) {
	if p := recover(); p != nil {
		auditid.Log(ctx).Error(nil, "A policy panicked; the request is refused", "policy", source.String(), "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		*to = &panicked{fmt.Sprintf("%T", p)}
	}
}

func mutate(ctx context.Context, m Mutator, r *Request) (after *unstructured.Unstructured, err error) {
	if ctx.Err() != nil {
		return nil, errTime
	}
	defer recovered(ctx, m.Source(), &err)
	return m.Mutate(ctx, r)
}

// Validate asks every validator that matches. One that had nothing to say of a request
// that was equal in all it reads is not asked again, unless somebody wants a trace.
func (s *Set) Validate(ctx context.Context, r *Request) *Outcome {
	matching := s.validators.matching(ctx, r)
	if len(matching) == 0 {
		return s.nothing
	}
	out := &Outcome{Asked: len(matching)}
	ctx, cancel := context.WithTimeout(ctx, s.opts.MaxTime)
	defer cancel()
	recorder := gate.RecorderFrom(ctx)
	var recalled *recollection
	if recorder == nil {
		recalled = s.memory.recall(ctx, r, byValidate)
	}

	known := make([]bool, len(matching))
	for i, j := range matching {
		known[i] = recalled.known(j)
	}
	batches := s.askBatches(ctx, r, matching, known)
	var began time.Time // of the evaluation at hand: where the one before it ended
	for i, j := range matching {
		if known[i] {
			j.meterFor(r).countKnown()
			continue
		}
		var results []Result
		var took time.Duration
		if of, ok := j.Validator.(Batcher); ok {
			b := batchOf(batches, of.Batch())
			results, took = b.answer(of)
			r.unsettled = b.unsettled
		} else {
			if began.IsZero() {
				began = s.opts.Now()
			}
			r.unsettled = false
			results = one(ctx, j.Validator, r)
			ended := s.opts.Now()
			took, began = ended.Sub(began), ended
		}
		if len(results) > 0 {
			began = time.Time{} // what is done with them is not the next one's time
		} else {
			if !r.unsettled {
				recalled.learn(j)
			}
			if recorder != nil {
				recorder.Record(gate.Step{Gate: Gate, Part: Part, Opinion: gate.NoOpinion, Reason: NothingWrong, Sources: []gate.Source{j.Source()}, Took: took})
			}
		}
		before := out.tally()
		for i := range results {
			s.take(ctx, out, recorder, r, j.Validator, &results[i], took)
		}
		j.meterFor(r).count(out.since(before), took)
	}
	return out
}

func one(ctx context.Context, v Validator, r *Request) (results []Result) {
	if ctx.Err() != nil {
		return []Result{{Actions: []Action{Deny}, Err: errTime}}
	}
	var err error
	defer func() {
		if err != nil {
			results = []Result{{Actions: []Action{Deny}, Err: err}}
		}
	}()
	defer recovered(ctx, v.Source(), &err)
	if results = v.Validate(ctx, r); len(results) == 0 && ctx.Err() != nil {
		err = errTime // it may have ended early
	}
	return results
}

func several(ctx context.Context, b Batcher, r *Request, together []Validator) (results [][]Result) {
	refuse := func(err error) [][]Result {
		all := make([][]Result, len(together))
		for i := range all {
			all[i] = []Result{{Actions: []Action{Deny}, Err: err}}
		}
		return all
	}
	if ctx.Err() != nil {
		return refuse(errTime)
	}
	var err error
	defer func() {
		if err != nil {
			results = refuse(err)
		}
	}()
	defer recovered(ctx, b.Source(), &err)
	results = b.ValidateAll(ctx, r, together)
	if len(results) != len(together) {
		err = fmt.Errorf("it answers %d of %d policies", len(results), len(together))
		return results
	}
	if ctx.Err() != nil {
		late := refuse(errTime)
		for i := range results {
			if len(results[i]) == 0 { // it may have ended early
				results[i] = late[i]
			}
		}
	}
	return results
}

// take puts a result where it belongs.
func (s *Set) take(ctx context.Context, out *Outcome, recorder *gate.Recorder, r *Request, v Validator, result *Result, took time.Duration) {
	said := Said{Result: *result, By: v}
	if len(result.Annotations) > 0 {
		if out.Annotations == nil {
			out.Annotations = map[string]string{}
		}
		maps.Copy(out.Annotations, result.Annotations)
	}
	if len(result.Actions) == 0 {
		switch {
		case result.Err != nil:
			out.Ignored = append(out.Ignored, said)
			recorder.Record(gate.Step{Gate: Gate, Part: Part, Opinion: gate.NoOpinion, Reason: said.sentence() + " (its failure policy is Ignore)", Sources: said.sources(), Took: took})
		case recorder != nil && result.Message != "":
			recorder.Record(gate.Step{Gate: Gate, Part: Part, Opinion: gate.NoOpinion, Reason: result.Message, Sources: said.sources(), Took: took})
		}
		return
	}
	if s.opts.Exceptions != nil {
		sources := append(slices.Clip(said.sources()), v.Source())
		if said.Exception = s.opts.Exceptions.find(ctx, r, sources, result, s.opts.Now()); said.Exception != nil {
			out.Excepted = append(out.Excepted, said)
			recorder.Record(exceptedStep(said.sources()[0], said.Exception, said.sentence(), took))
			return
		}
	}
	opinion := gate.NoOpinion
	for _, action := range result.Actions {
		switch action {
		case Deny:
			opinion = gate.Deny
			out.Denials = append(out.Denials, said)
		case Warn:
			if opinion != gate.Deny {
				opinion = gate.Warn
			}
			out.Warnings = append(out.Warnings, said)
		case Audit:
			out.Audits = append(out.Audits, said)
		default: // an engine of ours is wrong: no answer is no
			opinion = gate.Deny
			said.Message += fmt.Sprintf(" (the action %q is not known)", action)
			out.Denials = append(out.Denials, said)
		}
	}
	if recorder != nil {
		reason := said.sentence()
		if opinion == gate.NoOpinion {
			reason += " (written to the audit log alone)"
		}
		recorder.Record(gate.Step{Gate: Gate, Part: Part, Opinion: opinion, Reason: reason, Sources: said.sources(), Took: took})
	}
}

func (o *Outcome) recordDenials(recorder *gate.Recorder) {
	if recorder == nil {
		return
	}
	for i := range o.Denials {
		recorder.Record(gate.Step{Gate: Gate, Part: Part, Opinion: gate.Deny, Reason: o.Denials[i].sentence(), Sources: o.Denials[i].sources()})
	}
}

func exceptedStep(by gate.Source, e *Exception, reason string, took time.Duration) gate.Step {
	return gate.Step{Gate: Gate, Part: Part, Opinion: gate.NoOpinion, Took: took,
		Reason:  fmt.Sprintf("excepted by %s, until %s: %s", e.Spec.Owner, e.Spec.ExpiresAt.UTC().Format(time.RFC3339), reason),
		Sources: []gate.Source{e.Source, by}}
}
