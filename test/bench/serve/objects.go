package main

import (
	"bytes"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// resources are the two that are measured: the one that Gatehouse encrypts,
// and the one that admission works hardest on.
var resources = []resourceKind{
	{name: "secrets", make: makeSecret},
	{name: "pods", make: makePod},
}

// makeSecret returns a secret with 256 bytes of data.
func makeSecret(name string) runtime.Object {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Data:       map[string][]byte{"password": bytes.Repeat([]byte("x"), 256)},
	}
}

// makePod returns a pod that the restricted Pod Security Standard accepts.
// Nothing schedules or runs it.
func makePod(name string) runtime.Object {
	yes, no := true, false
	room := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("100m"),
		corev1.ResourceMemory: resource.MustParse("64Mi"),
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "bench"}},
		Spec: corev1.PodSpec{
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot:   &yes,
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name:      "app",
				Image:     "registry.example/app@sha256:0000000000000000000000000000000000000000000000000000000000000000",
				Resources: corev1.ResourceRequirements{Requests: room, Limits: room},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no,
					ReadOnlyRootFilesystem:   &yes,
					Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}
