package rule

import (
	"bytes"
	"fmt"
	"maps"

	"sigs.k8s.io/yaml"
)

// The names of the object that the Prometheus operator takes.
const (
	objectName       = "gatehouse"
	objectAPIVersion = "monitoring.coreos.com/v1"
	objectKind       = "PrometheusRule"
)

const head = "# Alerts and recording rules of Gatehouse, written by gatehouse print alerts.\n"

// File is a rule file of Prometheus.
func File(groups []Group, o Options) ([]byte, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	return encode(map[string]any{"groups": entries(groups, o)})
}

// Object is the PrometheusRule that the Prometheus operator takes, in a namespace, with
// labels by which a Prometheus finds it.
//
// Labels of its own are app.kubernetes.io/name.
func Object(groups []Group, o Options, namespace string, labels map[string]string) ([]byte, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	all := map[string]string{"app.kubernetes.io/name": "gatehouse"}
	maps.Copy(all, labels)
	meta := map[string]any{"name": objectName, "labels": all}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	return encode(map[string]any{
		"apiVersion": objectAPIVersion, "kind": objectKind, "metadata": meta,
		"spec": map[string]any{"groups": entries(groups, o)},
	})
}

func encode(document map[string]any) ([]byte, error) {
	data, err := yaml.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("write rules: %w", err)
	}
	return bytes.Join([][]byte{[]byte(head), data}, nil), nil
}

func entries(groups []Group, o Options) (all []any) {
	for _, g := range groups {
		var rules []any
		for _, r := range g.Recordings {
			entry := map[string]any{"record": r.Name, "expr": r.Query}
			if len(r.Labels) > 0 {
				entry["labels"] = r.Labels
			}
			rules = append(rules, entry)
		}
		for i := range g.Alerts {
			a := &g.Alerts[i]
			entry := map[string]any{
				"alert": a.Name, "expr": a.Condition,
				"labels":      map[string]string{"severity": string(a.Severity)},
				"annotations": map[string]string{"summary": a.Says, "description": a.Means, "runbook_url": o.Runbooks + a.Name + ".md"},
			}
			if a.For != "" {
				entry["for"] = a.For
			}
			rules = append(rules, entry)
		}
		all = append(all, map[string]any{"name": g.Name, "rules": rules})
	}
	return all
}
