package revocation

import (
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// RegistryOptions shape a Registry.
type RegistryOptions struct {
	// HasSynced reports that every Revocation there is has been given to the
	// registry. Asked at each request until it is true once. Default: once
	// Replace has been called, or what Follow follows has been read.
	HasSynced func() bool
}

// Registry is the set of Revocations in force. Requests read it without locks,
// while it changes; it is safe for concurrent use.
type Registry struct {
	opts RegistryOptions

	// synced is set once the set is known to be whole, and never unset.
	synced atomic.Bool

	// current is the set, compiled. Swapped whole under mu; never nil.
	current atomic.Pointer[snapshot]

	// mu guards what follows, and the writing of current.
	mu sync.Mutex

	// rules are those in current, by the name of their object. Of an object that
	// has become malformed it holds the last good version.
	rules map[string]*rule

	// invalid says what is wrong with objects that are malformed, by name.
	invalid map[string]error

	// followed is the HasSynced of Follow's registration, nil before.
	followed func() bool

	// replaced is set by the first Replace.
	replaced bool
}

// snapshot is the whole set at one moment. It never changes.
type snapshot struct {
	seed    maphash.Seed
	indexes [kinds]index

	// size is how many rules there are.
	size int
}

// NewRegistry makes an empty registry, which is not synced.
func NewRegistry(opts RegistryOptions) *Registry {
	r := &Registry{opts: opts, rules: map[string]*rule{}, invalid: map[string]error{}}
	r.current.Store(&snapshot{seed: maphash.MakeSeed()})
	return r
}

// Replace makes the registry hold these Revocations and no others. A malformed
// one is in the error and in Invalid; the others count, and so does its last
// good version where there is one.
func (r *Registry) Replace(revocations []v1alpha1.Revocation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	rules, invalid := make(map[string]*rule, len(revocations)), map[string]error{}
	var errs []error
	for i := range revocations {
		rev := &revocations[i]
		compiled, err := compile(rev)
		if err != nil {
			err = fmt.Errorf("read Revocation %q: %w", rev.Name, err)
			errs = append(errs, err)
			invalid[rev.Name] = err
			compiled = r.rules[rev.Name]
		}
		if compiled != nil {
			rules[rev.Name] = compiled
		}
	}
	next := &snapshot{seed: r.current.Load().seed, size: len(rules)}
	for _, rule := range rules {
		next.indexes[rule.kind].add(next.seed, rule)
	}
	r.rules, r.invalid, r.replaced = rules, invalid, true
	r.current.Store(next)
	return errors.Join(errs...)
}

// Upsert adds a Revocation or replaces the one of the same name. A malformed one
// is in the error and in Invalid, and its last good version stays in force.
func (r *Registry) Upsert(rev *v1alpha1.Revocation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	compiled, err := compile(rev)
	if err != nil {
		err = fmt.Errorf("read Revocation %q: %w", rev.Name, err)
		r.invalid[rev.Name] = err
		return err
	}
	delete(r.invalid, rev.Name)
	r.put(rev.Name, compiled)
	return nil
}

// Delete takes a Revocation out: what it alone refused counts again.
func (r *Registry) Delete(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.invalid, name)
	r.put(name, nil)
}

// Invalid says what is wrong with each malformed Revocation, by name.
func (r *Registry) Invalid() map[string]error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.invalid)
}

// Len is how many Revocations are in force, expired ones included.
func (r *Registry) Len() int { return r.current.Load().size }

// HasSynced reports that the set is known to be whole.
func (r *Registry) HasSynced() bool {
	if r.synced.Load() {
		return true
	}
	if !r.whole() {
		return false
	}
	r.synced.Store(true)
	return true
}

func (r *Registry) whole() bool {
	r.mu.Lock()
	followed, replaced := r.followed, r.replaced
	r.mu.Unlock()
	if r.opts.HasSynced != nil && !r.opts.HasSynced() {
		return false
	}
	if followed != nil {
		return followed()
	}
	return replaced || r.opts.HasSynced != nil
}

// reject lists an object that could not even be read as a Revocation.
func (r *Registry) reject(name string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.invalid[name] = err
}

// put publishes a set in which name has this rule, or none. The caller holds mu.
func (r *Registry) put(name string, added *rule) {
	removed := r.rules[name]
	if removed == nil && added == nil {
		return
	}
	next := *r.current.Load()
	if added != nil {
		next.indexes[added.kind] = next.indexes[added.kind].with(next.seed, added)
		r.rules[name] = added
	} else {
		delete(r.rules, name)
	}
	if removed != nil {
		next.indexes[removed.kind] = next.indexes[removed.kind].without(next.seed, removed)
	}
	next.size = len(r.rules)
	r.current.Store(&next)
}
