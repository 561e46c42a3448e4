package location

import (
	"cmp"
	"maps"
	"slices"
)

// Schema is what mutators of one kind of objects take these objects to look like: one
// that goes into spec.containers[name: web] takes containers for a list, and one that
// goes to spec.containers.image for a map. Two that contradict each other are in
// conflict. The zero value is ready.
type Schema[ID cmp.Ordered] struct{ root node[ID] }

// node is one field. children are by name, and by what they are taken for: more than
// one of the latter is a conflict.
type node[ID cmp.Ordered] struct {
	by       set[ID] // who goes through here, or ends here
	ends     set[ID] // who ends here, and lets nobody go further
	children map[string]map[Type]*node[ID]
}

type set[ID cmp.Ordered] map[ID]bool

func (s *set[ID]) add(ids ...ID) {
	if *s == nil {
		*s = set[ID]{}
	}
	for _, id := range ids {
		(*s)[id] = true
	}
}

// Add notes a mutator's location, what it takes its end to be, and whether nobody may
// go further than that.
func (s *Schema[ID]) Add(id ID, l Location, last Type, terminates bool) {
	n := &s.root
	n.by.add(id)
	for i := range l {
		if n.children == nil {
			n.children = map[string]map[Type]*node[ID]{}
		}
		types := n.children[l[i].Name]
		if types == nil {
			types = map[Type]*node[ID]{}
			n.children[l[i].Name] = types
		}
		as := typeAt(l, i, last)
		if types[as] == nil {
			types[as] = &node[ID]{}
		}
		n = types[as]
		n.by.add(id)
	}
	if terminates {
		n.ends.add(id)
	}
}

// typeAt is what a location takes the field at a depth for: that into which it steps.
func typeAt(l Location, depth int, last Type) Type {
	if depth+1 < len(l) {
		return l[depth+1].Type()
	}
	return last
}

// Conflicts are the mutators that the one of a location is in conflict with, itself
// included, in their order; none where there is no conflict.
func (s *Schema[ID]) Conflicts(l Location, last Type) []ID {
	found := set[ID]{}
	n := &s.root
	for i := range l {
		types := n.children[l[i].Name]
		as := typeAt(l, i, last)
		if types[as] == nil {
			break
		}
		conflicts(types, found)
		n = types[as]
	}
	return slices.Sorted(maps.Keys(found))
}

func conflicts[ID cmp.Ordered](types map[Type]*node[ID], found set[ID]) {
	known, ends, goesOn := 0, false, false
	for as, child := range types {
		if as != TypeUnknown {
			known++
		}
		ends = ends || len(child.ends) > 0
		goesOn = goesOn || len(child.children) > 0
	}
	for as, child := range types {
		if as != TypeUnknown && (known > 1 || as == TypeList && len(child.children) > 1) {
			maps.Copy(found, child.by)
		}
		if !ends || !goesOn {
			continue
		}
		maps.Copy(found, child.ends)
		for _, grandchildren := range child.children {
			for _, grandchild := range grandchildren {
				maps.Copy(found, grandchild.by)
			}
		}
	}
}
