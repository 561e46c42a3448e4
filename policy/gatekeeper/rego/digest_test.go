package rego_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/policy"
)

// digest is what a part of a review is, told as coarsely as policy.Read allows: what is
// equal in all parts read is the same to the policy.
func digest(t testing.TB, review map[string]any, read policy.Read) string {
	var at any
	switch read.Of {
	case policy.OfObject:
		at = review["object"]
	case policy.OfOldObject:
		at = review["oldObject"]
	case policy.OfNamespace:
		at = review["namespaceObject"]
	case policy.OfRequest:
		at = review
	}
	return digestAt(t, at, read.Fields, read.Shape)
}

func digestAt(t testing.TB, at any, fields []string, shape bool) string {
	if len(fields) == 0 {
		if shape {
			return shapeOf(at)
		}
		data, err := json.Marshal(at)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	var b strings.Builder
	switch of := at.(type) {
	case nil:
		return "null"
	case map[string]any:
		if fields[0] != policy.Each {
			next, ok := of[fields[0]]
			if !ok {
				return "absent"
			}
			return "." + digestAt(t, next, fields[1:], shape)
		}
		for _, key := range slices.Sorted(maps.Keys(of)) {
			fmt.Fprintf(&b, "%q: %s,", key, digestAt(t, of[key], fields[1:], shape))
		}
		return "{" + b.String() + "}"
	case []any:
		if fields[0] != policy.Each {
			break
		}
		for _, one := range of {
			fmt.Fprintf(&b, "%s,", digestAt(t, one, fields[1:], shape))
		}
		return "[" + b.String() + "]"
	}
	return "other"
}

func shapeOf(at any) string {
	switch of := at.(type) {
	case nil:
		return "null"
	case bool:
		return fmt.Sprint(of)
	case string:
		return fmt.Sprint("text ", of == "")
	case map[string]any:
		return fmt.Sprintf("map %q", slices.Sorted(maps.Keys(of)))
	case []any:
		return fmt.Sprint("list ", len(of))
	case map[string][]string: // of a user's extra
		return fmt.Sprintf("map %q", slices.Sorted(maps.Keys(of)))
	}
	return fmt.Sprint("number ", fmt.Sprint(at) == "0")
}

// digests are those of all parts read, as one.
func digests(t testing.TB, review map[string]any, reads []policy.Read) string {
	var b strings.Builder
	for _, read := range reads {
		fmt.Fprintln(&b, digest(t, review, read))
	}
	return b.String()
}

// readText is a read as the tests write it: old.spec.volumes[].name, with ~ behind it for
// its shape.
func readText(read policy.Read) string {
	var b strings.Builder
	b.WriteString([]string{"object", "old", "namespace", "request"}[read.Of])
	for _, f := range read.Fields {
		if f == policy.Each {
			b.WriteString("[]")
		} else {
			b.WriteString("." + f)
		}
	}
	if read.Shape {
		b.WriteString("~")
	}
	return b.String()
}

func readsText(reads []policy.Read) []string {
	texts := make([]string, len(reads))
	for i, read := range reads {
		texts[i] = readText(read)
	}
	slices.Sort(texts)
	return texts
}
