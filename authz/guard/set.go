package guard

import (
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// numbered is a rule and its number in the index.
type numbered struct {
	*rule
	n uint32
}

// Check reports what is wrong with a Guard, as Upsert would, and changes nothing.
func (a *Authorizer) Check(g *v1alpha1.Guard) error {
	_, err := compile(g, a.compiler)
	return refusal(g.Name, err)
}

// Upsert puts a Guard in force, or replaces the one of the same name. One that
// does not compile is in the error and in Invalid. Its last good version stays in
// force; where there is none, and only what narrows it does not compile, it is in
// force without that.
func (a *Authorizer) Upsert(g *v1alpha1.Guard) error {
	compiled, err := compile(g, a.compiler)
	err = refusal(g.Name, err)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.note(g.Name, err)
	if old, ok := a.rules[g.Name]; compiled != nil && (err == nil || !ok || old.broad != "") {
		a.put(g.Name, compiled)
	}
	return err
}

// Delete takes a Guard out of force.
func (a *Authorizer) Delete(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.invalid, name)
	a.put(name, nil)
}

// Replace makes the authorizer hold these Guards and no others. Those that do not
// compile are in the error and in Invalid; what is in force of them is as Upsert
// has it.
func (a *Authorizer) Replace(guards []v1alpha1.Guard) error {
	compiled, errs := make([]*rule, len(guards)), make([]error, len(guards))
	for i := range guards {
		compiled[i], errs[i] = compile(&guards[i], a.compiler)
		errs[i] = refusal(guards[i].Name, errs[i])
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	in := make(map[string]*rule, len(guards))
	clear(a.invalid)
	for i := range guards {
		name := guards[i].Name
		a.note(name, errs[i])
		if old, ok := a.rules[name]; errs[i] != nil && ok && (compiled[i] == nil || old.broad == "") {
			compiled[i] = old.rule
		}
		if compiled[i] != nil {
			in[name] = compiled[i]
		}
	}
	e := (&index{seed: a.current.Load().seed}).edit()
	a.rules, a.free, a.replaced = make(map[string]numbered, len(in)), nil, true
	for i, name := range slices.Sorted(maps.Keys(in)) {
		a.rules[name] = numbered{in[name], uint32(i)}
		e.add(uint32(i), in[name])
	}
	a.current.Store(e.x)
	return errors.Join(errs...)
}

// Invalid says what is wrong with each Guard that does not compile, by name.
func (a *Authorizer) Invalid() map[string]error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.invalid)
}

// Len is how many Guards are in force, those whose window is closed included.
func (a *Authorizer) Len() int { return a.current.Load().size }

// put publishes a set in which name has this rule, or none. The caller holds mu.
func (a *Authorizer) put(name string, added *rule) {
	removed, was := a.rules[name]
	if !was && added == nil {
		return
	}
	e := a.current.Load().edit()
	if was {
		e.remove(removed.n, removed.rule)
		a.free = append(a.free, removed.n)
		delete(a.rules, name)
	}
	if added != nil {
		n := uint32(len(a.rules))
		if last := len(a.free) - 1; last >= 0 {
			n, a.free = a.free[last], a.free[:last]
		}
		a.rules[name] = numbered{added, n}
		e.add(n, added)
	}
	a.current.Store(e.x)
}

// note keeps or forgets what is wrong with a Guard. The caller holds mu.
func (a *Authorizer) note(name string, err error) {
	if err != nil {
		a.invalid[name] = err
	} else {
		delete(a.invalid, name)
	}
}

// compiler is that of the options, or upstream's, made once: it is dear, and most
// Guards have no condition.
func (a *Authorizer) compiler() authorizationcel.Compiler {
	a.compilerOnce.Do(func() {
		if a.opts.Compiler == nil {
			a.opts.Compiler = authorizationcel.NewDefaultCompiler()
		}
	})
	return a.opts.Compiler
}

func newIndex() *index { return &index{seed: maphash.MakeSeed()} }

func refusal(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read Guard %q: %w", name, err)
}
