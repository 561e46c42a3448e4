package gates

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// TestNode shows that a node's certificate opens what its own pods need and
// nothing else: the Node authorizer for reading, NodeRestriction for writing.
func TestNode(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	node := server.Client(t, s.UserConfig(t, "system:node:n1", "system:nodes"))

	for _, name := range []string{"mine", "other"} {
		_, err := admin.CoreV1().Secrets(ns).Create(ctx, opaque(name, map[string]string{"k": "v"}), create)
		passes(t, err)
	}
	_, err := node.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, create)
	passes(t, err)
	_, err = admin.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n2"}}, create)
	passes(t, err)
	t.Cleanup(func() {
		for _, name := range []string{"n1", "n2"} {
			_ = admin.CoreV1().Nodes().Delete(context.Background(), name, metav1.DeleteOptions{})
		}
	})

	t.Run("no secret before a pod is on the node", func(t *testing.T) {
		_, err := node.CoreV1().Secrets(ns).Get(ctx, "mine", metav1.GetOptions{})
		refused(t, err, apierrors.IsForbidden, `User "system:node:n1" cannot get resource "secrets"`, "no relationship found between node 'n1' and this object")
	})

	pod := plainPod("p")
	pod.Spec.NodeName = "n1"
	pod.Spec.Volumes = []corev1.Volume{{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "mine"}}}}
	_, err = admin.CoreV1().Pods(ns).Create(ctx, pod, create)
	passes(t, err)
	t.Cleanup(func() {
		_ = admin.CoreV1().Pods(ns).Delete(context.Background(), "p", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
	})

	t.Run("the secret of a pod on the node", func(t *testing.T) {
		server.Eventually(t, patience, func(ctx context.Context) error {
			_, err := node.CoreV1().Secrets(ns).Get(ctx, "mine", metav1.GetOptions{})
			return err
		})
	})
	t.Run("no other secret", func(t *testing.T) {
		_, err := node.CoreV1().Secrets(ns).Get(ctx, "other", metav1.GetOptions{})
		refused(t, err, apierrors.IsForbidden, "no relationship found")
	})
	t.Run("no list of secrets", func(t *testing.T) {
		_, err := node.CoreV1().Secrets(ns).List(ctx, metav1.ListOptions{})
		refused(t, err, apierrors.IsForbidden, `cannot list resource "secrets"`, "node: No Object name found")
	})
	label := func(name, key string) error {
		patch := []byte(`{"metadata":{"labels":{"` + key + `":"x"}}}`)
		_, err := node.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	}
	t.Run("its own labels", func(t *testing.T) {
		passes(t, label("n1", "example.org/zone"))
	})
	t.Run("not its own restricted labels", func(t *testing.T) {
		refused(t, label("n1", "node-restriction.kubernetes.io/trusted"), apierrors.IsForbidden, "is not allowed to modify labels: node-restriction.kubernetes.io/trusted")
	})
	t.Run("not another node's labels", func(t *testing.T) {
		refused(t, label("n2", "example.org/zone"), apierrors.IsForbidden, `node "n1" is not allowed to modify node "n2"`)
	})
	t.Run("no pod on another node", func(t *testing.T) {
		_, err := node.CoreV1().Pods(ns).Create(ctx, plainPod("q"), create)
		refused(t, err, apierrors.IsForbidden)
	})
}
