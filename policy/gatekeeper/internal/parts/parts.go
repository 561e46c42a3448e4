// Package parts tells, for tests, what the parts of a request are that a policy reads: as
// coarsely as policy.Read allows, and in no way that a policy.Set shares.
//
//	for _, read := range reads {
//		same = same && parts.Digest(one[read.Of], read) == parts.Digest(other[read.Of], read)
//	}
//
// Requests that are the same in all of them are the same to the policy: tests change what
// is not read, and ask again.
package parts

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-io/gatehouse/policy"
)

// Digest is what a part is; content is what it is a part of.
func Digest(content any, read policy.Read) string { return digestAt(content, read.Fields, read.Shape) }

func digestAt(at any, fields []string, shape bool) string {
	if len(fields) == 0 {
		if shape {
			return shapeOf(at)
		}
		data, err := json.Marshal(at)
		if err != nil {
			return "unwritable: " + err.Error()
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
			return "." + digestAt(next, fields[1:], shape)
		}
		for _, key := range slices.Sorted(maps.Keys(of)) {
			fmt.Fprintf(&b, "%q: %s,", key, digestAt(of[key], fields[1:], shape))
		}
		return "{" + b.String() + "}"
	case []any:
		if fields[0] != policy.Each {
			break
		}
		for _, one := range of {
			fmt.Fprintf(&b, "%s,", digestAt(one, fields[1:], shape))
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
	}
	return fmt.Sprint("number ", fmt.Sprint(at) == "0")
}

// Text is a read as tests write it: old.spec.volumes[].name, with ~ behind it for its shape.
func Text(read policy.Read) string {
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

// Texts are reads as tests write them, in the order of their texts.
func Texts(reads []policy.Read) []string {
	texts := make([]string, len(reads))
	for i, read := range reads {
		texts[i] = Text(read)
	}
	slices.Sort(texts)
	return texts
}
