package v1alpha1

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"
)

// scalar decodes one value: a string, a boolean, a whole number, or a type that
// reads itself from JSON (metav1.Duration, resource.Quantity).
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	tag := n.ShortTag()
	if n.Kind != yaml.ScalarNode {
		d.wrongType(n, v.Type(), path)
		return
	}
	if u, ok := v.Addr().Interface().(json.Unmarshaler); ok {
		d.unmarshal(n, u, v.Type(), path)
		return
	}
	switch {
	case v.Kind() == reflect.String && tag == "!!str":
		v.SetString(n.Value)
	case v.Kind() == reflect.Bool && tag == "!!bool":
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case v.Kind() == reflect.Int32 && tag == "!!int":
		var i int64
		if err := n.Decode(&i); err != nil || i < math.MinInt32 || i > math.MaxInt32 {
			d.fail(n, path, "", "%s: want a whole number from %d to %d, have %s", path, math.MinInt32, math.MaxInt32, clip(n.Value))
			return
		}
		v.SetInt(i)
	default:
		d.wrongType(n, v.Type(), path)
	}
}

// unmarshal hands the scalar as a JSON string to a type that reads itself.
func (d *decoder) unmarshal(n *yaml.Node, u json.Unmarshaler, t reflect.Type, path string) {
	quantity := t == reflect.TypeFor[resource.Quantity]()
	switch tag := n.ShortTag(); {
	case tag == "!!str" || quantity && (tag == "!!int" || tag == "!!float"):
	default:
		d.wrongType(n, t, path)
		return
	}
	text, err := json.Marshal(n.Value)
	// Beyond this length a quantity is no size any more, and costs too much to compute with.
	if len(n.Value) > 64 {
		err = errors.New("too long")
	}
	if err == nil {
		err = u.UnmarshalJSON(text)
	}
	if err != nil {
		d.fail(n, path, "", "%s: want %s, have %s", path, want(t), quote(n.Value))
	}
}

// wrongType reports that n is not what a field of type t is written as.
func (d *decoder) wrongType(n *yaml.Node, t reflect.Type, path string) {
	hint := ""
	scalar := n.Kind == yaml.ScalarNode
	switch {
	case t.Kind() == reflect.String && scalar && !isNull(n):
		hint = "put it in quotes: " + strconv.Quote(clip(n.Value))
	case isSections(t):
		hint = `write a list, each item with its fields: "- name: value"`
	case t.Kind() == reflect.Slice && scalar:
		hint = `write a list: ["…", "…"]`
	case t.Kind() == reflect.Bool && scalar:
		switch strings.ToLower(n.Value) {
		case "yes", "y", "on", "true":
			hint = "write true"
		case "no", "n", "off", "false":
			hint = "write false"
		}
	}
	d.fail(n, path, hint, "%s: want %s, have %s", path, want(t), have(n))
}

// have says in words what a node is. It never shows the value: a value in the
// wrong place may be one that nobody is to see.
func have(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "a boolean"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	default:
		return "a string"
	}
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// quote shows a string of the file in a message: on one line, and not too long.
func quote(s string) string { return strconv.Quote(clip(s)) }

func clip(s string) string {
	const longest = 80
	if r := []rune(s); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return s
}
