package policy

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/gate"
)

// Policy is one rule, compiled. It is safe for concurrent use and does not change.
// It is a Mutator, a Validator, or both.
type Policy interface {
	// Source is the object that states it: a Constraint, a binding, a policy.
	Source() gate.Source
	// Selectors say what it can match at all; one of them must match for the policy
	// to be asked. They may say too much, never too little.
	Selectors() []Selector
}

// Validator is a policy that judges objects.
type Validator interface {
	Policy
	// Validate says what is wrong with a request, and nothing where all is well or
	// the policy does not match after all. An evaluation that failed is a Result
	// with Err. It ends early when ctx does.
	Validate(ctx context.Context, r *Request) []Result
}

// Mutator is a policy that changes objects.
type Mutator interface {
	Policy
	// Mutate returns the object as the policy would have it, or nil where it has
	// nothing to change. The one it is shown stays as it is. An error is treated by
	// FailurePolicy.
	Mutate(ctx context.Context, r *Request) (*unstructured.Unstructured, error)
	// Mutation is how the policy stands among the others.
	Mutation() Mutation
}

// Mutation is how a mutator stands among the others.
type Mutation struct {
	// Order is the number of the annotation gatehouse.io/mutation-order: smaller
	// ones run first. Default: 0.
	Order int
	// Last puts it behind the mutators of other engines: an API server asks
	// MutatingAdmissionPolicies after its other built-in mutators.
	Last bool
	// MaxRuns is how often it may run for one request: 1 for a
	// MutatingAdmissionPolicy that is never invoked again, 2 for one that is
	// invoked again if needed. 0: as often as it takes.
	MaxRuns int
	// IgnoreFailure lets the request pass without the mutation where that fails.
	IgnoreFailure bool
}

// Grouper is a Mutator that makes one mutation with others: what an object becomes is
// for all of them to say together, where their own language has it so.
type Grouper interface {
	Mutator
	// Group is a word that is equal for those of one group, and stands for the kind of
	// their sources where mutators are put in order. Those of another Order are a group
	// of their own.
	Group() string
	// MutateAll is Mutate for members of the group, which are in their order and match
	// by their Selectors. trace says that the changes of each are wanted. An error is a
	// MutationError, or is that of the first member.
	MutateAll(ctx context.Context, r *Request, members []Mutator, trace bool) (*Changes, error)
}

// Changes are what a group came to.
type Changes struct {
	// Object is what they made; nil where there is nothing to change.
	Object *unstructured.Unstructured
	// By are the changes that led to it, in their order.
	By []Change
}

// Change is what one mutator of a group did.
type Change struct {
	By Mutator
	// Before and After are the object; nil where no trace was wanted.
	Before, After *unstructured.Unstructured
}

// MutationError says which members of a group failed, or are why it did.
type MutationError struct {
	By  []Mutator
	Err error
}

func (e *MutationError) Error() string { return e.Err.Error() }

// Unwrap implements errors' interface.
func (e *MutationError) Unwrap() error { return e.Err }

// OrderAnnotation orders mutators of every engine. Its value is an integer.
const OrderAnnotation = "gatehouse.io/mutation-order"

// Batcher is a Validator that is asked together with others of its kind, where one
// evaluation for all of them costs less than one for each.
type Batcher interface {
	Validator
	// Batch is equal for those that can be asked together.
	Batch() any
	// ValidateAll judges for all of them; results[i] is what policies[i] says. Those
	// are of this Batch, and match by their Selectors.
	ValidateAll(ctx context.Context, r *Request, policies []Validator) [][]Result
}

// Compound is a Policy that is made of several objects.
type Compound interface {
	Policy
	// Sources are those objects, its own Source first. Of a Policy that is no Compound
	// a mount knows the Source alone, and takes every other object for a part of it.
	Sources() []gate.Source
	// Lookups are the kinds that it looks up.
	Lookups() []schema.GroupVersionKind
}

// Action is what becomes of a request that breaks a policy: the one mapping of
// validationActions, enforcementAction and validationFailureAction.
type Action string

const (
	Deny  Action = "deny"  // refuse it: Deny, deny, Enforce
	Warn  Action = "warn"  // tell the client: Warn, warn
	Audit Action = "audit" // write it down: Audit, dryrun, report
)

// Result is one thing that a policy has to say of a request.
type Result struct {
	// Actions are what it asks for. Of a Result without one only a trace tells.
	Actions []Action
	// Message is a sentence for who made the request. It is the policy's, and may
	// hold what the request says: printers escape it.
	Message string
	// Reason and Code are those of a refusal. Default: Forbidden and 403.
	Reason metav1.StatusReason
	// Err says that the policy could not be evaluated. Actions are then those of its
	// failure policy; none means that it is ignored, and a step of the trace tells.
	Err error
	// Sources said so: the most specific first, such as a binding and its policy.
	// Default: that of the policy.
	Sources []gate.Source
	// Path is the field it speaks of: spec.containers[0].image. Empty where it is
	// not known.
	Path string
	// Hidden says that what stands at Path may be a secret: nobody shows it.
	Hidden bool
	// Images are those it speaks of; empty where it speaks of none by itself.
	Images []string
	// Fix is an RFC 6902 patch that the policy itself states would mend it.
	Fix []byte
	// Annotations are for the audit event: key and value.
	Annotations map[string]string
	// Details are what the policy's language adds for machines; nil for none.
	Details any
}

func (m Mutation) stage() int {
	if m.Last {
		return 1
	}
	return 0
}
