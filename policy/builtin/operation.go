package builtin

import (
	"encoding/json"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
)

// operation is one of RFC 6902, with its path in pieces: names, and indices.
type operation struct {
	op    string // add, replace, remove
	path  []any
	value any
}

func remove(path ...any) []operation { return []operation{{op: "remove", path: path}} }

func add(value any, path ...any) []operation {
	return []operation{{op: "add", path: path, value: value}}
}

// patch writes operations down.
func patch(all []operation) []byte {
	type written struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value,omitempty"` // no policy writes null, false or zero
	}
	list := make([]written, len(all))
	for i, o := range all {
		var b strings.Builder
		for _, piece := range o.path {
			b.WriteByte('/')
			switch piece := piece.(type) {
			case string:
				b.WriteString(strings.ReplaceAll(strings.ReplaceAll(piece, "~", "~0"), "/", "~1"))
			case int:
				b.WriteString(strconv.Itoa(piece))
			}
		}
		list[i] = written{o.op, b.String(), o.value}
	}
	data, err := json.Marshal(list)
	if err != nil {
		return nil // strings and maps of strings can be written
	}
	return data
}

// applied is an object with the operations applied; where they lead, objects are
// copied, so that the one given stays as it is. Objects that an add leads through
// and that are missing are made.
func applied(o map[string]any, all []operation) map[string]any {
	for _, op := range all {
		o, _ = op.apply(o, op.path).(map[string]any)
	}
	return o
}

func (o *operation) apply(to any, path []any) any {
	if len(path) == 0 {
		return runtime.DeepCopyJSONValue(o.value)
	}
	switch piece := path[0].(type) {
	case string:
		from, _ := to.(map[string]any)
		made := make(map[string]any, len(from)+1)
		for k, v := range from {
			made[k] = v
		}
		if o.op == "remove" && len(path) == 1 {
			delete(made, piece)
		} else {
			made[piece] = o.apply(made[piece], path[1:])
		}
		return made
	case int:
		from, _ := to.([]any)
		if piece >= len(from) {
			return to
		}
		made := append([]any(nil), from...)
		made[piece] = o.apply(from[piece], path[1:])
		return made
	}
	return to
}

// along are the operations that add value at a path, with those that make the
// objects missing on the way.
func along(o map[string]any, value any, path ...any) []operation {
	var at any = o
	for i, piece := range path[:len(path)-1] {
		switch piece := piece.(type) {
		case string:
			in, _ := at.(map[string]any)
			at = in[piece]
		case int:
			in, _ := at.([]any)
			if piece >= len(in) {
				return nil
			}
			at = in[piece]
		}
		if at == nil { // add the whole of the rest at once
			for j := len(path) - 1; j > i; j-- {
				name, ok := path[j].(string)
				if !ok {
					return nil
				}
				value = map[string]any{name: value}
			}
			return add(value, path[:i+1]...)
		}
	}
	return add(value, path...)
}
