package follow

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestFollowsWhatIsThereAndWhatChanges(t *testing.T) {
	w := newWorld(t, definition(rules, "Rule"), ruleOf("a", "one", 1))
	if w.HasSynced() || w.Set() != nil || w.State() != nil {
		t.Fatal("policies are in force before they have been read")
	}
	w.run(t)
	w.await(t, "a says one", func(s *State) bool { return texts(s) == "a: one\n" })
	if _, validators := w.Set().Len(); validators != 1 || !w.HasSynced() {
		t.Errorf("%d validators are in force", validators)
	}
	of := w.client.Resource(rules)
	ctx := t.Context()
	must[*unstructured.Unstructured](t)(of.Create(ctx, ruleOf("b", "two", 1), metav1.CreateOptions{}))
	w.await(t, "b is there too", func(s *State) bool { return texts(s) == "a: one\nb: two\n" })
	must[*unstructured.Unstructured](t)(of.Update(ctx, ruleOf("b", "broken", 2), metav1.UpdateOptions{}))
	s := w.await(t, "b is broken", func(s *State) bool { return len(s.Problems) == 1 })
	if got := texts(s); got != "a: one\nb: two\n" || !s.Problems[0].InForce {
		t.Errorf("in force: %q, problem %+v; want the last good version of b", got, s.Problems[0])
	}
	if err := of.Delete(ctx, "b", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.await(t, "b is gone", func(s *State) bool { return texts(s) == "a: one\n" && len(s.Problems) == 0 })
}

func TestAStatusThatIsWrittenCompilesNothing(t *testing.T) {
	w := newWorld(t, definition(rules, "Rule"), ruleOf("a", "one", 1))
	w.run(t)
	w.await(t, "a says one", func(s *State) bool { return texts(s) == "a: one\n" })
	of := w.client.Resource(rules)
	with := ruleOf("a", "one", 1)
	with.Object["status"] = map[string]any{"observedGeneration": int64(1)}
	must[*unstructured.Unstructured](t)(of.UpdateStatus(t.Context(), with, metav1.UpdateOptions{}))
	// A change that counts, behind it in the same watch, is the only thing compiled.
	must[*unstructured.Unstructured](t)(of.Update(t.Context(), ruleOf("a", "two", 2), metav1.UpdateOptions{}))
	w.await(t, "a says two", func(s *State) bool { return texts(s) == "a: two\n" })
	if len(w.states) != 0 {
		t.Error("more was compiled than the two versions")
	}
}

func TestAKindIsFollowedFromItsDefinitionOnAndLeftWithIt(t *testing.T) {
	w := newWorld(t, ruleOf("a", "one", 1))
	w.run(t)
	w.await(t, "nothing is followed", func(s *State) bool { return texts(s) == "" })
	crds := w.client.Resource(definitions)
	unready := definition(rules, "Rule")
	unstructured.RemoveNestedField(unready.Object, "status")
	must[*unstructured.Unstructured](t)(crds.Create(t.Context(), unready, metav1.CreateOptions{}))
	w.await(t, "the definition is seen and not yet served", func(s *State) bool { return texts(s) == "" })
	must[*unstructured.Unstructured](t)(crds.Update(t.Context(), definition(rules, "Rule"), metav1.UpdateOptions{}))
	w.await(t, "a says one", func(s *State) bool { return texts(s) == "a: one\n" })
	if err := crds.Delete(t.Context(), "rules.rules.test", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.await(t, "the kind is gone", func(s *State) bool { return texts(s) == "" })
}

func TestExceptionsAreFollowed(t *testing.T) {
	w := newWorld(t, definition(exceptions, "Exception"))
	w.run(t)
	w.await(t, "there is none", func(s *State) bool { return len(s.Exceptions.All()) == 0 })
	x := exceptionOn("x", "2099-01-01T00:00:00Z")
	must[*unstructured.Unstructured](t)(w.client.Resource(exceptions).Create(t.Context(), x, metav1.CreateOptions{}))
	w.await(t, "x is there", func(s *State) bool { return len(s.Exceptions.All()) == 1 })
	x = x.DeepCopy()
	x.SetGeneration(2)
	unstructured.RemoveNestedField(x.Object, "spec", "owner")
	must[*unstructured.Unstructured](t)(w.client.Resource(exceptions).Update(t.Context(), x, metav1.UpdateOptions{}))
	s := w.await(t, "x does not compile", func(s *State) bool { return len(s.Problems) == 1 })
	if len(s.Exceptions.All()) != 1 || !s.Problems[0].InForce {
		t.Errorf("the last good version is not in force: %+v", s.Problems)
	}
}

func exceptionOn(name, until string) *unstructured.Unstructured {
	return object(exceptions, "Exception", name, 1, map[string]any{
		"policies": []any{map[string]any{"name": "a"}}, "match": map[string]any{"namespaces": []any{"shop"}},
		"reason": "for a test", "owner": "anna", "expiresAt": until,
	})
}
