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

// TestNamespaceLifecycle shows what a namespace begins with, that nothing new
// comes into one that is going, and that it goes with all that was in it.
func TestNamespaceLifecycle(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()

	t.Run("it begins with the root CA", func(t *testing.T) {
		server.Eventually(t, patience, func(ctx context.Context) error {
			ca, err := admin.CoreV1().ConfigMaps(ns).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
			if err == nil && ca.Data["ca.crt"] != string(s.AdminConfig(t).CAData) {
				err = notYet("the ConfigMap holds another CA")
			}
			return err
		})
	})
	t.Run("a namespace that is not there", func(t *testing.T) {
		_, err := admin.CoreV1().ConfigMaps("nowhere").Create(ctx, configMap("c", nil), create)
		refused(t, err, apierrors.IsNotFound, `namespaces "nowhere" not found`)
	})
	t.Run("a namespace that is going", func(t *testing.T) {
		held := configMap("held", nil)
		held.Finalizers = []string{"example.org/hold"}
		_, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, held, create)
		passes(t, err)
		_, err = admin.CoreV1().Secrets(ns).Create(ctx, opaque("s", nil), create)
		passes(t, err)
		passes(t, admin.CoreV1().Namespaces().Delete(ctx, ns, metav1.DeleteOptions{}))
		_, err = admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("late", nil), create)
		refused(t, err, apierrors.IsForbidden, "because it is being terminated")
	})
	t.Run("it goes when nothing holds it", func(t *testing.T) {
		server.Eventually(t, patience, func(ctx context.Context) error {
			if _, err := admin.CoreV1().Secrets(ns).Get(ctx, "s", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return notYet("secret is still there: %v", err)
			}
			return nil
		})
		_, err := admin.CoreV1().ConfigMaps(ns).Patch(ctx, "held", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		passes(t, err)
		server.Eventually(t, patience, func(ctx context.Context) error {
			if _, err := admin.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return notYet("namespace is still there: %v", err)
			}
			return nil
		})
	})
	t.Run("kube-system stays", func(t *testing.T) {
		err := admin.CoreV1().Namespaces().Delete(ctx, "kube-system", metav1.DeleteOptions{})
		refused(t, err, apierrors.IsForbidden, "this namespace may not be deleted")
	})
}

// TestGarbageCollection shows that what is owned goes with its owner.
func TestGarbageCollection(t *testing.T) {
	admin := shared(t).Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	maps := admin.CoreV1().ConfigMaps(ns)
	family := func(owner string) {
		t.Helper()
		parent, err := maps.Create(ctx, configMap(owner, nil), create)
		passes(t, err)
		child := configMap(owner+"-child", nil)
		child.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner, UID: parent.UID, BlockOwnerDeletion: new(true)}}
		_, err = maps.Create(ctx, child, create)
		passes(t, err)
	}
	gone := func(name string) {
		t.Helper()
		server.Eventually(t, patience, func(ctx context.Context) error {
			if _, err := maps.Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return notYet("%s is still there: %v", name, err)
			}
			return nil
		})
	}
	for _, how := range []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground} {
		t.Run(string(how), func(t *testing.T) {
			name := "owner-" + map[metav1.DeletionPropagation]string{metav1.DeletePropagationBackground: "b", metav1.DeletePropagationForeground: "f"}[how]
			family(name)
			passes(t, maps.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &how}))
			gone(name + "-child")
			gone(name)
		})
	}
	t.Run("Orphan", func(t *testing.T) {
		family("left")
		how := metav1.DeletePropagationOrphan
		passes(t, maps.Delete(ctx, "left", metav1.DeleteOptions{PropagationPolicy: &how}))
		gone("left")
		child, err := maps.Get(ctx, "left-child", metav1.GetOptions{})
		passes(t, err)
		if len(child.OwnerReferences) != 0 {
			t.Errorf("the child still names its owner: %v", child.OwnerReferences)
		}
	})
}

// TestEveryNamespaceIsSeeded shows that the namespaces of a new cluster are
// there and complete.
func TestEveryNamespaceIsSeeded(t *testing.T) {
	admin := shared(t).Admin(t)
	for _, ns := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
		server.Eventually(t, patience, func(ctx context.Context) error {
			got, err := admin.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if got.Status.Phase != corev1.NamespaceActive || got.UID == "" {
				return notYet("namespace %s is %q with uid %q", ns, got.Status.Phase, got.UID)
			}
			if _, err = admin.CoreV1().ServiceAccounts(ns).Get(ctx, "default", metav1.GetOptions{}); err != nil {
				return err
			}
			_, err = admin.CoreV1().ConfigMaps(ns).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
			return err
		})
	}
}
