package attach

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// knownKinds are the resources of some kinds.
type knownKinds map[schema.GroupKind][]string

func (k knownKinds) Resources(kind schema.GroupKind) []string { return k[kind] }

// A webhook is registered for what selectors can match, and for nothing else.
func TestRules(t *testing.T) {
	w := &webhooks{kinds: knownKinds{
		{Kind: "Pod"}: {"pods", "pods/ephemeralcontainers"}, {Group: "apps", Kind: "Deployment"}: {"deployments"},
	}}
	for name, c := range map[string]struct {
		selector policy.Selector
		want     string
	}{
		"objects of kinds":     {policy.Selector{Groups: []string{"", "apps"}, Kinds: []string{"Pod", "Deployment"}, Resources: []string{"*"}}, "[] [pods]; [apps] [deployments]"},
		"kinds":                {policy.Selector{Groups: []string{""}, Kinds: []string{"Pod"}}, "[] [pods pods/ephemeralcontainers]"},
		"a kind not served":    {policy.Selector{Groups: []string{"x.io"}, Kinds: []string{"X"}, Resources: []string{"*"}}, ""},
		"objects of any kind":  {policy.Selector{Groups: []string{"apps"}, Resources: []string{"*"}}, "[apps] [*]"},
		"objects of any group": {policy.Selector{Kinds: []string{"Pod"}, Resources: []string{"*"}}, "[*] [*]"},
		"other operations":     {policy.Selector{Operations: []admission.Operation{admission.Delete}, Resources: []string{"*"}}, ""},
	} {
		var got []string
		for _, rule := range w.rules([]policy.Selector{c.selector}, admission.Create, admission.Update) {
			got = append(got, fmt.Sprint(rule.APIGroups, " ", rule.Resources))
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s: %s, want %s", name, text, c.want)
		}
	}
}

// selecting is a policy that both changes and judges what it selects.
type selecting struct{ on []policy.Selector }

func (s *selecting) Source() gate.Source                                       { return gate.Source{Kind: "Rule", Name: "one"} }
func (s *selecting) Selectors() []policy.Selector                              { return s.on }
func (s *selecting) Validate(context.Context, *policy.Request) []policy.Result { return nil }
func (s *selecting) Mutation() policy.Mutation                                 { return policy.Mutation{} }
func (s *selecting) Mutate(context.Context, *policy.Request) (*unstructured.Unstructured, error) {
	return nil, nil
}

func setOf(selectors ...policy.Selector) *policy.Set {
	return policy.NewSet([]policy.Policy{&selecting{selectors}}, policy.Options{})
}

func testWebhooks(client *fake.Clientset) *webhooks {
	return &webhooks{client: client, kinds: knownKinds{}, url: "https://127.0.0.1:9443", caBundle: func(context.Context) ([]byte, error) { return []byte("ca"), nil },
		failurePolicy: admissionregistrationv1.Fail, exempt: []string{"kube-system"}, self: "system:serviceaccount:gatehouse-system:gatehouse-attach", timeout: 7 * time.Second}
}

func registeredHooks(t *testing.T, client *fake.Clientset) (*admissionregistrationv1.MutatingWebhookConfiguration, *admissionregistrationv1.ValidatingWebhookConfiguration) {
	t.Helper()
	mutating, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), webhookName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	validating, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), webhookName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return mutating, validating
}

// TestWebhooksFollowThePolicies: what the API server asks about is what the policies can
// match, by operations too; nothing, where there are none any more; and what somebody
// changes is put right.
func TestWebhooksFollowThePolicies(t *testing.T) {
	client := fake.NewClientset()
	w := testWebhooks(client)
	registered := func(when, want string) {
		t.Helper()
		mutating, validating := registeredHooks(t, client)
		var got []string
		for _, hook := range mutating.Webhooks {
			got = append(got, fmt.Sprintf("mutate %s %d s %s: %s", *hook.FailurePolicy, *hook.TimeoutSeconds, *hook.ClientConfig.URL, ruleText(hook.Rules)))
		}
		for _, hook := range validating.Webhooks {
			got = append(got, fmt.Sprintf("validate %s %d s %s: %s", *hook.FailurePolicy, *hook.TimeoutSeconds, *hook.ClientConfig.URL, ruleText(hook.Rules)))
		}
		if text := strings.Join(got, "\n"); text != want {
			t.Errorf("%s:\n%s\nwant\n%s", when, text, want)
		}
	}
	put := func(set *policy.Set) {
		t.Helper()
		if err := w.write(t.Context(), set); err != nil {
			t.Fatal(err)
		}
	}
	pods := policy.Selector{Groups: []string{""}, Resources: []string{"pods"}, Operations: []admission.Operation{admission.Create, admission.Delete}}
	first := "mutate Fail 7 s https://127.0.0.1:9443/mutate: [CREATE] [] [pods]\nvalidate Fail 7 s https://127.0.0.1:9443/validate: [CREATE DELETE] [] [pods]"
	put(setOf(pods))
	registered("with one policy", first)
	put(setOf(pods, policy.Selector{Groups: []string{"apps"}, Resources: []string{"deployments"}}, policy.Selector{Groups: []string{"apps"}, Resources: []string{"*"}},
		policy.Selector{Groups: []string{""}, Resources: []string{"pods/exec"}, Operations: []admission.Operation{admission.Connect}}))
	registered("with more", "mutate Fail 7 s https://127.0.0.1:9443/mutate: [CREATE] [] [pods]; [CREATE UPDATE] [apps] [*]\n"+
		"validate Fail 7 s https://127.0.0.1:9443/validate: [CONNECT] [] [pods/exec]; [CREATE DELETE] [] [pods]; [CONNECT CREATE DELETE UPDATE] [apps] [*]")

	// Somebody weakens it.
	have, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), webhookName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ignore := admissionregistrationv1.Ignore
	have.Webhooks[0].FailurePolicy, have.Webhooks[0].Rules = &ignore, nil
	have.Labels = map[string]string{"theirs": "stays"}
	if _, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Update(t.Context(), have, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	put(setOf(pods))
	registered("after somebody's change", first)
	if have, _ = client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), webhookName, metav1.GetOptions{}); have.Labels["theirs"] != "stays" {
		t.Error("a label of others is taken away")
	}
	client.ClearActions()
	put(setOf(pods))
	for _, action := range client.Actions() {
		if action.GetVerb() != "get" {
			t.Errorf("what is current is written again: %s", action.GetVerb())
		}
	}
	put(policy.NewSet(nil, policy.Options{}))
	registered("without policies", "")
}

func ruleText(rules []admissionregistrationv1.RuleWithOperations) string {
	var all []string
	for _, rule := range rules {
		all = append(all, fmt.Sprint(rule.Operations, " ", rule.APIGroups, " ", rule.Resources))
	}
	return strings.Join(all, "; ")
}

// TestConditions has upstream's matcher say of whom Gatehouse is asked: not of those
// without whom a cluster cannot start, and of everybody else.
func TestConditions(t *testing.T) {
	client := fake.NewClientset()
	w := testWebhooks(client)
	if err := w.write(t.Context(), setOf(policy.Selector{})); err != nil {
		t.Fatal(err)
	}
	mutating, validating := registeredHooks(t, client)
	compiler := cel.NewConditionCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	matchers := map[string]matchconditions.Matcher{
		"mutating":   webhook.NewMutatingWebhookAccessor("m", webhookName, &mutating.Webhooks[0]).GetCompiledMatcher(compiler),
		"validating": webhook.NewValidatingWebhookAccessor("v", webhookName, &validating.Webhooks[0]).GetCompiledMatcher(compiler),
	}
	jane := &user.DefaultInfo{Name: "jane", Groups: []string{"system:authenticated"}}
	pods, leases := schema.GroupVersionResource{Version: "v1", Resource: "pods"}, schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	for name, c := range map[string]struct {
		who      user.Info
		resource schema.GroupVersionResource
		asked    bool
	}{
		"anybody":                {jane, pods, true},
		"a controller":           {&user.DefaultInfo{Name: "system:serviceaccount:kube-system:replicaset-controller"}, pods, true},
		"the API server":         {&user.DefaultInfo{Name: "system:apiserver", Groups: []string{"system:masters"}}, pods, false},
		"a node":                 {&user.DefaultInfo{Name: "system:node:a", Groups: []string{"system:nodes", "system:authenticated"}}, pods, false},
		"Gatehouse":              {&user.DefaultInfo{Name: w.self}, pods, false},
		"a lease":                {jane, leases, false},
		"leases of another kind": {jane, schema.GroupVersionResource{Group: "x.io", Version: "v1", Resource: "leases"}, true},
		"an event":               {jane, schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}, false},
		"an event of old":        {jane, schema.GroupVersionResource{Version: "v1", Resource: "events"}, false},
	} {
		for which, matcher := range matchers {
			a := admission.NewAttributesRecord(&corev1.Pod{}, nil, schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, "shop", "x", c.resource, "", admission.Create, nil, false, c.who)
			got := matcher.Match(t.Context(), &admission.VersionedAttributes{Attributes: a, VersionedKind: a.GetKind()}, nil, nil)
			if got.Error != nil || got.Matches != c.asked {
				t.Errorf("%s, %s: matches is %v (%s), %v", which, name, got.Matches, got.FailedConditionName, got.Error)
			}
		}
	}
}
