package policy

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// operation is one of RFC 6902. A value of null is written, a missing one is not.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value *any   `json:"value,omitempty"`
}

// Patch is the RFC 6902 patch from one object's content to another's: the same one
// each time, fields in the order of their names. Lists are compared element by
// element; what is inserted in the middle of one shows as changes behind it.
func Patch(before, after map[string]any) []byte {
	operations := diff(nil, "", before, after)
	if operations == nil {
		return nil
	}
	data, err := utiljson.Marshal(operations)
	if err != nil {
		return nil // content of JSON's types can be written
	}
	return data
}

func diff(to []operation, path string, before, after any) []operation {
	switch a := before.(type) {
	case map[string]any:
		if b, ok := after.(map[string]any); ok {
			return diffFields(to, path, a, b)
		}
	case []any:
		if b, ok := after.([]any); ok {
			return diffItems(to, path, a, b)
		}
	}
	if reflect.DeepEqual(before, after) {
		return to
	}
	return append(to, operation{"replace", path, &after})
}

func diffFields(to []operation, path string, before, after map[string]any) []operation {
	keys := slices.Sorted(maps.Keys(before))
	for key := range after {
		if _, ok := before[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		at := path + "/" + escaped.Replace(key)
		a, was := before[key]
		b, is := after[key]
		switch {
		case !is:
			to = append(to, operation{"remove", at, nil})
		case !was:
			to = append(to, operation{"add", at, &b})
		default:
			to = diff(to, at, a, b)
		}
	}
	return to
}

func diffItems(to []operation, path string, before, after []any) []operation {
	for i := range min(len(before), len(after)) {
		to = diff(to, path+"/"+strconv.Itoa(i), before[i], after[i])
	}
	for i := len(before) - 1; i >= len(after); i-- {
		to = append(to, operation{"remove", path + "/" + strconv.Itoa(i), nil})
	}
	for i := len(before); i < len(after); i++ {
		to = append(to, operation{"add", path + "/-", &after[i]})
	}
	return to
}

// escaped writes a key into a JSON pointer (RFC 6901).
var escaped = strings.NewReplacer("~", "~0", "/", "~1")
