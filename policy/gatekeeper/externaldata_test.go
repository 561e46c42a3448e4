package gatekeeper_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
)

const askedInRego = `violation[{"msg": msg}] {
  response := external_data({"provider": "%s", "keys": [input.review.object.data.host]})
  msg := sprintf("%%v %%v %%v %%v", [response.responses, response.errors, response.status_code, response.system_error])
}`

// Rego asks a real provider over HTTPS.
func TestExternalDataInRego(t *testing.T) {
	server := serveProviders(t)
	for _, c := range []struct {
		provider, host, want string
		failed               bool
	}{
		{"good", "x", `[["x", "good:x"]] [] 200 `, false},
		{"good", "bad", `[] [["bad", "no such image"]] 200 `, false},
		{"broken", "x", `[["x", "broken:x"]] [] 200 out of order`, false},
		{"secret", "x", "the provider secret is not allowed: name it, with its address, under admission.externalData.providers", true},
		{"nowhere", "x", `there is no provider "nowhere"`, true},
	} {
		e := engineWith(t, server, "good", "broken")
		loaded := e.Compile(objects(t, server.object("good")+"\n---\n"+server.object("broken")+"\n---\n"+server.object("secret")+"\n---\n"+rego("Asks", fmt.Sprintf(askedInRego, c.provider), "{}")))
		if len(loaded.Problems) != 1 || loaded.Problems[0].Source.Name != "secret" || !strings.Contains(loaded.Problems[0].Message, "is not allowed") {
			t.Fatalf("problems: %+v", loaded.Problems)
		}
		o := aConfigMap()
		o.Object["data"] = map[string]any{"host": c.host}
		out := policy.NewSet(loaded.Policies, policy.Options{}).Validate(context.Background(), request(admission.Create, o, nil, nil))
		if len(out.Denials) != 1 || !strings.Contains(out.Message(), c.want) || (out.Denials[0].Err != nil) != c.failed {
			t.Errorf("%s %s: %q, want %q", c.provider, c.host, out.Message(), c.want)
		}
	}
}

// What a provider has answered to a template is not asked again for another constraint of
// it, though it is not kept: an error is not.
func TestExternalDataIsAskedOnceForATemplate(t *testing.T) {
	server := serveProviders(t)
	text := rego("Asks", fmt.Sprintf(askedInRego, "good"), "{}")
	two := text + "\n---\n" + strings.Replace(text[strings.Index(text, "---\n")+4:], "name: one", "name: two", 1)
	loaded := engineWith(t, server, "good").Compile(objects(t, server.object("good")+"\n---\n"+two))
	if len(loaded.Problems) > 0 {
		t.Fatal(loaded.Problems)
	}
	o := aConfigMap()
	o.Object["data"] = map[string]any{"host": "bad"}
	out := policy.NewSet(loaded.Policies, policy.Options{}).Validate(context.Background(), request(admission.Create, o, nil, nil))
	if calls := server.calls.Load(); len(out.Denials) != 2 || calls != 1 {
		t.Errorf("%d calls: %s", calls, out.Message())
	}
}

// A policy that does not look at system_error refuses all the same where the provider
// was not asked.
func TestExternalDataFailsClosed(t *testing.T) {
	server := serveProviders(t)
	const careless = `violation[{"msg": "taken"}] { external_data({"provider": "good", "keys": ["x"]}).responses[_][1] == "taken" }`
	for names, want := range map[string]int{"good": 0, "other": 1} {
		loaded := engineWith(t, server, names).Compile(objects(t, server.object("good")+"\n---\n"+rego("Careless", careless, "{}")))
		out := policy.NewSet(loaded.Policies, policy.Options{}).Validate(context.Background(), request(admission.Create, aConfigMap(), nil, nil))
		if len(out.Denials) != want {
			t.Errorf("%s: %s", names, out.Message())
		}
	}
}

const assignsExternal = `apiVersion: mutations.gatekeeper.sh/v1
kind: Assign
metadata: {name: tag}
spec:
  applyTo: [{groups: [''], versions: [v1], kinds: [ConfigMap]}]
  location: data.host
  parameters: {assign: {externalData: {provider: %s, failurePolicy: %s, default: spare}}}`

func TestExternalDataInMutators(t *testing.T) {
	server := serveProviders(t)
	for _, c := range []struct{ provider, failure, host, want string }{
		{"good", "Fail", "x", "good:x"},
		{"good", "Fail", "bad", "Assign tag: it could not be evaluated: the provider good has no answer: no such image"},
		{"good", "Ignore", "bad", "bad"},
		{"good", "UseDefault", "bad", "spare"},
		{"good", "Fail", "odd", "Assign tag: it could not be evaluated: the provider good answers with something that is no string"},
		{"broken", "Fail", "x", "Assign tag: it could not be evaluated: the provider broken says that it fails: out of order"},
		{"restless", "Fail", "x", "Assign tag: it could not be evaluated: the answer of the provider restless is not idempotent"},
		{"secret", "Fail", "x", "Assign tag: it could not be evaluated: the provider secret is not allowed: name it, with its address, under admission.externalData.providers of the configuration file"},
		{"secret", "UseDefault", "x", "spare"},
	} {
		e := engineWith(t, server, "good", "broken", "restless")
		var text []string
		for _, name := range []string{"good", "broken", "restless", "secret"} {
			text = append(text, server.object(name))
		}
		loaded := e.Compile(objects(t, strings.Join(text, "\n---\n")+"\n---\n"+fmt.Sprintf(assignsExternal, c.provider, c.failure)))
		o := aConfigMap()
		o.Object["data"] = map[string]any{"host": c.host}
		r := request(admission.Create, o, nil, nil)
		out := policy.NewSet(loaded.Policies, policy.Options{}).Mutate(context.Background(), r)
		after, _ := r.Object()
		got := out.Message()
		if got == "" {
			got = after.Object["data"].(map[string]any)["host"].(string)
		}
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
