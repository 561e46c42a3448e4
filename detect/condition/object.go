package condition

import (
	"strconv"
	"strings"

	"github.com/gatehouse-io/gatehouse/audit"
)

// podOf is the PodSpec in an object: of a pod, of a PodTemplate, or of a workload of
// whatever kind that has a template.
func podOf(e *audit.Event, object map[string]any) map[string]any {
	spec := child(object, "spec")
	for _, found := range []map[string]any{
		child(child(spec, "template"), "spec"),
		child(child(child(child(spec, "jobTemplate"), "spec"), "template"), "spec"),
		child(child(object, "template"), "spec"),
	} {
		if found != nil {
			return found
		}
	}
	if spec != nil && (e.Resource == "pods" || object["kind"] == "Pod") {
		return spec
	}
	return map[string]any{}
}

func child(of map[string]any, name string) map[string]any {
	c, _ := of[name].(map[string]any)
	return c
}

// containersOf are the containers of a PodSpec, of all three kinds. It is never nil.
func containersOf(pod map[string]any) []any {
	all := []any{}
	for _, kind := range []string{"containers", "initContainers", "ephemeralContainers"} {
		list, _ := pod[kind].([]any)
		for _, c := range list {
			if _, ok := c.(map[string]any); ok {
				all = append(all, c)
			}
		}
	}
	return all
}

const (
	// maxOperations and maxDepth bound what is laid out of a patch.
	maxOperations = 1000
	maxDepth      = 32
)

// laidOut is the object that a JSON patch makes of nothing: what it adds and replaces is
// in its place, and elements of lists are in the order in which they come.
func laidOut(patch []any) map[string]any {
	object := map[string]any{}
	for i, element := range patch {
		operation, _ := element.(map[string]any)
		if op := operation["op"]; i == maxOperations || op != "add" && op != "replace" {
			continue
		}
		path, _ := operation["path"].(string)
		names := strings.Split(path, "/")
		switch {
		case path == "":
			if whole, ok := operation["value"].(map[string]any); ok {
				object = copied(whole)
			}
		case names[0] == "" && len(names) <= maxDepth:
			put(object, names[1:], operation["value"])
		}
	}
	return object
}

// copied is a map of its own, since later operations write into it.
func copied(m map[string]any) map[string]any {
	c := make(map[string]any, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// put puts a value at a path. It returns what then stands where the first name is looked
// up, a map or a list.
func put(in any, names []string, value any) any {
	if len(names) == 0 {
		return value
	}
	if _, err := strconv.Atoi(names[0]); err == nil || names[0] == "-" {
		list, isList := in.([]any)
		if m, isMap := in.(map[string]any); isList || !isMap || len(m) == 0 {
			// Which element it is does not matter, since the others are not known.
			return append(append([]any(nil), list...), put(nil, names[1:], value))
		}
	}
	m, ok := in.(map[string]any)
	if !ok {
		m = map[string]any{}
	}
	name := unescape.Replace(names[0])
	below := m[name]
	if b, ok := below.(map[string]any); ok && len(names) > 1 {
		below = copied(b)
	}
	m[name] = put(below, names[1:], value)
	return m
}
