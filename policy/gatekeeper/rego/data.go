package rego

import (
	"context"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
)

// Data is what templates look up: data.inventory, as it was at one moment. It is a store
// of OPA that can be read only, and is terms already: OPA's own would make terms anew for
// each question.
type Data struct {
	storage.WritesNotSupported
	storage.TriggersNotSupported
	storage.PolicyNotSupported

	root ast.Value
}

var _ storage.Store = &Data{}

// nothing is Data without an object.
var nothing = (&Inventory{}).Data()

// transaction is of a store that does not change.
type transaction struct{}

// ID implements storage.Transaction.
func (transaction) ID() uint64 { return 0 }

// NewTransaction implements storage.Store.
func (d *Data) NewTransaction(context.Context, ...storage.TransactionParams) (storage.Transaction, error) {
	return transaction{}, nil
}

// Commit implements storage.Store.
func (d *Data) Commit(context.Context, storage.Transaction) error { return nil }

// Abort implements storage.Store.
func (d *Data) Abort(context.Context, storage.Transaction) {}

// Truncate implements storage.Store.
func (d *Data) Truncate(context.Context, storage.Transaction, storage.TransactionParams, storage.Iterator) error {
	return &storage.Error{Code: storage.WritesNotSupportedErr}
}

// Read implements storage.Store.
func (d *Data) Read(_ context.Context, _ storage.Transaction, path storage.Path) (any, error) {
	at := d.root
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

// branch is a level of the inventory. Its term is nil once something below has changed.
type branch struct {
	below map[string]*branch
	term  *ast.Term
}

// Put has the object at the path, in place of what was there.
func (i *Inventory) Put(path []string, object map[string]any) error {
	term, err := Term(object)
	if err != nil {
		return err
	}
	i.data = nil
	at := &i.root
	for _, step := range path {
		at.term = nil
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
	*at = branch{term: term}
	return nil
}

// Remove takes away what is at the path. The levels above it stay, as Gatekeeper's do.
func (i *Inventory) Remove(path []string) {
	at := &i.root
	for _, step := range path[:len(path)-1] {
		if at = at.below[step]; at == nil {
			return
		}
	}
	delete(at.below, path[len(path)-1])
	i.data, at = nil, &i.root
	for _, step := range path[:len(path)-1] {
		at.term = nil
		at = at.below[step]
	}
	at.term = nil
}

// Data is what there is now. What comes and goes later does not change it.
func (i *Inventory) Data() *Data {
	if i.data == nil {
		i.data = &Data{root: ast.NewObject([2]*ast.Term{ast.StringTerm("inventory"), i.root.made()})}
	}
	return i.data
}

// made is the level as a term; levels below that have not changed are the same terms as
// before.
func (b *branch) made() *ast.Term {
	if b.term == nil {
		pairs := make([][2]*ast.Term, 0, len(b.below))
		for step, next := range b.below {
			pairs = append(pairs, [2]*ast.Term{ast.StringTerm(step), next.made()})
		}
		b.term = ast.NewTerm(ast.NewObject(pairs...))
	}
	return b.term
}
