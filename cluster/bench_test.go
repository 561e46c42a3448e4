package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// BenchmarkFromFiles reads a dump of RoleBindings, as kubectl prints it.
func BenchmarkFromFiles(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var dump strings.Builder
			dump.WriteString("apiVersion: v1\nitems:\n")
			for i := range n {
				fmt.Fprintf(&dump, `- apiVersion: rbac.authorization.k8s.io/v1
  kind: RoleBinding
  metadata:
    creationTimestamp: "2026-01-02T03:04:05Z"
    name: b%d
    namespace: ns%d
    resourceVersion: "%d"
    uid: b33bd8ee-7dc2-498e-833f-19cd99207d41
  roleRef:
    apiGroup: rbac.authorization.k8s.io
    kind: ClusterRole
    name: edit
  subjects:
  - apiGroup: rbac.authorization.k8s.io
    kind: User
    name: jane%d
`, i, i%1000, i, i)
			}
			dump.WriteString("kind: List\nmetadata:\n  resourceVersion: \"\"\n")
			b.SetBytes(int64(dump.Len()))
			b.ReportAllocs()
			for b.Loop() {
				v, err := FromFiles(context.Background(), []string{"-"}, strings.NewReader(dump.String()), FileOptions{})
				if err != nil || len(v.RoleBindings) != n {
					b.Fatal(err)
				}
			}
		})
	}
}
