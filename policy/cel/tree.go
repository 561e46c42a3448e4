package cel

import (
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// What CEL makes of an object without Go types it makes anew of each field that an
// expression goes through. The policies of one request go through the same few, so each is
// made once for them all: a map or list is CEL's own in all that it answers, and keeps what
// it has handed out. It is used by one goroutine at a time, as the view is.

// treeOf is a value with what is in it kept; the value itself where it is no map or list
// as JSON is read into.
func treeOf(value ref.Val) ref.Val {
	if value == nil {
		return nil
	}
	return asTree(value, value.Value())
}

func asTree(value ref.Val, native any) ref.Val {
	switch native := native.(type) {
	case map[string]any:
		if of, ok := value.(celMap); ok {
			return &treeMap{celMap: of, native: native}
		}
	case []any:
		if of, ok := value.(celList); ok && len(native) <= mostKept {
			return &treeList{celList: of, native: native}
		}
	}
	return value
}

// mostKept bounds what is kept of one map or list: with more in it, one that a client has
// made large would cost more to be searched than to be made anew.
const mostKept = 32

// celMap and celList are all that CEL's own are: what an expression asks for by an
// interface must not be hidden.
type celMap interface {
	traits.Mapper
	traits.Foldable
	traits.Zeroer
	types.Adapter
	String() string
}

type celList interface {
	traits.Lister
	traits.Foldable
	traits.Zeroer
	types.Adapter
	String() string
}

type treeMap struct {
	celMap
	native map[string]any
	kept   []keptField
}

type keptField struct {
	name  string
	value ref.Val
}

// Find implements traits.Mapper.
func (m *treeMap) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return m.celMap.Find(key)
	}
	for i := range m.kept {
		if m.kept[i].name == string(name) {
			return m.kept[i].value, true
		}
	}
	native, ok := m.native[string(name)]
	if !ok {
		return nil, false
	}
	value := asTree(m.NativeToValue(native), native)
	if len(m.kept) < mostKept {
		m.kept = append(m.kept, keptField{string(name), value})
	}
	return value, true
}

type treeList struct {
	celList
	native []any
	// kept has all elements, once one was asked for; nil before.
	kept traits.Lister
}

func (l *treeList) elements() traits.Lister {
	if l.kept == nil {
		all := make([]ref.Val, len(l.native))
		for i := range l.native {
			all[i] = asTree(l.NativeToValue(l.native[i]), l.native[i])
		}
		l.kept = types.NewRefValList(l.celList, all)
	}
	return l.kept
}

// Get implements traits.Indexer.
func (l *treeList) Get(index ref.Val) ref.Val { return l.elements().Get(index) }

// Iterator implements traits.Iterable.
func (l *treeList) Iterator() traits.Iterator { return l.elements().Iterator() }
