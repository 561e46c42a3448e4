package v1alpha1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Print writes a configuration as YAML, the documentation of each field above
// it, fields that are not set commented out. What it writes parses back to the
// same configuration.
func Print(w io.Writer, cfg *ServeConfiguration) error {
	return printSettings(w, serveConfigurationKind, fieldDocs, cfg)
}

// PrintAttach is Print for an AttachConfiguration.
func PrintAttach(w io.Writer, cfg *AttachConfiguration) error {
	return printSettings(w, attachConfigurationKind, attachFieldDocs, cfg)
}

func printSettings(w io.Writer, kind string, docs map[string]string, cfg any) error {
	p := &printer{docs: docs}
	fmt.Fprintf(&p.out, "apiVersion: %s\nkind: %s\n", SchemeGroupVersion, kind)
	p.fields(reflect.ValueOf(cfg).Elem(), "", "")
	if p.err != nil {
		return fmt.Errorf("print configuration: %w", p.err)
	}
	_, err := w.Write(p.out.Bytes())
	return err
}

type printer struct {
	out bytes.Buffer
	// docs is the documentation of each field, by path.
	docs map[string]string
	// err is the first error; nothing printed after it counts.
	err error
}

// fields prints the fields of a struct, each line after indent.
func (p *printer) fields(v reflect.Value, path, indent string) {
	for i, m := range members(v.Type()) {
		f := v.FieldByIndex(m.index)
		at := join(path, m.name)
		if at == "apiVersion" || at == "kind" {
			continue // printed as the first lines
		}
		doc := p.docs[at]
		if doc != "" {
			if path == "" || i > 0 { // a section's first field follows its name
				p.out.WriteString("\n")
			}
			for line := range strings.Lines(doc) {
				fmt.Fprintf(&p.out, "%s# %s\n", indent, strings.TrimRight(line, "\n"))
			}
		}
		switch u := deref(m.typ); {
		case isUnset(f) && !m.required:
			fmt.Fprintf(&p.out, "%s#%s: %s\n", indent, m.name, placeholder(m.typ))
		case isSections(u):
			fmt.Fprintf(&p.out, "%s%s:\n", indent, m.name)
			for i := range f.Len() {
				p.item(f.Index(i), indent)
			}
		case isLeaf(u):
			fmt.Fprintf(&p.out, "%s%s: %s\n", indent, m.name, p.leaf(reflect.Indirect(f)))
		default:
			fmt.Fprintf(&p.out, "%s%s:\n", indent, m.name)
			p.fields(reflect.Indirect(f), at, indent+"  ")
		}
	}
}

// item prints an item of a list of sections, without documentation: that of the list
// stands above the first.
func (p *printer) item(v reflect.Value, indent string) {
	var fields []string
	for _, m := range members(v.Type()) {
		if f := v.FieldByIndex(m.index); m.required || !f.IsZero() {
			fields = append(fields, m.name+": "+p.leaf(reflect.Indirect(f)))
		}
	}
	fmt.Fprintf(&p.out, "%s- {%s}\n", indent, strings.Join(fields, ", "))
}

// isUnset reports whether a field has no value of its own. A boolean that is no
// pointer always has one, and a section is always shown.
func isUnset(f reflect.Value) bool {
	switch f.Kind() {
	case reflect.Slice, reflect.Map:
		return f.Len() == 0
	case reflect.Bool, reflect.Struct:
		return false
	default:
		return f.IsZero()
	}
}

// placeholder is what stands behind the name of a field that is commented out.
func placeholder(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return `""`
	case reflect.Slice:
		return "[]"
	case reflect.Map:
		return "{}"
	case reflect.Int32:
		return "0"
	default:
		return "null"
	}
}

// leaf returns a value as YAML on one line.
func (p *printer) leaf(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return scalarYAML(v.String())
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = p.leaf(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.Map:
		var items []string
		for _, key := range slices.Sorted(maps.Keys(v.Interface().(map[string]bool))) {
			items = append(items, scalarYAML(key)+": "+p.leaf(v.MapIndex(reflect.ValueOf(key))))
		}
		return "{" + strings.Join(items, ", ") + "}"
	case reflect.Struct: // reads and writes itself as a JSON string
		data, err := json.Marshal(v.Interface())
		var s string
		if err == nil {
			err = json.Unmarshal(data, &s)
		}
		if err != nil && p.err == nil {
			p.err = err
		}
		return scalarYAML(s)
	default:
		return fmt.Sprint(v.Interface())
	}
}

var (
	// plainPattern matches strings that YAML takes as they are, in a list too.
	plainPattern = regexp.MustCompile(`^[A-Za-z0-9/.]([A-Za-z0-9/._:-]*[A-Za-z0-9/._-])?$`)
	// ambiguousPattern matches strings that YAML 1.1 takes for something else.
	ambiguousPattern = regexp.MustCompile(`^(?i:y|n|yes|no|on|off)$|^[0-9][0-9_]*(:[0-9]+)+$`)
)

// scalarYAML returns a string as a YAML scalar on one line: plain where every
// reader of YAML takes it for that string, else in double quotes.
func scalarYAML(s string) string {
	if plainPattern.MatchString(s) && !ambiguousPattern.MatchString(s) {
		n := yaml.Node{Kind: yaml.ScalarNode, Value: s}
		if n.ShortTag() == "!!str" {
			return s
		}
	}
	return strconv.Quote(s) // every escape of Go's is one of YAML's
}
