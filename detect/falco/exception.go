package falco

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// condition is when an exception holds: one of its values, each of whose fields compares.
func (e *exception) condition() (*node, error) {
	fields, single, err := texts(&e.Fields)
	if err != nil || len(fields) == 0 {
		return nil, fmt.Errorf("it names no fields")
	}
	comps, _, err := texts(&e.Comps)
	if err != nil {
		return nil, fmt.Errorf("what it compares by cannot be read")
	}
	any := &node{op: "or"}
	if single {
		by := "in"
		if len(comps) > 0 {
			by = comps[0]
		}
		values, _, err := texts(&e.Values)
		if err != nil {
			return nil, fmt.Errorf("its values cannot be read")
		}
		if by == "in" || by == "intersects" || by == "pmatch" {
			return &node{op: "check", field: fields[0], by: by, values: values}, nil
		}
		for _, v := range values {
			any.parts = append(any.parts, &node{op: "check", field: fields[0], by: by, values: []string{v}})
		}
		return orFalse(any), nil
	}
	if e.Values.Kind != 0 && e.Values.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("its values are no list")
	}
	for _, tuple := range e.Values.Content {
		if tuple.Kind != yaml.SequenceNode || len(tuple.Content) != len(fields) {
			return nil, fmt.Errorf("a value at line %d has not one part for each field", tuple.Line)
		}
		all := &node{op: "and"}
		for i, part := range tuple.Content {
			by := "="
			if i < len(comps) {
				by = comps[i]
			}
			values, _, err := texts(part)
			if err != nil || len(values) == 0 {
				return nil, fmt.Errorf("a value at line %d cannot be read", part.Line)
			}
			all.parts = append(all.parts, &node{op: "check", field: fields[i], by: by, values: values})
		}
		any.parts = append(any.parts, all)
	}
	return orFalse(any), nil
}

func orFalse(n *node) *node {
	if len(n.parts) == 0 {
		return &node{op: "false"}
	}
	return n
}

// texts are a text or a list of texts.
func texts(n *yaml.Node) (all []string, single bool, err error) {
	switch n.Kind {
	case 0:
		return nil, false, nil
	case yaml.ScalarNode:
		return []string{n.Value}, true, nil
	case yaml.SequenceNode:
		for _, c := range n.Content {
			if c.Kind == yaml.SequenceNode && len(c.Content) == 1 {
				c = c.Content[0]
			}
			if c.Kind != yaml.ScalarNode {
				return nil, false, fmt.Errorf("line %d is no text", c.Line)
			}
			all = append(all, c.Value)
		}
		return all, false, nil
	}
	return nil, false, fmt.Errorf("line %d is no text and no list", n.Line)
}
