package grant

import (
	"context"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	testclock "k8s.io/utils/clock/testing"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

var begin = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func meta(name, namespace, expires string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Name: name, Namespace: namespace, UID: "uid-" + "1", ResourceVersion: "7"}
	if expires != "" {
		m.Annotations = map[string]string{v1alpha1.AnnotationExpiresAt: expires, v1alpha1.AnnotationReason: "ticket 42"}
	}
	return m
}

func TestController(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := fake.NewClientset(
		&rbacv1.RoleBinding{ObjectMeta: meta("ended", "shop", "2026-11-23T11:00:00Z")},
		&rbacv1.RoleBinding{ObjectMeta: meta("soon", "shop", "2026-11-23T13:00:30+01:00")},
		&rbacv1.RoleBinding{ObjectMeta: meta("lasting", "shop", "")},
		&rbacv1.RoleBinding{ObjectMeta: meta("odd", "shop", "tomorrow")},
		&rbacv1.ClusterRoleBinding{ObjectMeta: meta("ended", "", "2026-11-23T11:59:59Z")},
	)
	clock := testclock.NewFakeClock(begin)
	factory := informers.NewSharedInformerFactory(client, 0)
	c, err := New(client, factory.Rbac().V1(), Options{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(ctx.Done())
	go c.Run(ctx)

	there := func(name string) bool {
		_, err := client.RbacV1().RoleBindings("shop").Get(ctx, name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	eventually(t, "what has ended is deleted", func() bool {
		_, err := client.RbacV1().ClusterRoleBindings().Get(ctx, "ended", metav1.GetOptions{})
		return !there("ended") && apierrors.IsNotFound(err)
	})
	eventually(t, "Events in both scopes", func() bool {
		inShop, err := client.EventsV1().Events("shop").List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var notes []string
		for _, e := range inShop.Items {
			notes = append(notes, e.Reason+" "+e.Regarding.Name+" "+e.Note)
		}
		all := strings.Join(notes, "\n")
		ofCluster, err := client.EventsV1().Events("default").List(ctx, metav1.ListOptions{})
		return err == nil && len(ofCluster.Items) == 1 && strings.Contains(all, "ticket 42")
	})
	if !there("soon") || !there("lasting") || !there("odd") {
		t.Error("a binding that has not ended is gone")
	}
	eventually(t, "the end is waited for", clock.HasWaiters)
	clock.Step(29 * time.Second)
	time.Sleep(50 * time.Millisecond)
	if !there("soon") {
		t.Error("a grant is gone before its end")
	}
	eventually(t, "a grant goes at its end", func() bool { clock.Step(time.Second); return !there("soon") })
	if !there("lasting") || !there("odd") {
		t.Error("a binding without a readable end is gone")
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for range 500 {
		if condition() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}
