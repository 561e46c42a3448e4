package policy

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/gate"
)

// Options shape a Set. The zero value is ready.
type Options struct {
	// Exceptions take refusals back. Default: none.
	Exceptions *Exceptions
	// MaxPasses is how often all mutators may be gone through for one request.
	// Default: 10.
	MaxPasses int
	// MaxTime bounds the evaluation of one request; a deadline of the context that
	// is nearer counts. Default: 10 s, the longest an API server waits by default.
	MaxTime time.Duration
	// Metrics count what requests cost and what becomes of them. Default: nothing does.
	Metrics *Metrics
	// Elsewhere says that somebody else counts what becomes of requests: the Metrics
	// count the policies that are known alone.
	Elsewhere bool
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

func (o *Options) setDefaults() {
	if o.MaxPasses <= 0 {
		o.MaxPasses = 10
	}
	if o.MaxTime <= 0 {
		o.MaxTime = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Set is the policies in force, indexed. It does not change: a change of policies
// makes another Set.
type Set struct {
	opts       Options
	mutators   index[Mutator]
	validators index[*judge]
	// memory is nil where nothing is remembered.
	memory *memory
	// meters are those of the policies; nil where nothing counts.
	meters map[Policy]*meter
	// nothing is the outcome of requests that no policy matches. It is never changed.
	nothing *Outcome
}

// NewSet indexes policies. Their order does not matter.
func NewSet(policies []Policy, opts Options) *Set {
	opts.setDefaults()
	s := &Set{opts: opts, nothing: &Outcome{}}
	var mutators []Mutator
	var validators []*judge
	if opts.Metrics != nil && !opts.Elsewhere {
		s.meters = make(map[Policy]*meter, len(policies))
	}
	for _, p := range policies {
		if s.meters != nil {
			s.meters[p] = opts.Metrics.of(p)
		}
		if m, ok := p.(Mutator); ok {
			mutators = append(mutators, m)
		}
		if v, ok := p.(Validator); ok {
			validators = append(validators, &judge{Validator: v, meter: s.meters[p]})
		}
	}
	slices.SortStableFunc(mutators, func(a, b Mutator) int {
		return cmp.Or(cmp.Compare(a.Mutation().stage(), b.Mutation().stage()), cmp.Compare(a.Mutation().Order, b.Mutation().Order), compareSources(rankOf(a), rankOf(b)))
	})
	slices.SortStableFunc(validators, func(a, b *judge) int { return compareSources(a.Source(), b.Source()) })
	s.mutators.build(mutators)
	s.validators.build(validators)
	s.memory = newMemory(validators)
	return s
}

// rankOf is a mutator's source, with the word of its group for a kind: those of a group
// stand together, and within it in the order of kind, namespace and name.
func rankOf(m Mutator) gate.Source {
	source := m.Source()
	if g, ok := m.(Grouper); ok {
		return gate.Source{Kind: g.Group(), Namespace: source.Kind, Name: source.Namespace + "\x00" + source.Name, Part: source.Part}
	}
	return source
}

func compareSources(a, b gate.Source) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Part, b.Part))
}

// Len is how many mutators and validators there are.
func (s *Set) Len() (mutators, validators int) { return len(s.mutators.all), len(s.validators.all) }

// Validators are those that could match a request, in their order.
func (s *Set) Validators(ctx context.Context, r *Request) iter.Seq[Validator] {
	return func(yield func(Validator) bool) {
		for _, j := range s.validators.matching(ctx, r) {
			if !yield(j.Validator) {
				return
			}
		}
	}
}

// Silent reports whether silent says of every validator that could match a request that
// it has nothing to say of it. It is not asked about those that are known to have nothing
// to say, and not after the first that has.
func (s *Set) Silent(ctx context.Context, r *Request, silent func(Validator) bool) bool {
	recalled := s.memory.recall(ctx, r, bySilent)
	matching, known := s.validators.matching(ctx, r), 0
	for _, j := range matching {
		if recalled.known(j) {
			known++
			continue
		}
		r.unsettled = false
		if !silent(j.Validator) {
			return false
		}
		if !r.unsettled {
			recalled.learn(j)
		}
	}
	if known > 0 {
		s.opts.Metrics.addKnown(r, known)
	}
	return true
}

// Mutates reports whether a mutator could match a request.
func (s *Set) Mutates(ctx context.Context, r *Request) bool {
	return len(s.mutators.matching(ctx, r)) > 0
}

// MayExceptMutation reports whether an Exception in force names a mutator that could
// match a request. Whether it lets the request by is Mutate's to say.
func (s *Set) MayExceptMutation(ctx context.Context, r *Request) bool {
	all, now := s.opts.Exceptions.All(), s.opts.Now()
	if len(all) == 0 {
		return false
	}
	return slices.ContainsFunc(s.mutators.matching(ctx, r), func(m Mutator) bool {
		sources := namesOf(m)
		return slices.ContainsFunc(all, func(x *Exception) bool { return !x.Expired(now) && x.names(sources) })
	})
}

// Touches reports whether any policy could match a request.
func (s *Set) Touches(ctx context.Context, r *Request) bool {
	return len(s.mutators.matching(ctx, r)) > 0 || len(s.validators.matching(ctx, r)) > 0
}

// Judges reports whether a validator could match a creation of objects of a kind, in
// whatever namespace.
func (s *Set) Judges(kind schema.GroupVersionKind, resource schema.GroupVersionResource) bool {
	at := placeKey{place{operation: admission.Create, group: kind.Group, resource: resource.Resource, kind: kind.Kind}, resource.Group}
	return len(s.validators.at(at).policies) > 0
}

// Selectors are what the mutators, and the validators, can match between them: what
// a webhook must be registered for.
func (s *Set) Selectors() (mutators, validators []Selector) {
	return s.mutators.selectors(), s.validators.selectors()
}

// namespaceOf is the namespace that selectors see, and its labels.
func namespaceOf(ctx context.Context, r *Request) (name string, known bool, set labels.Set) {
	if kind := r.GetKind(); kind.Group == "" && kind.Kind == "Namespace" {
		o, err := r.Object()
		if o == nil && err == nil {
			o, err = r.OldObject()
		}
		if o == nil || err != nil {
			return cmp.Or(r.GetNamespace(), r.GetName()), false, nil
		}
		return cmp.Or(r.GetNamespace(), r.GetName(), o.GetName()), true, o.GetLabels()
	}
	if name = r.GetNamespace(); name == "" {
		return "", true, nil
	}
	ns, err := r.Namespace(ctx)
	if err != nil || ns == nil {
		return name, false, nil
	}
	return name, true, ns.Labels
}
