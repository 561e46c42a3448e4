package location

import (
	"strconv"
	"strings"
)

// Location is a parsed one: the nodes from the root of an object to a field.
type Location []Node

// Node is one step. A step that is no list is a field of a map; one that is a list
// goes to items of the list that the step before it named.
type Node struct {
	// List says that it goes to the items of a list.
	List bool
	// Name is the name of the field, or that of the key of the items.
	Name string
	// Value is the key's value: a string or an int64; nil with All.
	Value any
	// All says that it goes to all items.
	All bool
}

// Type is what a node takes the value to be that it steps into.
type Type string

// The types of nodes, and of what stands at the end of a location.
const (
	TypeObject  Type = "Object"
	TypeList    Type = "List"
	TypeUnknown Type = "Unknown"
	TypeSet     Type = "Set"
	TypeString  Type = "String"
)

// Type is Object or List.
func (n Node) Type() Type {
	if n.List {
		return TypeList
	}
	return TypeObject
}

// String is a text that parses to the same Location.
func (l Location) String() string {
	var b strings.Builder
	for i, n := range l {
		if !n.List && i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(n.String())
	}
	return b.String()
}

// String is a field's name, or a list's key and value in brackets.
func (n Node) String() string {
	switch v := n.Value.(type) {
	case string:
		return "[" + quote(n.Name) + ": " + quote(v) + "]"
	case int64:
		return "[" + quote(n.Name) + ": " + strconv.FormatInt(v, 10) + "]"
	}
	if n.List {
		return "[" + quote(n.Name) + ": *]"
	}
	return quote(n.Name)
}

func quote(s string) string {
	plain := s != "" && !isDigit(rune(s[0]))
	for _, r := range s {
		plain = plain && isName(r)
	}
	if plain {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
