package rego

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Question is what is the same for all constraints that are asked about a request. It is
// used by one goroutine at a time.
type Question struct {
	// Review is input.review.
	Review *ast.Term
	// Data is what templates look up; nil for nothing.
	Data *Data

	cancel topdown.Cancel
	// store is Data, with the terms that were made of it so far; made when it is first
	// asked for.
	store *store
}

// Begin has evaluations end with the context. The returned function lets go of it.
func (q *Question) Begin(ctx context.Context) (end func()) {
	q.cancel = topdown.NewCancel()
	if ctx.Err() != nil {
		q.cancel.Cancel()
	}
	stop := context.AfterFunc(ctx, q.cancel.Cancel)
	return func() { stop() }
}

// Violation is one that was found.
type Violation struct {
	Message string
	// Details are what else it says, as JSON.
	Details any
}

// MessageError says that a template says something else than a text: then there is no
// knowing what it finds.
type MessageError struct{ what string }

func (e *MessageError) Error() string {
	return "the msg of a violation is " + e.what + ", and has to be a string"
}

var (
	reviewTerm     = ast.InternedTerm("review")
	parametersTerm = ast.InternedTerm("parameters")
)

// Violations are those that a constraint with these parameters finds, each once, in the
// order of their messages. An error that is no MessageError is of the evaluation: of
// rules that contradict each other, or of its end before it was done.
func (p *Program) Violations(ctx context.Context, q *Question, parameters *ast.Term) ([]Violation, error) {
	if q.store == nil {
		q.store = q.Data.store()
	}
	input := ast.NewTerm(ast.NewObject([2]*ast.Term{reviewTerm, q.Review}, [2]*ast.Term{parametersTerm, parameters}))
	query := topdown.NewQuery(p.asked).WithCompiler(p.compiler).WithQueryCompiler(p.query).
		WithStore(q.store).WithTransaction(transaction{}).WithInput(input).WithCancel(q.cancel).WithMetrics(metrics.NoOp())
	type said struct {
		message ast.String
		details ast.Value
	}
	var all []said
	var odd error // told when the evaluation is done: that it fails would come first
	err := query.Iter(ctx, func(found topdown.QueryResult) error {
		message, ok := found[messageVar].Value.(ast.String)
		if !ok {
			odd = &MessageError{ast.ValueName(found[messageVar].Value)}
			return nil
		}
		all = append(all, said{message, found[detailsVar].Value})
		return nil
	})
	if err = cmp.Or(err, odd); err != nil || len(all) == 0 {
		return nil, err
	}
	compare := func(a, b said) int {
		return cmp.Or(cmp.Compare(a.message, b.message), ast.Compare(a.details, b.details))
	}
	slices.SortFunc(all, compare)
	all = slices.CompactFunc(all, func(a, b said) bool { return compare(a, b) == 0 })
	violations := make([]Violation, len(all))
	for i, one := range all {
		details, err := ast.JSONWithOpt(one.details, ast.JSONOpt{SortSets: true})
		if err != nil {
			return nil, fmt.Errorf("read the details of a violation: %w", err)
		}
		violations[i] = Violation{string(one.message), details}
	}
	return violations, nil
}
