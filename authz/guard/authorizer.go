package guard

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/gate"
)

// Authorizer refuses requests that Guards touch. It never allows one. Requests
// read it without locks while it changes; it is safe for concurrent use.
type Authorizer struct {
	opts Options

	// compilerOnce guards the writing of opts.Compiler, the one field of opts that
	// is written after New.
	compilerOnce sync.Once

	// refused counts requests that Guards have refused.
	refused atomic.Uint64

	// synced is set once the set is known to be whole, and never unset.
	synced atomic.Bool

	// current is the Guards in force, compiled. Swapped whole under mu; never nil.
	current atomic.Pointer[index]

	// mu guards what follows, and the writing of current.
	mu sync.Mutex

	// rules are those in current, by the name of their Guard, with their numbers.
	rules map[string]numbered

	// free are the numbers below the highest that no rule has.
	free []uint32

	// invalid says what is wrong with Guards that do not compile, by name.
	invalid map[string]error

	// followed is the HasSynced of Follow's registration, nil before.
	followed func() bool

	// replaced is set by the first Replace.
	replaced bool
}

var _ authorizer.Authorizer = (*Authorizer)(nil)

// New makes an authorizer without Guards, which is not synced: it refuses every
// request until it is.
func New(opts Options) *Authorizer {
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	a := &Authorizer{opts: opts, rules: map[string]numbered{}, invalid: map[string]error{}}
	a.current.Store(newIndex())
	return a
}

// HasSynced reports that the set of Guards is known to be whole.
func (a *Authorizer) HasSynced() bool {
	if a.synced.Load() {
		return true
	}
	if !a.whole() {
		return false
	}
	a.synced.Store(true)
	return true
}

func (a *Authorizer) whole() bool {
	a.mu.Lock()
	followed, replaced := a.followed, a.replaced
	a.mu.Unlock()
	if a.opts.HasSynced != nil && !a.opts.HasSynced() {
		return false
	}
	if followed != nil {
		return followed()
	}
	return replaced || a.opts.HasSynced != nil
}

const notSynced = "the Guards have not been read yet"

// Authorize implements authorizer.Authorizer. It denies or has no opinion, and
// returns no error: upstream would answer a denial that has one with 500.
func (a *Authorizer) Authorize(ctx context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
	if !a.HasSynced() {
		gate.RecorderFrom(ctx).Record(gate.Step{Gate: gateName, Part: partName, Opinion: gate.Deny, Reason: notSynced})
		return authorizer.DecisionDeny, notSynced, nil
	}
	current, recorder := a.current.Load(), gate.RecorderFrom(ctx)
	if current.size == 0 && recorder == nil {
		return authorizer.DecisionNoOpinion, "", nil
	}
	q := newRequest(attributes, a.opts.Namespaces, a.opts.Scopes)
	touching := current.touching(&q)
	if len(touching) == 0 {
		recordUntouched(recorder)
		return authorizer.DecisionNoOpinion, "", nil
	}
	// In order of names, so that the reason does not depend on the order in which
	// Guards came in, and is the same on every replica.
	slices.SortFunc(touching, func(a, b *rule) int { return cmp.Compare(a.name, b.name) })
	j := judgement{ctx: ctx, attributes: attributes, recorder: recorder, now: a.opts.Clock.Now()}
	decision, reason, err := j.judge(slices.Compact(touching))
	if decision == authorizer.DecisionDeny {
		a.refused.Add(1)
	}
	return decision, reason, err
}

// Refused is how many requests Guards have refused.
func (a *Authorizer) Refused() uint64 { return a.refused.Load() }

// ConditionsAwareAuthorize implements authorizer.Authorizer.
func (a *Authorizer) ConditionsAwareAuthorize(ctx context.Context, attributes authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(a.Authorize(ctx, attributes))
}

// EvaluateConditions implements authorizer.Authorizer. A Guard's condition is
// about what an authorizer knows, and is judged by Authorize.
func (a *Authorizer) EvaluateConditions(context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}
