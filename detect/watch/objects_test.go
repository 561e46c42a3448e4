package watch

import (
	"errors"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect"
)

func object(t *testing.T, kind, name string, generation int64, spec string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	text := fmt.Sprintf("apiVersion: gatehouse.io/v1alpha1\nkind: %s\nmetadata: {name: %s, uid: %s, generation: %d}\nspec: %s\n", kind, name, name, generation, spec)
	data, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = u.UnmarshalJSON(data)
	}
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func client(objects ...runtime.Object) *fake.FakeDynamicClient {
	return fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		ruleResource: "DetectionRuleList", muteResource: "MuteList",
	}, objects...)
}

// condition awaits a condition of an object, and returns its reason and message.
func condition(t *testing.T, c *fake.FakeDynamicClient, of schema.GroupVersionResource, name, kind, status string) (reason, message string) {
	t.Helper()
	await(t, fmt.Sprintf("%s of %s is %s", kind, name, status), func() bool {
		u, err := c.Resource(of).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		all, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
		for _, one := range all {
			m := one.(map[string]any)
			if m["type"] == kind && m["status"] == status && m["observedGeneration"] == u.GetGeneration() {
				reason, message = m["reason"].(string), m["message"].(string)
				return true
			}
		}
		return false
	})
	return reason, message
}

const (
	goodRule = `{title: t, severity: high, message: m, match: {resources: [secrets]}, key: [user]}`
	badRule  = `{title: t, severity: high, message: m, match: {resources: [secrets]}, condition: "user == 7"}`
)

func TestObjects(t *testing.T) {
	policy, err := audit.NewPolicy([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := client(object(t, "DetectionRule", "there", 1, goodRule))
	w := start(t, Options{Objects: c, Policy: policy})
	w.take(t, event(0, "jane", "get", "secrets"))
	if _, ok := w.findings()["there jane"]; !ok {
		t.Fatalf("the rule that was there finds nothing: %v", w.findings())
	}

	put := func(of schema.GroupVersionResource, u *unstructured.Unstructured) {
		t.Helper()
		_, err := c.Resource(of).Create(t.Context(), u, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			_, err = c.Resource(of).Update(t.Context(), u, metav1.UpdateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(ruleResource, object(t, "DetectionRule", "fresh", 1, goodRule))
	if reason, _ := condition(t, c, ruleResource, "fresh", v1alpha1.DetectionAccepted, "True"); reason != v1alpha1.DetectionInForce {
		t.Errorf("reason %s", reason)
	}
	if reason, _ := condition(t, c, ruleResource, "fresh", v1alpha1.DetectionSighted, "True"); reason != v1alpha1.DetectionSees {
		t.Errorf("reason %s", reason)
	}
	condition(t, c, ruleResource, "there", v1alpha1.DetectionAccepted, "True")
	w.take(t, event(1, "bob", "get", "secrets"))
	if _, ok := w.findings()["fresh bob"]; !ok {
		t.Errorf("the new rule finds nothing: %v", w.findings())
	}

	// One that is refused says why, and one that was good before goes on.
	put(ruleResource, object(t, "DetectionRule", "wrong", 1, badRule))
	if reason, message := condition(t, c, ruleResource, "wrong", v1alpha1.DetectionAccepted, "False"); reason != v1alpha1.DetectionInvalid || message == "" {
		t.Errorf("reason %s: %s", reason, message)
	}
	put(ruleResource, object(t, "DetectionRule", "fresh", 2, badRule))
	if _, message := condition(t, c, ruleResource, "fresh", v1alpha1.DetectionAccepted, "False"); message == "" {
		t.Error("no message")
	}
	w.take(t, event(2, "eve", "get", "secrets"))
	if got := w.findings(); got["fresh eve"] == "" || got["wrong eve"] != "" {
		t.Errorf("what is refused: %v", got)
	}

	// The policy turns blind.
	if err := policy.Replace([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]\n")); err != nil {
		t.Fatal(err)
	}
	put(ruleResource, object(t, "DetectionRule", "fresh", 3, goodRule))
	if reason, message := condition(t, c, ruleResource, "fresh", v1alpha1.DetectionSighted, "False"); reason != v1alpha1.DetectionBlind || message == "" {
		t.Errorf("reason %s: %s", reason, message)
	}

	if err := c.Resource(ruleResource).Delete(t.Context(), "fresh", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the rule is gone", func() bool { return w.rules.set().Rule("fresh") == nil })
}

func TestMuteObjects(t *testing.T) {
	c := client(object(t, "DetectionRule", "read", 1, goodRule))
	w := start(t, Options{Objects: c})
	w.take(t, event(0, "jane", "get", "secrets"))
	end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for name, spec := range map[string]string{
		"good":  `{match: {rules: [read], users: [jane]}, owner: o, reason: r, expiresAt: "` + end + `"}`,
		"empty": `{match: {}, owner: o, reason: r, expiresAt: "` + end + `"}`,
		"over":  `{match: {rules: [x]}, owner: o, reason: r, expiresAt: "2026-01-01T00:00:00Z"}`,
	} {
		if _, err := c.Resource(muteResource).Create(t.Context(), object(t, "Mute", name, 1, spec), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the finding that is open is told as muted", func() bool {
		for _, change := range w.told.all() {
			if change.Finding.Muted == "good" && change.What == detect.Again {
				return true
			}
		}
		return false
	})
	condition(t, c, muteResource, "good", v1alpha1.MuteAccepted, "True")
	if reason, _ := condition(t, c, muteResource, "empty", v1alpha1.MuteAccepted, "False"); reason != v1alpha1.MuteInvalid {
		t.Errorf("reason %s", reason)
	}
	if reason, _ := condition(t, c, muteResource, "over", v1alpha1.MuteAccepted, "False"); reason != v1alpha1.MuteExpired {
		t.Errorf("reason %s", reason)
	}
	used := func() int64 {
		u, err := c.Resource(muteResource).Get(t.Context(), "good", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n, _, _ := unstructured.NestedInt64(u.Object, "status", "muted")
		return n
	}
	await(t, "its use is counted", func() bool { return used() == 1 })
	if err := c.Resource(muteResource).Delete(t.Context(), "good", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the finding is told again", func() bool {
		all := w.told.all()
		last := all[len(all)-1]
		return last.Finding.Rule == "read" && last.Finding.Muted == "" && last.What == detect.Again
	})
}

// TestNoSuchKinds: a cluster without the definitions is no reason not to judge.
func TestNoSuchKinds(t *testing.T) {
	c := client()
	c.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewNotFound(a.GetResource().GroupResource(), "")
	})
	w := start(t, Options{Objects: c, RulesDir: rulesDir(t, ruleFile)})
	w.take(t, event(0, "jane", "get", "secrets"))
	if _, ok := w.findings()["read jane"]; !ok {
		t.Errorf("got %v", w.findings())
	}
}

func TestNamesAreTaken(t *testing.T) {
	b, err := newRulebook(&Options{RulesDir: rulesDir(t, ruleFile), Log: func(string) {}})
	if err != nil {
		t.Fatal(err)
	}
	rule, _ := typed[v1alpha1.DetectionRule](object(t, "DetectionRule", "read", 1, goodRule))
	if !b.putRule(rule) || b.rules["read"].problem == "" || len(b.set().Rules()) != 3 {
		t.Errorf("got %+v, %d rules", b.rules["read"], len(b.set().Rules()))
	}
	b.rejectRule("odd", errors.New("no DetectionRule"))
	if b.states()[stateRefused] != 2 {
		t.Errorf("states %v", b.states())
	}
	b.deleteRule("odd")
	b.deleteRule("read")
	if b.states()[stateRefused] != 0 {
		t.Errorf("states %v", b.states())
	}
}
