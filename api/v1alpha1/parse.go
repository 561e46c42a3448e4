package v1alpha1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"

	"go.yaml.in/yaml/v3"
)

const (
	// maxConfigurationBytes bounds a settings file. The longest honest one is a
	// few kilobytes.
	maxConfigurationBytes = 1 << 20

	// maxProblems bounds how many problems of one file are reported together.
	maxProblems = 20

	serveConfigurationKind  = "ServeConfiguration"
	attachConfigurationKind = "AttachConfiguration"
)

var (
	serveConfigurationType  = reflect.TypeFor[ServeConfiguration]()
	attachConfigurationType = reflect.TypeFor[AttachConfiguration]()
)

// ParseServeConfiguration reads a ServeConfiguration from YAML or JSON. The name
// is what errors call the file. It is pure: paths stay as they are written,
// nothing is defaulted, and values are checked for their type only; see
// ReadServeConfiguration, SetDefaults and Validate.
//
// What is wrong is returned as a FieldErrorList: everything at once, up to 20
// problems. An error of syntax, and a file of another kind, stand alone.
//
// Anchors, aliases, merge keys and tags are refused rather than expanded, so
// what a file costs is bounded by its size, and one field is written in one place.
func ParseServeConfiguration(name string, data []byte) (*ServeConfiguration, *Source, error) {
	return parse[ServeConfiguration](serveConfigurationKind, name, data)
}

// ParseAttachConfiguration is ParseServeConfiguration for an AttachConfiguration.
func ParseAttachConfiguration(name string, data []byte) (*AttachConfiguration, *Source, error) {
	return parse[AttachConfiguration](attachConfigurationKind, name, data)
}

// parse reads a settings file of the kind, whose Go type is T.
func parse[T any](kind, name string, data []byte) (*T, *Source, error) {
	if len(data) > maxConfigurationBytes {
		return nil, nil, FieldErrorList{{File: name, Message: "file is larger than 1 MiB",
			Hint: "is this the right file? Settings are a few kilobytes"}}
	}
	document, problem := parseDocument(kind, data)
	if problem != nil {
		problem.File = name
		return nil, nil, FieldErrorList{problem}
	}

	d := decoder{want: kind, root: reflect.TypeFor[T](), source: &Source{file: name, positions: map[string]position{}}}
	root := document.Content[0]
	if d.kind(root); len(d.problems) > 0 {
		return nil, nil, d.problems.orNil()
	}
	cfg := new(T)
	d.value(root, reflect.ValueOf(cfg).Elem(), "")
	if len(d.problems) > 0 {
		return nil, nil, d.problems.orNil()
	}
	return cfg, d.source, nil
}

// parseDocument returns the one YAML document that data holds.
func parseDocument(kind string, data []byte) (*yaml.Node, *FieldError) {
	var document, second yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	switch err := dec.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, emptyFile(kind)
	case err != nil:
		return nil, syntaxError(data, err)
	}
	if root := document.Content[0]; isNull(root) {
		return nil, emptyFile(kind)
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, &FieldError{Line: second.Line, Col: second.Column,
			Message: "a second YAML document begins here, and only one is read",
			Hint:    "settings are a file of their own; remove this document"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(data, err)
	}
	return &document, nil
}

func emptyFile(kind string) *FieldError {
	return &FieldError{Message: "file is empty", Hint: headerHint(kind)}
}

func headerHint(kind string) string {
	return fmt.Sprintf("begin the file with the lines %q and %q", "apiVersion: "+SchemeGroupVersion.String(), "kind: "+kind)
}

// decoder walks a YAML tree along the Go types and fills them in.
type decoder struct {
	// want is the kind that the file must be, and root its Go type.
	want string
	root reflect.Type
	// source collects where each field is; never nil.
	source *Source
	// problems found so far, at most maxProblems.
	problems FieldErrorList
}

func (d *decoder) fail(n *yaml.Node, path, hint, format string, args ...any) {
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, &FieldError{File: d.source.file, Line: n.Line, Col: n.Column,
			Field: path, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
}

// kind checks that the document is of the wanted kind. It comes before all
// else: a file of another kind would only give a wall of unknown fields.
func (d *decoder) kind(root *yaml.Node) {
	if root.Kind != yaml.MappingNode {
		d.fail(root, "", headerHint(d.want), "want a mapping of fields, have %s", have(root))
		return
	}
	for _, f := range []struct{ name, want string }{
		{"apiVersion", SchemeGroupVersion.String()},
		{"kind", d.want},
	} {
		switch n := lookup(root, f.name); {
		case n == nil:
			d.fail(root, f.name, headerHint(d.want), "%s is missing", f.name)
			return
		case n.Kind != yaml.ScalarNode || n.Value != f.want:
			got := have(n)
			if n.Kind == yaml.ScalarNode {
				got = quote(n.Value)
			}
			d.fail(n, f.name, "", "%s: want %q, have %s", f.name, f.want, got)
		}
	}
}

// lookup returns the value of a key of a mapping; nil where it has no such key.
func lookup(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// value decodes n into v. A null leaves v as it is: a section whose every field
// is commented out means the same as no section.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if len(d.problems) == maxProblems || !d.plain(n, path) || isNull(n) {
		return
	}
	if _, ok := d.source.positions[path]; !ok {
		d.source.positions[path] = position{n.Line, n.Column}
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
		if v.Kind() == reflect.Slice { // behind a pointer, [] is not the same as nothing
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
	}
	switch {
	case isLeaf(v.Type()) && v.Kind() != reflect.Slice && v.Kind() != reflect.Map:
		d.scalar(n, v, path)
	case v.Kind() == reflect.Slice:
		d.list(n, v, path)
	case v.Kind() == reflect.Map:
		d.names(n, v, path)
	default:
		d.fields(n, v, path)
	}
}

// plain refuses the parts of YAML that a settings file has no use for.
func (d *decoder) plain(n *yaml.Node, path string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		d.fail(n, path, "write the value out", "aliases are not read here")
	case n.Anchor != "":
		d.fail(n, path, "remove &"+clip(n.Anchor), "anchors are not read here")
	case n.Style&yaml.TaggedStyle != 0:
		d.fail(n, path, "", "tags are not read here")
	default:
		return true
	}
	return false
}

// fields decodes a mapping into a struct.
func (d *decoder) fields(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, v.Type(), path)
		return
	}
	known := members(v.Type())
	for key, value := range d.entries(n, path, join) {
		p := join(path, key.Value)
		m := memberNamed(known, key.Value)
		if m == nil {
			d.fail(key, p, suggest(d.root, path, clip(key.Value)), "unknown field %s", quote(p))
			continue
		}
		if value.Kind != yaml.ScalarNode { // of a section, the place is its name
			d.source.positions[p] = position{key.Line, key.Column}
		}
		d.value(value, v.FieldByIndex(m.index), p)
	}
}

func memberNamed(all []member, name string) *member {
	for i := range all {
		if all[i].name == name {
			return &all[i]
		}
	}
	return nil
}

func subscript(path, key string) string { return path + "[" + key + "]" }

// entries yields the keys and values of a mapping. Keys that are no names, and
// keys that were there before, are reported and left out; at makes the path of
// one from the path of the mapping.
func (d *decoder) entries(n *yaml.Node, path string, at func(path, key string) string) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		first := map[string]int{}
		for i := 0; i+1 < len(n.Content) && len(d.problems) < maxProblems; i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			switch line, repeated := first[key.Value]; {
			case !d.plain(key, path):
			case key.ShortTag() == "!!merge":
				d.fail(key, path, "write the fields out", "merge keys are not read here")
			case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
				d.fail(key, path, "", "want a name, have %s", have(key))
			case repeated:
				p := at(path, key.Value)
				d.fail(key, p, fmt.Sprintf("it is first on line %d; keep one of the two", line), "field %s is repeated", quote(p))
			default:
				first[key.Value] = key.Line
				if !yield(key, value) {
					return
				}
			}
		}
	}
}

// list decodes a sequence. An empty one leaves v nil.
func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.wrongType(n, v.Type(), path)
		return
	}
	for i, item := range n.Content {
		p := fmt.Sprintf("%s[%d]", path, i)
		elem := reflect.New(v.Type().Elem()).Elem()
		if isNull(item) {
			d.wrongType(item, elem.Type(), p)
			continue
		}
		d.value(item, elem, p)
		v.Set(reflect.Append(v, elem))
	}
}

// names decodes a mapping of names to values.
func (d *decoder) names(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, v.Type(), path)
		return
	}
	if len(n.Content) > 0 {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for key, value := range d.entries(n, path, subscript) {
		p := subscript(path, key.Value)
		elem := reflect.New(v.Type().Elem()).Elem()
		if isNull(value) {
			d.wrongType(value, elem.Type(), p)
			continue
		}
		d.value(value, elem, p)
		v.SetMapIndex(reflect.ValueOf(key.Value), elem)
	}
}
