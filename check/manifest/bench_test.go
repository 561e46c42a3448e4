package manifest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
)

// deployment is of the size that manifests have: some two dozen fields.
const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: api-%d
  namespace: shop
  labels: {app.kubernetes.io/name: api, app.kubernetes.io/part-of: shop}
spec:
  replicas: 3
  selector:
    matchLabels: {app.kubernetes.io/name: api}
  template:
    metadata:
      labels: {app.kubernetes.io/name: api}
    spec:
      serviceAccountName: api
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: main
        image: registry.example/api:1.2.3
        args: ["--listen=:8080", "--log=json"]
        ports: [{name: http, containerPort: 8080}]
        env:
        - name: DATABASE
          valueFrom: {secretKeyRef: {name: database, key: url}}
        resources:
          requests: {cpu: 100m, memory: 128Mi}
          limits: {memory: 256Mi}
        securityContext:
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
        readinessProbe: {httpGet: {path: /healthz, port: http}}
        volumeMounts: [{name: tmp, mountPath: /tmp}]
      volumes: [{name: tmp, emptyDir: {}}]
---
`

// BenchmarkRead reads 1000 Deployments of one stream, by one goroutine.
func BenchmarkRead(b *testing.B) {
	var text bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&text, deployment, i)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	objects := 0
	for b.Loop() {
		objects = 0
		_, err := Read(context.Background(), []string{"-"}, Options{Stdin: bytes.NewReader(text.Bytes()), Workers: 1}, func(*Object) error { objects++; return nil })
		if err != nil || objects != 1000 {
			b.Fatal(objects, err)
		}
	}
	b.ReportMetric(float64(objects*b.N)/b.Elapsed().Seconds(), "objects/s")
}

// BenchmarkPosition is what a finding costs.
func BenchmarkPosition(b *testing.B) {
	for o, err := range Objects(context.Background(), []string{"-"}, Options{Stdin: strings.NewReader(fmt.Sprintf(deployment, 1))}) {
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if at := o.Position("spec.template.spec.containers[0].securityContext.allowPrivilegeEscalation"); !at.Exact {
				b.Fatal(at)
			}
		}
	}
}

// BenchmarkChart renders a chart of seven templates, with its places.
func BenchmarkChart(b *testing.B) {
	unpack(b, store)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(context.Background(), []string{"store"}, Options{Workers: 1}, func(*Object) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkKustomization builds an overlay of a base.
func BenchmarkKustomization(b *testing.B) {
	unpack(b, shop)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(context.Background(), []string{"overlay"}, Options{Workers: 1}, func(*Object) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
