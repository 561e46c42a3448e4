package rules_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect"
)

var update = flag.Bool("update", false, "write the table of rules in docs/detection.md")

// TestTableOfRules keeps the table in the documentation equal to the rules.
func TestTableOfRules(t *testing.T) {
	const file, begin, end = "../../docs/detection.md", "<!-- rules: begin; go test ./detect/rules -update writes this -->\n", "<!-- rules: end -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", file)
	}
	policy, err := audit.NewPolicy(audit.DefaultPolicy)
	if err != nil {
		t.Fatal(err)
	}
	sight := map[string]detect.Sight{}
	set := compiled(t)
	for _, c := range detect.Cover(set, policy) {
		sight[c.Rule] = c.Sight
	}
	var table strings.Builder
	table.WriteString("| rule | severity | notices | ATT&CK | remembers | needs |\n|---|---|---|---|---|---|\n")
	for _, r := range set.Rules() {
		needs := r.Needs.Level
		if s := sight[r.Name]; s != detect.Sees {
			needs += ", " + string(s)
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s | %s | %s |\n", r.Name, r.Spec.Severity, r.Spec.Title, strings.Join(r.Spec.Attack.Techniques, " "), r.Operator(), needs)
	}
	if got == table.String() {
		return
	}
	if !*update {
		t.Fatalf("the table of rules in %s is not that of the rules: go test ./detect/rules -update", file)
	}
	if err := os.WriteFile(file, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestEveryTactic: every tactic of ATT&CK that requests to an API can show has rules.
// ResourceDevelopment happens before.
func TestEveryTactic(t *testing.T) {
	count := map[string]int{}
	for _, r := range compiled(t).Rules() {
		for _, tactic := range r.Spec.Attack.Tactics {
			count[tactic]++
		}
	}
	for _, tactic := range []string{"Reconnaissance", "InitialAccess", "Execution", "Persistence", "PrivilegeEscalation", "DefenseEvasion", "CredentialAccess", "Discovery", "LateralMovement", "Collection", "CommandAndControl", "Exfiltration", "Impact"} {
		if count[tactic] == 0 {
			t.Errorf("no rule shows %s", tactic)
		}
	}
}
