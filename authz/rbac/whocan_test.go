package rbac

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Every subject that WhoCan names may, and every one that may is named, in pages of
// any size.
func TestWhoCanEqualsAuthorize(t *testing.T) {
	w := newWorld(rand.New(rand.NewPCG(5, 5)))
	found := 0
	for range 1000 {
		for range 5 {
			w.change()
		}
		a := w.request()
		var holders []Holder
		limit := 1 + w.r.IntN(7)
		for next := ""; ; {
			page, err := w.index.WhoCan(a, WhoCanOptions{Limit: limit, Continue: next})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Holders) > limit {
				t.Fatalf("a page of %d holders, more than %d", len(page.Holders), limit)
			}
			holders = append(holders, page.Holders...)
			if next = page.Continue; next == "" {
				break
			}
		}
		whole, err := w.index.WhoCan(a, WhoCanOptions{Limit: 100_000})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(holders), fmt.Sprint(whole.Holders); got != want {
			t.Fatalf("pages of %d: %s\nwhole: %s", limit, got, want)
		}
		found += len(holders)
		named := map[member]bool{}
		for _, h := range holders {
			who, ok := memberOf(&h.Subject, h.Binding.Namespace)
			if !ok {
				t.Fatalf("%v means nobody", h.Subject)
			}
			named[who] = true
		}
		for _, name := range users {
			asUser(t, w, a, &user.DefaultInfo{Name: name}, named[member{name: name}])
		}
		for _, name := range groups {
			asUser(t, w, a, &user.DefaultInfo{Name: "nobody", Groups: []string{name}}, named[member{group: true, name: name}])
		}
	}
	if found < 1000 {
		t.Errorf("%d holders in all prove little", found)
	}
}

func asUser(t *testing.T, w *world, a authorizer.AttributesRecord, u user.Info, want bool) {
	t.Helper()
	a.User = u
	if d, _, _ := w.upstream.Authorize(context.Background(), a); (d == authorizer.DecisionAllow) != want {
		t.Fatalf("%s: upstream says %v, and it is named: %v", show(a), d, want)
	}
}

func TestWhoCanRefusesATokenOfItsOwnMaking(t *testing.T) {
	for _, token := range []string{"?", "e30x", "eyJzIjotMX0"} {
		if _, err := New(Options{}).WhoCan(authorizer.AttributesRecord{}, WhoCanOptions{Continue: token}); !errors.Is(err, ErrContinue) {
			t.Errorf("%q: %v", token, err)
		}
	}
}

// Access lists each rule that RulesFor lists, in its scope.
func TestAccessEqualsRulesFor(t *testing.T) {
	w := newWorld(rand.New(rand.NewPCG(6, 6)))
	for range 300 {
		for range 5 {
			w.change()
		}
		u := w.user()
		scopes := map[string][]rbacv1.PolicyRule{}
		for _, s := range w.index.Access(u) {
			if _, twice := scopes[s.Namespace]; twice {
				t.Fatalf("scope %q is there twice", s.Namespace)
			}
			for _, r := range s.Rules {
				scopes[s.Namespace] = append(scopes[s.Namespace], r.Rule)
			}
		}
		for _, namespace := range append(namespaces, "") {
			want, _ := w.resolver.RulesFor(context.Background(), u, namespace)
			got := scopes[""]
			if namespace != "" {
				got = append(slices.Clone(got), scopes[namespace]...)
			}
			if g, w := sorted(got), sorted(want); !slices.Equal(g, w) {
				t.Fatalf("%v in %q: %v\nupstream: %v", u, namespace, g, w)
			}
		}
	}
}
