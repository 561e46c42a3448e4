package rego

import (
	"context"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
)

// Data is what templates look up: data.inventory, as it was at one moment. It has objects
// as they are in the cluster view, since terms of all that could be looked up would weigh
// several times as much.
type Data struct{ content map[string]any }

// store is Data as one Question sees it: a store of OPA that can be read only. What is
// looked up becomes terms when it is first looked at, for all that are asked.
type store struct {
	storage.WritesNotSupported
	storage.TriggersNotSupported
	storage.PolicyNotSupported

	root ast.Value
}

var _ storage.Store = &store{}

// nothing is a store without an object. Reading it changes nothing in it.
var nothing = &store{root: ast.NewObject([2]*ast.Term{ast.StringTerm("inventory"), ast.ObjectTerm()})}

func (d *Data) store() *store {
	if d == nil {
		return nothing
	}
	return &store{root: ast.LazyObject(d.content)}
}

// transaction is of a store that does not change.
type transaction struct{}

// ID implements storage.Transaction.
func (transaction) ID() uint64 { return 0 }

// NewTransaction implements storage.Store.
func (s *store) NewTransaction(context.Context, ...storage.TransactionParams) (storage.Transaction, error) {
	return transaction{}, nil
}

// Commit implements storage.Store.
func (s *store) Commit(context.Context, storage.Transaction) error { return nil }

// Abort implements storage.Store.
func (s *store) Abort(context.Context, storage.Transaction) {}

// Truncate implements storage.Store.
func (s *store) Truncate(context.Context, storage.Transaction, storage.TransactionParams, storage.Iterator) error {
	return &storage.Error{Code: storage.WritesNotSupportedErr}
}

// Read implements storage.Store.
func (s *store) Read(_ context.Context, _ storage.Transaction, path storage.Path) (any, error) {
	at := s.root
	for _, step := range path {
		var next *ast.Term
		switch of := at.(type) {
		case ast.Object:
			next = of.Get(ast.StringTerm(step))
		case *ast.Array:
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < of.Len() {
				next = of.Elem(i)
			}
		}
		if next == nil {
			return nil, &storage.Error{Code: storage.NotFoundErr}
		}
		at = next.Value
	}
	return at, nil
}

// Inventory makes Data of objects that come and go. The zero value has none.
type Inventory struct {
	root branch
	data *Data
}

// branch is a level of the inventory. Its content is nil once something below has changed,
// and is never changed itself: who has it keeps it.
type branch struct {
	below   map[string]*branch
	content map[string]any
}

// Put has the object at the path, in place of what was there. Nobody may change it.
func (i *Inventory) Put(path []string, object map[string]any) {
	i.data = nil
	at := &i.root
	for _, step := range path {
		at.content = nil
		if at.below == nil {
			at.below = map[string]*branch{}
		}
		next := at.below[step]
		if next == nil {
			next = &branch{}
			at.below[step] = next
		}
		at = next
	}
	*at = branch{content: object}
}

// Remove takes away what is at the path. The levels above it stay, as Gatekeeper's do.
func (i *Inventory) Remove(path []string) {
	levels := []*branch{&i.root}
	for _, step := range path[:len(path)-1] {
		next := levels[len(levels)-1].below[step]
		if next == nil {
			return
		}
		levels = append(levels, next)
	}
	delete(levels[len(levels)-1].below, path[len(path)-1])
	for _, level := range levels {
		level.content = nil
	}
	i.data = nil
}

// Data is what there is now. What comes and goes later does not change it.
func (i *Inventory) Data() *Data {
	if i.data == nil {
		i.data = &Data{map[string]any{"inventory": i.root.made()}}
	}
	return i.data
}

// made is the level as content; levels below that have not changed are the same as before.
func (b *branch) made() map[string]any {
	if b.content == nil {
		b.content = make(map[string]any, len(b.below))
		for step, next := range b.below {
			b.content[step] = next.made()
		}
	}
	return b.content
}
