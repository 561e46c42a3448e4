package builtin

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/policy"
)

func disallowPodExec(context.Context, *policy.Request, *unstructured.Unstructured, *unstructured.Unstructured) ([]problem, error) {
	return []problem{{message: "nobody runs commands in containers here"}}, nil
}

func disallowAnonymous(_ context.Context, _ *policy.Request, o, _ *unstructured.Unstructured) (found []problem, _ error) {
	for i, s := range list(o.Object, "subjects") {
		subject, _ := s.(map[string]any)
		name := text(subject, "name")
		if name == user.Anonymous || name == user.AllUnauthenticated {
			found = append(found, problem{path: fmt.Sprintf("subjects[%d].name", i), message: fmt.Sprintf("%s is whoever reaches the API: bind a role to people, or to %s", quoted(name), user.AllAuthenticated)})
		}
	}
	return found, nil
}

func disallowHostPathPersistentVolume(_ context.Context, _ *policy.Request, o, _ *unstructured.Unstructured) ([]problem, error) {
	source, ok := object(o.Object, "spec")["hostPath"].(map[string]any)
	if !ok {
		return nil, nil
	}
	return []problem{{path: "spec.hostPath", message: fmt.Sprintf("the volume is %s of a node: use another kind", quoted(text(source, "path")))}}, nil
}

// invalidPodDisruptionBudget counts as the disruption controller does: over all
// replicas of what the budget selects.
func invalidPodDisruptionBudget(ctx context.Context, r *policy.Request, o, _ *unstructured.Unstructured) ([]problem, error) {
	spec := object(o.Object, "spec")
	if most := spec["maxUnavailable"]; most != nil {
		if allowed, err := scaled(most, 100); err == nil && allowed < 1 {
			return []problem{{path: "spec.maxUnavailable", message: "no pod may ever be evicted, and nodes cannot be drained: allow at least 1"}}, nil
		}
		return nil, nil
	}
	least := spec["minAvailable"]
	if least == nil {
		return nil, nil
	}
	if s, ok := least.(string); ok && s == "100%" {
		return []problem{{path: "spec.minAvailable", message: "no pod may ever be evicted, and nodes cannot be drained: ask for less than 100%"}}, nil
	}
	selector := &metav1.LabelSelector{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object(spec, "selector"), selector); err != nil {
		return nil, nil // the API refuses it
	}
	selects, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, nil // the API refuses it
	}
	var total int64
	for _, kind := range replicated {
		all, err := r.Cluster.Objects(ctx, kind, r.GetNamespace())
		if err != nil {
			return nil, fmt.Errorf("look up what the budget selects: %w", err)
		}
		for _, one := range all {
			if owned(one) || !selects.Matches(podLabels(one)) {
				continue
			}
			replicas, set := number(object(one.Object, "spec"), "replicas")
			if !set {
				replicas = 1
			}
			total += replicas
		}
	}
	if total == 0 {
		return nil, nil
	}
	needed, err := scaled(least, total)
	if err != nil || needed < total {
		return nil, nil
	}
	return []problem{{path: "spec.minAvailable", message: fmt.Sprintf("it asks for %d of the %d pods that it selects, so that none may ever be evicted: ask for less, or run more", needed, total)}}, nil
}

// owned reports whether a controller owns the object, whose pods are that one's.
func owned(o *unstructured.Unstructured) bool { return metav1.GetControllerOf(o) != nil }

func podLabels(o *unstructured.Unstructured) labels.Set {
	set := labels.Set{}
	for key, value := range object(object(object(object(o.Object, "spec"), "template"), "metadata"), "labels") {
		set[key], _ = value.(string)
	}
	return set
}

// scaled is a number, or a percentage of total rounded up, as the disruption
// controller rounds.
func scaled(value any, total int64) (int64, error) {
	of := intstr.FromString("")
	switch v := value.(type) {
	case string:
		of = intstr.Parse(v)
	case int64:
		return v, nil
	case float64:
		return int64(v), nil
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(&of, int(total), true)
	return int64(n), err
}

// protecting are the annotations that mark a definition; the first is K-Rail's.
var protecting = []string{"k-rail.crd.protect", "gatehouse.io/crd-protect"}

func protectCRD(ctx context.Context, r *policy.Request, _, old *unstructured.Unstructured) ([]problem, error) {
	if old == nil {
		return nil, nil
	}
	marked := false
	for _, key := range protecting {
		marked = marked || text(annotations(old), key) == "enabled"
	}
	if !marked {
		return nil, nil
	}
	spec := object(old.Object, "spec")
	kind := schema.GroupVersionKind{Group: text(spec, "group"), Kind: text(object(spec, "names"), "kind")}
	for _, v := range list(spec, "versions") {
		version, _ := v.(map[string]any)
		if stored, _ := flag(version, "storage"); stored {
			kind.Version = text(version, "name")
		}
	}
	all, err := r.Cluster.Objects(ctx, kind, "")
	if err != nil {
		return nil, fmt.Errorf("look up objects of the definition: %w", err)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return []problem{{message: fmt.Sprintf("there are %d objects of it, which would be deleted too: delete them first, or take the mark away", len(all))}}, nil
}
