package query

import (
	"encoding/json"
	"maps"

	apijson "k8s.io/apimachinery/pkg/util/json"

	"github.com/gatehouse-io/gatehouse/audit"
)

// noise are fields of metadata that the server writes at every change.
var noise = []string{"managedFields", "resourceVersion", "generation", "selfLink", "uid", "creationTimestamp"}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Hidden stands for each value of a Secret.
const Hidden = "(redacted)"

// isSecret reports whether an event is about a Secret.
func isSecret(e *audit.Event) bool { return e.Resource == "secrets" && e.APIGroup == "" }

// clean is an object without what is no change of it: what the server writes at every
// change, the copy of itself that kubectl leaves, and its status, unless that was what
// was written. Values of a Secret are hidden.
func clean(object map[string]any, status, secret bool) map[string]any {
	object = maps.Clone(object)
	if !status {
		delete(object, "status")
	}
	if metadata, ok := object["metadata"].(map[string]any); ok {
		metadata = maps.Clone(metadata)
		for _, name := range noise {
			delete(metadata, name)
		}
		if annotations, ok := metadata["annotations"].(map[string]any); ok {
			annotations = maps.Clone(annotations)
			delete(annotations, lastApplied)
			metadata["annotations"] = annotations
			if len(annotations) == 0 {
				delete(metadata, "annotations")
			}
		}
		object["metadata"] = metadata
	}
	if secret {
		hide(object)
	}
	return object
}

// hide hides the values of a Secret in place of which the redaction left something, or
// nothing where an event never went through it.
func hide(object map[string]any) {
	for _, name := range []string{"data", "stringData"} {
		values, ok := object[name].(map[string]any)
		if !ok {
			if _, there := object[name]; there {
				object[name] = Hidden
			}
			continue
		}
		hidden := make(map[string]any, len(values))
		for key := range values {
			hidden[key] = Hidden
		}
		object[name] = hidden
	}
}

// hideSecret is a patch without the values of a Secret: all of a list of operations, and
// data and stringData of an object.
func hideSecret(secret bool, patch []byte) []byte {
	if !secret {
		return patch
	}
	var object map[string]any
	if err := apijson.Unmarshal(patch, &object); err != nil || object == nil {
		return []byte(`"` + Hidden + `"`)
	}
	object = clean(object, true, true)
	data, err := json.Marshal(object)
	if err != nil {
		return []byte(`"` + Hidden + `"`)
	}
	return data
}
