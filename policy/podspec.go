package policy

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// podSpecs are where the kinds that carry a pod have its spec.
var podSpecs = map[string]string{
	"/Pod":                        "spec",
	"/PodTemplate":                "template.spec",
	"/ReplicationController":      "spec.template.spec",
	"apps/Deployment":             "spec.template.spec",
	"apps/ReplicaSet":             "spec.template.spec",
	"apps/StatefulSet":            "spec.template.spec",
	"apps/DaemonSet":              "spec.template.spec",
	"batch/Job":                   "spec.template.spec",
	"batch/CronJob":               "spec.jobTemplate.spec.template.spec",
	"extensions/Deployment":       "spec.template.spec",
	"extensions/ReplicaSet":       "spec.template.spec",
	"extensions/DaemonSet":        "spec.template.spec",
	"argoproj.io/Rollout":         "spec.template.spec",
	"serving.knative.dev/Service": "spec.template.spec",
}

// PodSpec is the spec of the pod that an object is or makes, and the path of it:
// spec.template.spec; nil where it has none.
func PodSpec(o *unstructured.Unstructured) (spec map[string]any, path string) {
	kind := o.GroupVersionKind()
	path, ok := podSpecs[kind.Group+"/"+kind.Kind]
	if !ok {
		return nil, ""
	}
	at := o.Object
	for _, field := range strings.Split(path, ".") {
		if at, ok = at[field].(map[string]any); !ok {
			return nil, ""
		}
	}
	return at, path
}

// ContainerLists are the fields of a pod's spec that hold containers.
var ContainerLists = []string{"initContainers", "containers", "ephemeralContainers"}

// Images are those of an object's containers and image volumes; where path names
// one container or image volume, or something in it, that of it alone.
func Images(o *unstructured.Unstructured, path string) []string {
	spec, at := PodSpec(o)
	if spec == nil {
		return nil
	}
	var all []string
	for _, list := range ContainerLists {
		containers, _ := spec[list].([]any)
		for i, c := range containers {
			container, _ := c.(map[string]any)
			image, _ := container["image"].(string)
			if here := lies(path, at, list, i); here && image == "" {
				return nil
			} else if here {
				return []string{image}
			}
			if image != "" {
				all = append(all, image)
			}
		}
	}
	volumes, _ := spec["volumes"].([]any)
	for i, v := range volumes {
		volume, _ := v.(map[string]any)
		source, _ := volume["image"].(map[string]any)
		image, _ := source["reference"].(string)
		if image == "" {
			continue // what is said of another volume is said of the pod as a whole
		}
		if lies(path, at, "volumes", i) {
			return []string{image}
		}
		all = append(all, image)
	}
	return all
}

// lies reports whether path names an item of a list, or something in it.
func lies(path, at, list string, i int) bool {
	if path == "" {
		return false
	}
	rest, ok := strings.CutPrefix(path, fmt.Sprintf("%s.%s[%d]", at, list, i))
	return ok && (rest == "" || rest[0] == '.')
}
