package ordinary

import (
	"encoding/json"
	"fmt"
)

type object = map[string]any

// template is the spec of an app's pods, with what the server has filled in.
func (c *cluster) template(a *app) object {
	container := object{
		"name": a.name, "image": fmt.Sprintf("registry.example.com/%s/%s:1.%d.0", a.ns, a.name, a.tag), "imagePullPolicy": "IfNotPresent",
		"ports":   []any{object{"name": "http", "containerPort": 8080, "protocol": "TCP"}, object{"name": "metrics", "containerPort": 9090, "protocol": "TCP"}},
		"envFrom": []any{object{"secretRef": object{"name": a.name + "-env"}}, object{"configMapRef": object{"name": a.name}}},
		"env": []any{
			object{"name": "POD_NAME", "valueFrom": object{"fieldRef": object{"apiVersion": "v1", "fieldPath": "metadata.name"}}},
			object{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector.monitoring:4317"}, object{"name": "LOG_LEVEL", "value": "info"},
			object{"name": "GOMEMLIMIT", "value": "400MiB"},
		},
		"resources":                object{"requests": object{"cpu": "100m", "memory": "256Mi"}, "limits": object{"memory": "512Mi"}},
		"livenessProbe":            object{"httpGet": object{"path": "/healthz", "port": "http", "scheme": "HTTP"}, "initialDelaySeconds": 5, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
		"readinessProbe":           object{"httpGet": object{"path": "/ready", "port": "http", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 5, "successThreshold": 1, "failureThreshold": 3},
		"volumeMounts":             []any{object{"name": "config", "mountPath": "/etc/" + a.name, "readOnly": true}, object{"name": "tmp", "mountPath": "/tmp"}},
		"terminationMessagePath":   "/dev/termination-log",
		"terminationMessagePolicy": "File",
		"securityContext":          object{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": object{"drop": []any{"ALL"}}},
	}
	return object{
		"volumes":    []any{object{"name": "config", "configMap": object{"name": a.name, "defaultMode": 420}}, object{"name": "tmp", "emptyDir": object{}}},
		"containers": []any{container}, "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
		"serviceAccountName": a.name, "serviceAccount": a.name, "securityContext": object{"runAsNonRoot": true, "seccompProfile": object{"type": "RuntimeDefault"}},
		"schedulerName": "default-scheduler", "enableServiceLinks": false,
		"topologySpreadConstraints": []any{object{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": object{"matchLabels": object{"app": a.name}}}},
	}
}

// digits are of a chance of their own: bodies are made where they are recorded, and what
// happens does not depend on that.
func (c *cluster) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[c.bodies.IntN(16)]
	}
	return string(b)
}

func labels(a *app) object {
	return object{"app": a.name, "app.kubernetes.io/instance": a.name, "app.kubernetes.io/managed-by": "Helm", "pod-template-hash": a.hash}
}

// podOf is a pod as its ReplicaSet creates it.
func (c *cluster) podOf(a *app) []byte {
	return write(object{"kind": "Pod", "apiVersion": "v1", "metadata": object{
		"generateName": a.name + "-" + a.hash + "-", "labels": labels(a), "annotations": object{"checksum/config": c.digits(40), "prometheus.io/scrape": "true"},
		"ownerReferences": []any{object{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": a.name + "-" + a.hash, "uid": c.digits(36), "controller": true, "blockOwnerDeletion": true}},
	}, "spec": c.template(a)})
}

func (c *cluster) replicaSet(a *app) []byte {
	return write(object{"kind": "ReplicaSet", "apiVersion": "apps/v1", "metadata": object{"name": a.name + "-" + a.hash, "namespace": a.ns, "labels": labels(a)},
		"spec": object{"replicas": a.replicas, "selector": object{"matchLabels": labels(a)}, "template": object{"metadata": object{"labels": labels(a)}, "spec": c.template(a)}}})
}

func (c *cluster) deployment(a *app) []byte {
	return write(object{"kind": "Deployment", "apiVersion": "apps/v1", "metadata": object{"name": a.name, "namespace": a.ns, "labels": labels(a)},
		"spec": object{"replicas": a.replicas, "selector": object{"matchLabels": object{"app": a.name}}, "template": object{"metadata": object{"labels": labels(a)}, "spec": c.template(a)}}})
}

func write(o any) []byte {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err) // maps of texts and numbers can always be written
	}
	return text
}
