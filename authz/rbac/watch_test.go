package rbac

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
)

// An Index follows its informers, and says when it has caught up.
func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := fake.NewClientset(reader.DeepCopy(), bind("devs", "shop", "jane", "").(*rbacv1.RoleBinding))
	factory := informers.NewSharedInformerFactory(client, 0)
	x := New(Options{})
	synced, err := x.Watch(ctx, factory.Rbac().V1())
	if err != nil {
		t.Fatal(err)
	}
	if synced() {
		t.Error("synced before the informers have begun")
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), synced) {
		t.Fatal("never synced")
	}
	allowed := func(who string) bool {
		d, _, _ := x.Authorize(ctx, gets(who, "pods", "shop"))
		return d == authorizer.DecisionAllow
	}
	if !allowed("jane") {
		t.Error("what was there at the beginning is not in force")
	}
	eventually := func(what string, condition func() bool) {
		t.Helper()
		for range 500 {
			if condition() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("never: %s", what)
	}
	bindings := client.RbacV1().RoleBindings("shop")
	if _, err := bindings.Create(ctx, bind("more", "shop", "joe", "").(*rbacv1.RoleBinding), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually("a new binding allows", func() bool { return allowed("joe") })
	if err := bindings.Delete(ctx, "more", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually("a deleted binding stops to allow", func() bool { return !allowed("joe") })
	if err := client.RbacV1().ClusterRoles().Delete(ctx, "reader", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually("a deleted role stops to allow", func() bool { return !allowed("jane") })
}

// A deletion that a watch has missed is told with what was known last.
func TestMissedDeletion(t *testing.T) {
	x := New(Options{})
	f := &feed{index: x, wake: make(chan struct{}, 1)}
	go f.run(t.Context())
	b := bind("devs", "shop", "jane", "")
	f.OnAdd(reader, true)
	f.OnAdd(b, true)
	f.OnDelete(cache.DeletedFinalStateUnknown{Key: "shop/devs", Obj: b})
	for !f.idle() {
		time.Sleep(time.Millisecond)
	}
	if d, _, _ := x.Authorize(t.Context(), gets("jane", "pods", "shop")); d == authorizer.DecisionAllow {
		t.Error("a binding that is gone allows")
	}
}

// A binding is in force for all of its subjects or for none: a reader that sees
// the change for one sees it for every other.
func TestABindingComesWhole(t *testing.T) {
	x := New(Options{})
	load(t, x, []any{reader})
	whole := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "many"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "reader"}}
	for i := range 200 {
		whole.Subjects = append(whole.Subjects, rbacv1.Subject{Kind: "User", Name: fmt.Sprint("u", i)})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			change := Change{New: whole}
			if i%2 == 1 {
				change = Change{Old: whole}
			}
			if err := x.Apply(change); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2000 {
		s := x.now.Load() // what one decision reads
		count := 0
		for i := range whole.Subjects {
			var q query
			a := gets(whole.Subjects[i].Name, "pods", "")
			q.fill(a)
			var found decision
			s.decide(&found, &q, a.User, x.clock)
			if found.rule != nil {
				count++
			}
		}
		if count != 0 && count != len(whole.Subjects) {
			t.Fatalf("%d of %d subjects hold the binding", count, len(whole.Subjects))
		}
	}
	cancel()
	writer.Wait()
}

// Sizes that no cluster has take their time and no more.
func TestHostileSizes(t *testing.T) {
	x := New(Options{})
	subjects := make([]rbacv1.Subject, 1_000_000)
	for i := range subjects {
		subjects[i] = rbacv1.Subject{Kind: "User", Name: fmt.Sprint("u", i)}
	}
	huge := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "huge"}, Subjects: subjects, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "reader"}}
	wide := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "wide"}}
	rule := rbacv1.PolicyRule{Verbs: []string{"\xff\xfe", "get"}}
	for i := range 20_000 {
		rule.APIGroups = append(rule.APIGroups, fmt.Sprint("g", i))
		rule.Resources = append(rule.Resources, fmt.Sprint("r", i))
		rule.ResourceNames = append(rule.ResourceNames, fmt.Sprint("n", i))
	}
	wide.Rules = []rbacv1.PolicyRule{rule}
	load(t, x, []any{reader, huge, wide, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "\xff"},
		Subjects: []rbacv1.Subject{{Kind: "Group", Name: "\xff\xfe"}}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "wide"}}})
	many := make([]string, 100_000)
	for i := range many {
		many[i] = fmt.Sprint("group", i)
	}
	a := gets("u999999", "pods", "")
	if d, _, _ := x.Authorize(t.Context(), a); d != authorizer.DecisionAllow {
		t.Error("the last of a million subjects is not bound")
	}
	a = authorizer.AttributesRecord{User: withGroups("x", append(many, "\xff\xfe")), Verb: "\xff\xfe", APIGroup: "g19999", Resource: "r19999", Name: "n19999", ResourceRequest: true}
	if d, _, _ := x.Authorize(t.Context(), a); d != authorizer.DecisionAllow {
		t.Error("the last of many groups is not bound")
	}
	if step := x.Explain(a); len(step.Sources) != 2 {
		t.Errorf("explained by %v", step.Sources)
	}
	if err := x.Apply(Change{Old: huge}); err != nil {
		t.Fatal(err)
	}
	if d, _, _ := x.Authorize(t.Context(), gets("u5", "pods", "")); d == authorizer.DecisionAllow {
		t.Error("a binding that is gone allows")
	}
}
