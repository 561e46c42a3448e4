package gatekeeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/provider"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/rego"
)

// asRego is a constraint in Rego.
type asRego struct{ *constraint }

var _ policy.Batcher = asRego{}

// Validate implements policy.Validator.
func (c asRego) Validate(ctx context.Context, r *policy.Request) []policy.Result {
	return c.ValidateAll(ctx, r, []policy.Validator{c})[0]
}

// Batch implements policy.Batcher: all constraints in Rego are one, which share what is
// made of the request.
func (c asRego) Batch() any { return c.engine }

// ValidateAll implements policy.Batcher.
func (c asRego) ValidateAll(ctx context.Context, r *policy.Request, policies []policy.Validator) [][]policy.Result {
	all := make([][]policy.Result, len(policies))
	a := askedOf(ctx, r)
	concerned := make([]int, 0, len(policies))
	inventory, external := false, false
	for i, p := range policies {
		one := p.(asRego)
		ok, err := one.concerns(a, r)
		switch {
		case err != nil:
			all[i] = one.failed(r, err)
		case ok && len(one.actionsFor(r)) > 0:
			concerned = append(concerned, i)
			inventory, external = inventory || one.template.inventory, external || one.template.external
		}
	}
	if len(concerned) == 0 {
		return all
	}
	var session *provider.Session
	if external {
		session = c.engine.sessionOf(r)
		_ = session.TakeRefusal() // a mutator's, which has been told
	}
	refuse := func(err error, which func(*template) bool) {
		for _, i := range concerned {
			if one := policies[i].(asRego); which(one.template) {
				all[i] = one.failed(r, err)
			}
		}
	}
	q, err := c.engine.question(ctx, r, a, inventory)
	if err != nil {
		refuse(err, func(*template) bool { return true })
		return all
	}
	defer q.Begin(ctx)()
	// Where the Rego of a template fails for one constraint, it answers for none of the
	// template's, as in Gatekeeper, which asks them in one.
	var broken, odd map[*template]error
	asking := map[*template]context.Context{}
	for _, i := range concerned {
		one := policies[i].(asRego)
		if broken[one.template] != nil {
			continue
		}
		with := ctx
		if one.template.external {
			// What was answered once to a template is not asked again for it.
			if with = asking[one.template]; with == nil {
				with = withSession(ctx, session)
				asking[one.template] = with
			}
		}
		found, err := one.template.rego.Violations(with, q, one.parameters)
		switch {
		case errors.As(err, new(*rego.MessageError)):
			put(&odd, one.template, fmt.Errorf("ask %s: %w", one.sources[0], err))
		case err != nil:
			put(&broken, one.template, err)
			continue
		}
		for _, v := range found {
			all[i] = append(all[i], policy.Result{Actions: one.actionsFor(r), Message: v.Message, Sources: one.sources, Details: v.Details})
		}
	}
	for _, i := range concerned {
		one := policies[i].(asRego)
		if err := odd[one.template]; err != nil && broken[one.template] == nil {
			// Gatekeeper answers nothing at all then.
			refuse(err, func(*template) bool { return true })
			return all
		}
		if broken[one.template] != nil {
			all[i] = []policy.Result{{Actions: one.actionsFor(r), Message: broken[one.template].Error(), Sources: one.sources}}
		}
	}
	if external {
		if refused := session.TakeRefusal(); refused != nil {
			// A policy need not look at what it was not told: it would let everything in.
			refuse(refused, func(t *template) bool { return t.external })
		}
	}
	return all
}

func put(to *map[*template]error, t *template, err error) {
	if *to == nil {
		*to = map[*template]error{}
	}
	(*to)[t] = err
}

// question is what all constraints in Rego are asked about a request.
func (e *Engine) question(ctx context.Context, r *policy.Request, a *asked, inventory bool) (q *rego.Question, err error) {
	q = &rego.Question{}
	if inventory {
		if q.Data, err = e.inventory.sync(ctx, r.Cluster); err != nil {
			return nil, fmt.Errorf("read what the policy looks up: %w", err)
		}
	}
	if a.review == nil {
		if a.review, err = e.reviewOf(r, a); err != nil {
			return nil, fmt.Errorf("make the review: %w", err)
		}
	}
	q.Review = a.review
	return q, nil
}
