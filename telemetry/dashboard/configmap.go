package dashboard

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// ConfigMap is the dashboard as the sidecar of Grafana's chart takes it: an object with
// the label grafana_dashboard.
func (d *Dashboard) ConfigMap(namespace string) ([]byte, error) {
	text, err := d.JSON()
	if err != nil {
		return nil, err
	}
	meta := map[string]any{"name": d.ID, "labels": map[string]string{"grafana_dashboard": "1", "app.kubernetes.io/name": "gatehouse"}}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	data, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": map[string]string{d.ID + ".json": string(text)},
	})
	if err != nil {
		return nil, fmt.Errorf("write dashboard %s: %w", d.ID, err)
	}
	return data, nil
}
