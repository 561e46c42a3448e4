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
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/gate"
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
			if excepted := s.opts.Exceptions.find(ctx, r, []gate.Source{m.Source()}, &Result{}, s.opts.Now()); excepted != nil {
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

func (s *Set) mutationFailed(ctx context.Context, out *Outcome, recorder *gate.Recorder, r *Request, m Mutator, err error, took time.Duration) {
	said := Said{By: m, Result: Result{Err: err}}
	excepted := s.opts.Exceptions.find(ctx, r, []gate.Source{m.Source()}, &said.Result, s.opts.Now())
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

func recovered(source gate.Source, to *error) {
	if p := recover(); p != nil {
		klog.ErrorS(nil, "A policy panicked; the request is refused", "policy", source.String(), "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		*to = &panicked{fmt.Sprintf("%T", p)}
	}
}

func mutate(ctx context.Context, m Mutator, r *Request) (after *unstructured.Unstructured, err error) {
	if ctx.Err() != nil {
		return nil, errTime
	}
	defer recovered(m.Source(), &err)
	return m.Mutate(ctx, r)
}

// Validate asks every validator that matches.
func (s *Set) Validate(ctx context.Context, r *Request) *Outcome {
	matching := s.validators.matching(ctx, r)
	if len(matching) == 0 {
		return s.nothing
	}
	out := &Outcome{Asked: len(matching)}
	ctx, cancel := context.WithTimeout(ctx, s.opts.MaxTime)
	defer cancel()
	recorder := gate.RecorderFrom(ctx)

	var batches map[any][]Validator
	for _, v := range matching {
		if b, ok := v.(Batcher); ok {
			if batches == nil {
				batches = map[any][]Validator{}
			}
			batches[b.Batch()] = append(batches[b.Batch()], v)
		}
	}
	var answered map[Validator][]Result
	for _, v := range matching {
		began := s.opts.Now()
		var results []Result
		if b, ok := v.(Batcher); !ok {
			results = one(ctx, v, r)
		} else if given, ok := answered[v]; ok {
			results = given
		} else {
			together := batches[b.Batch()]
			if answered == nil {
				answered = make(map[Validator][]Result, len(matching))
			}
			for i, given := range several(ctx, b, r, together) {
				answered[together[i]] = given
			}
			results = answered[v]
		}
		took := s.opts.Now().Sub(began)
		if recorder != nil && len(results) == 0 {
			recorder.Record(gate.Step{Gate: Gate, Part: Part, Opinion: gate.NoOpinion, Reason: NothingWrong, Sources: []gate.Source{v.Source()}, Took: took})
		}
		before := out.tally()
		for i := range results {
			s.take(ctx, out, recorder, r, v, &results[i], took)
		}
		s.meter(v, r).count(out.since(before), took)
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
	defer recovered(v.Source(), &err)
	return v.Validate(ctx, r)
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
	defer recovered(b.Source(), &err)
	results = b.ValidateAll(ctx, r, together)
	if len(results) != len(together) {
		err = fmt.Errorf("it answers %d of %d policies", len(results), len(together))
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
