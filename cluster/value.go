package cluster

import (
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// mostDeep is how deep the values of an object may be nested. No API goes beyond
// some thirty; what walks objects recursively must not be led on.
const mostDeep = 200

// Value is the object as the API server reads it from this YAML or JSON: maps,
// lists, strings, int64, float64, bool and nil. Aliases and merge keys are
// resolved, and the booleans and numbers of YAML 1.1 are booleans and numbers.
// Repeated fields, keys that are no names, and what JSON cannot say are problems,
// and then there is no value.
func (t *Tree) Value() (map[string]any, []*v1alpha1.FieldError) {
	v := valuer{decoder: decoder{piece: t.piece, left: mostAliased, what: shown(t.Source)}, secret: t.Kind == "Secret"}
	object, _ := v.value(t.Root).(map[string]any)
	if len(v.problems) > 0 {
		return nil, v.problems
	}
	return object, nil
}

// valuer makes plain values of a tree.
type valuer struct {
	decoder
	path []string // of the value that is being made: ".name" and "[0]"
	// secret says that no message may have a value.
	secret bool
}

func (v *valuer) where() string { return strings.TrimPrefix(strings.Join(v.path, ""), ".") }

func (v *valuer) refuse(n *yaml.Node, hint, format string, args ...any) any {
	v.fail(n, v.where(), hint, format, args...)
	return nil
}

func (v *valuer) value(n *yaml.Node) any {
	if len(v.problems) == mostOfOne || v.left < 0 {
		return nil
	}
	if len(v.path) > mostDeep {
		return v.refuse(n, "no API has objects like that; is this the right file?", "it is nested more than %d deep", mostDeep)
	}
	if n.Kind == yaml.AliasNode {
		v.aliases++
		defer func() { v.aliases-- }()
	}
	n, ok := v.resolve(n)
	if !ok {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		v.into(m, n, false)
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			v.path = append(v.path, "["+strconv.Itoa(i)+"]")
			list[i] = v.value(item)
			v.path = v.path[:len(v.path)-1]
		}
		return list
	}
	return v.scalar(n)
}

// resolve follows an alias. A tag that makes a value another one is refused.
func (v *valuer) resolve(n *yaml.Node) (*yaml.Node, bool) {
	if n.Kind != yaml.AliasNode && v.aliases == 0 && n.Style&yaml.TaggedStyle == 0 {
		return n, true
	}
	n, ok := v.plain(n, v.where())
	return n, ok
}

// into puts the fields of a mapping into m. Those of a merged mapping give way to
// what is there.
func (v *valuer) into(m map[string]any, n *yaml.Node, merged bool) {
	var merges []*yaml.Node
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content) && len(v.problems) < mostOfOne; i += 2 {
		key, ok := v.resolve(n.Content[i])
		if !ok {
			continue
		}
		if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
			merges = append(merges, n.Content[i+1])
			continue
		}
		name, ok := v.name(key)
		if !ok {
			continue
		}
		v.path = append(v.path, "."+name)
		if earlier := first[name]; earlier != nil {
			line, _ := v.piece.at(earlier.Line, earlier.Column)
			v.refuse(key, "it is first on line "+strconv.Itoa(line)+"; keep one of the two", "field %s is repeated", quote(v.where()))
		} else if first[name] = key; !merged {
			m[name] = v.value(n.Content[i+1])
		} else if _, there := m[name]; !there {
			m[name] = v.value(n.Content[i+1])
		}
		v.path = v.path[:len(v.path)-1]
	}
	for _, merge := range merges {
		v.merge(m, merge, true)
	}
}

// merge puts what a merge key names into m: a mapping, or a list of them of which
// the earlier ones win.
func (v *valuer) merge(m map[string]any, n *yaml.Node, list bool) {
	if v.left < 0 || len(v.problems) == mostOfOne {
		return
	}
	if len(v.path) > mostDeep {
		v.path = nil // it would be hundreds of merge keys
		v.left = -1
		v.refuse(n, "remove the merge key", "a mapping is merged into itself")
		return
	}
	at := n
	if n.Kind == yaml.AliasNode {
		v.aliases++
		defer func() { v.aliases-- }()
	}
	n, ok := v.resolve(n)
	path := v.path
	v.path = append(v.path, ".<<") // a mapping may merge itself
	defer func() { v.path = path }()
	switch {
	case !ok:
	case n.Kind == yaml.MappingNode:
		v.into(m, n, true)
	case n.Kind == yaml.SequenceNode && list:
		for _, item := range n.Content {
			v.merge(m, item, false)
		}
	default:
		v.refuse(at, "write <<: *name, of a mapping that has &name", "a merge key wants a mapping, has %s", have(n))
	}
}

// name is a key as the API server reads it: numbers and booleans become text.
func (v *valuer) name(key *yaml.Node) (string, bool) {
	if key.Kind == yaml.ScalarNode {
		if isString(key) {
			return key.Value, true
		}
		if key.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) == 0 && key.ShortTag() != "!!null" {
			switch value := v.scalar(key).(type) {
			case int64:
				return strconv.FormatInt(value, 10), true
			case bool:
				return strconv.FormatBool(value), true
			}
		}
	}
	v.refuse(key, `put it in quotes, if it is meant to be a name`, "want a name, have %s", have(key))
	return "", false
}

func (v *valuer) scalar(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!str":
		if n.Style == 0 && isOldBoolean(n.Value) {
			switch n.Value[0] | 0x20 {
			case 'y':
				return true
			case 'o':
				return len(n.Value) == 2
			}
			return false
		}
		return n.Value
	case "!!timestamp":
		return n.Value
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int":
		var i int64
		if n.Decode(&i) == nil {
			return i
		}
		var f float64
		if n.Decode(&f) == nil && !math.IsInf(f, 0) {
			return f
		}
	case "!!float":
		var f float64
		if n.Decode(&f) == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f
		}
	}
	shown := quote(n.Value)
	if v.secret {
		shown = have(n)
	}
	return v.refuse(n, "put it in quotes, if it is meant to be a string", "%s is no value that an object may have", shown)
}
