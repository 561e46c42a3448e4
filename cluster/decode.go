package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

const (
	// mostOfOne is how many problems of one object are reported.
	mostOfOne = 20
	// mostAliased is how many values the aliases of one object may stand for.
	mostAliased = 10_000
)

// decoder walks a tree along a Go type and fills it in. It reads what the API
// server reads, and reports everything else: unknown and repeated fields, and
// values of another type.
type decoder struct {
	piece *piece
	// what names the object in messages: "RoleBinding shop/devs".
	what string
	// left is how many values aliases may still stand for, and aliases how many of
	// them the walk is inside of.
	left, aliases int
	// at is the place of each value, by path, for problems that are found later.
	at       map[string]*yaml.Node
	problems []*v1alpha1.FieldError
}

func (d *decoder) fail(n *yaml.Node, path, hint, format string, args ...any) {
	if len(d.problems) == mostOfOne {
		return
	}
	message := fmt.Sprintf(format, args...)
	if d.what != "" {
		message = d.what + ": " + message
	}
	e := d.piece.problem(max(n.Line, 1), max(n.Column, 1), message, hint)
	e.Field = path
	d.problems = append(d.problems, e)
}

// failAt is fail for a path that was decoded; where it is not in the file, the
// nearest one around it is blamed.
func (d *decoder) failAt(path, hint, format string, args ...any) {
	around := path
	for d.at[around] == nil && around != "" {
		around = around[:max(0, strings.LastIndexAny(around, ".["))]
	}
	d.fail(d.at[around], path, hint, format, args...)
}

// plain follows an alias, and refuses tags that change what a value is.
func (d *decoder) plain(n *yaml.Node, path string) (*yaml.Node, bool) {
	alias := n.Kind == yaml.AliasNode
	if alias {
		n = n.Alias
	}
	if alias || d.aliases > 0 {
		if d.left--; d.left == -1 {
			d.fail(n, path, "write the values out", "its aliases stand for more than %d values", mostAliased)
		}
		if d.left < 0 {
			return n, false
		}
	}
	switch {
	case n.Style&yaml.TaggedStyle == 0:
	case n.Tag == "!!str", n.Tag == "!!int", n.Tag == "!!bool", n.Tag == "!!map", n.Tag == "!!seq", n.Tag == "!!null", n.Tag == "!":
	default:
		d.fail(n, path, "remove it", "the tag %s means nothing here", quote(n.Tag))
		return n, false
	}
	return n, true
}

// value decodes n into v. A null leaves v as it is, as in JSON.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if len(d.problems) == mostOfOne {
		return
	}
	aliased := n.Kind == yaml.AliasNode
	n, ok := d.plain(n, path)
	if !ok {
		return
	}
	if aliased {
		d.aliases++
		defer func() { d.aliases-- }()
	}
	if d.at[path] == nil {
		d.at[path] = n
	}
	if isNull(n) {
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if u, ok := v.Addr().Interface().(json.Unmarshaler); ok {
		d.unmarshal(n, u, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.fields(n, v, path)
	case reflect.Map:
		d.names(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.String:
		if n.Kind != yaml.ScalarNode || !isString(n) {
			d.wrongType(n, path, "a string")
			return
		}
		v.SetString(n.Value)
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
			d.wrongType(n, path, "true or false")
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int32, reflect.Int64:
		var i int64
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || n.Decode(&i) != nil || v.OverflowInt(i) || i == math.MinInt64 {
			d.wrongType(n, path, "a whole number")
			return
		}
		v.SetInt(i)
	default:
		d.fail(n, path, "", "%s cannot be read: %s", path, v.Type())
	}
}

// skipped are fields whose value decides nothing and whose form is free.
var skipped = map[string]bool{"metadata.managedFields": true}

// fields decodes a mapping into a struct.
func (d *decoder) fields(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, path, "a mapping of fields")
		return
	}
	known := fieldsOf(v.Type())
	for key, value := range d.entries(n, path, join) {
		p := join(path, key.Value)
		index, ok := known[key.Value]
		switch {
		case !ok:
			d.fail(key, p, suggest(known, key.Value), "unknown field %s", quote(p))
		case !skipped[p]:
			d.value(value, v.FieldByIndex(index), p)
		}
	}
}

// entries yields the keys and values of a mapping, and reports keys that are no
// names or were there before; at makes the path of one.
func (d *decoder) entries(n *yaml.Node, path string, at func(path, key string) string) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		first := make(map[string]*yaml.Node, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content) && len(d.problems) < mostOfOne; i += 2 {
			key, ok := d.plain(n.Content[i], path)
			if !ok {
				continue
			}
			if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
				d.fail(key, path, "write the fields out", "merge keys are not read here")
				continue
			}
			if key.Kind != yaml.ScalarNode || isNull(key) || !isString(key) {
				d.fail(key, path, "", "want a name, have %s", have(key))
				continue
			}
			if earlier := first[key.Value]; earlier != nil {
				line, _ := d.piece.at(earlier.Line, earlier.Column)
				d.fail(key, at(path, key.Value), fmt.Sprintf("it is first on line %d; keep one of the two", line), "field %s is repeated", quote(at(path, key.Value)))
				continue
			}
			first[key.Value] = key
			if !yield(key, n.Content[i+1]) {
				return
			}
		}
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.wrongType(n, path, "a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		p := path + "[" + strconv.Itoa(i) + "]"
		if isNull(item) {
			d.fail(item, p, "remove it, or write a value", "%s is empty", p)
			continue
		}
		d.value(item, v.Index(i), p)
	}
}

func (d *decoder) names(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, path, "a mapping of names to strings")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for key, value := range d.entries(n, path, subscript) {
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(value, elem, subscript(path, key.Value))
		v.SetMapIndex(reflect.ValueOf(key.Value), elem)
	}
}

// unmarshal hands a scalar as a JSON string to a type that reads itself.
func (d *decoder) unmarshal(n *yaml.Node, u json.Unmarshaler, path string) {
	want := "a text"
	if _, ok := u.(*metav1.Time); ok {
		want = "a time such as 2026-01-02T03:04:05Z"
	}
	if n.Kind != yaml.ScalarNode || !isString(n) && n.ShortTag() != "!!timestamp" {
		d.wrongType(n, path, want)
		return
	}
	text, err := json.Marshal(n.Value)
	if err == nil {
		err = u.UnmarshalJSON(text)
	}
	if err != nil {
		d.fail(n, path, "", "%s: want %s, have %s", path, want, quote(n.Value))
	}
}

func (d *decoder) wrongType(n *yaml.Node, path, want string) {
	hint := ""
	switch scalar := n.Kind == yaml.ScalarNode; {
	case n.Kind == yaml.MappingNode && bytes.Contains(firstLine(lineOf(d.piece.data, n.Line)), []byte("{{")):
		hint = templateHint
	case scalar && want == "a string":
		hint = "put it in quotes: " + quote(n.Value)
	case scalar && want == "a list":
		hint = `write a list: ["` + clip(n.Value) + `"]`
	}
	d.fail(n, path, hint, "%s: want %s, have %s", path, want, have(n))
}

// isOldBoolean reports plain scalars that YAML 1.1, which Kubernetes reads, takes
// for booleans, and YAML 1.2 for strings.
func isOldBoolean(text string) bool {
	switch text {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF":
		return true
	}
	return false
}

// isString reports whether Kubernetes reads a scalar as a string.
func isString(n *yaml.Node) bool {
	switch n.ShortTag() {
	case "!!str":
		return n.Style != 0 || !isOldBoolean(n.Value)
	case "!!timestamp":
		return true
	}
	return false
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// have says in words what a node is.
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
	case "!!int", "!!float":
		return "a number"
	case "!!str":
		if isString(n) {
			return "a string"
		}
		return "a boolean"
	case "!!bool":
		return "a boolean"
	}
	return "a value of the type " + clip(n.ShortTag())
}

func quote(s string) string { return strconv.Quote(clip(s)) }

func clip(s string) string {
	const longest = 80
	if r := []rune(s); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return s
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

func subscript(path, key string) string { return path + "[" + key + "]" }
