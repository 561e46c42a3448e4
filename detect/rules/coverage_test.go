package rules_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/rules"
)

func compiled(t testing.TB) *detect.Set {
	t.Helper()
	files, err := rules.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set, problems := detect.Compile(files.Rules, detect.Options{Untested: true})
	if err := files.Locate(problems); err != nil {
		t.Fatal(err)
	}
	return set
}

// everything records all there is.
const everything = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: RequestResponse}]\n"

// TestEverything: no rule is blind where all is recorded, and every one where nothing is.
func TestEverything(t *testing.T) {
	set := compiled(t)
	for text, want := range map[string]detect.Sight{everything: detect.Sees, strings.Replace(everything, "RequestResponse", "None", 1): detect.Blind} {
		policy, err := audit.NewPolicy([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range detect.Cover(set, policy) {
			if c.Sight != want || (len(c.Reasons) == 0) != (want == detect.Sees) {
				t.Errorf("%s is %s: %q", c.Rule, c.Sight, c.Reasons)
			}
		}
	}
}

// TestMend adds what the coverage says would help to the built-in policy.
func TestMend(t *testing.T) {
	policy, err := audit.NewPolicy(audit.DefaultPolicy)
	if err != nil {
		t.Fatal(err)
	}
	set := compiled(t)
	for _, c := range detect.Cover(set, policy) {
		if c.Mend == "" {
			continue
		}
		mended, err := audit.NewPolicy([]byte(strings.Replace(string(audit.DefaultPolicy), "rules:\n", "rules:\n"+c.Mend, 1)))
		if err != nil {
			t.Errorf("%s: %v\n%s", c.Rule, err, c.Mend)
			continue
		}
		for _, now := range detect.Cover(set, mended) {
			if now.Rule == c.Rule && now.Sight != detect.Sees {
				t.Errorf("%s is %s with\n%s%q", c.Rule, now.Sight, c.Mend, now.Reasons)
			}
		}
	}
}

// TestDefaultPolicy is the list of what the built-in audit policy leaves blind, and why.
func TestDefaultPolicy(t *testing.T) {
	policy, err := audit.NewPolicy(audit.DefaultPolicy)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range detect.Cover(compiled(t), policy) {
		if c.Sight != detect.Sees {
			got[c.Rule] = string(c.Sight) + ": " + c.Reasons[0]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if !strings.HasPrefix(got[name], want[name]) || want[name] == "" {
			t.Errorf("%s is %q, want %q", name, got[name], want[name])
		}
	}
	for name := range want {
		if got[name] == "" {
			t.Errorf("%s sees", name)
		}
	}
}

// Bodies of Secrets and tokens are not recorded because they are secret.
var want = map[string]string{
	"token-far-off": "blind: create serviceaccounts/token is recorded at level Metadata, and the rule needs Request",
	"token-secret":  "blind: create secrets is recorded at level Metadata, and the rule needs Request",
}
