package attack

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/rules"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

var update = flag.Bool("update", false, "write the table of techniques in docs/detection.md")

// patience is how long an alert may take, on a machine that does much else.
const patience = 15 * time.Second

// outcome is what became of a technique.
type outcome struct {
	technique
	tells bool
	took  time.Duration
}

// TestAttacks does every technique, and looks for its alerts in Alertmanager.
func TestAttacks(t *testing.T) {
	p := startPlace(t, every)
	var all []outcome
	for i, q := range every {
		t.Run(q.does, func(t *testing.T) {
			a := p.attacker(t, i)
			begun := time.Now().Truncate(time.Second)
			if err := q.do(a); err != nil {
				t.Fatalf("it did not work: %v", err)
			}
			done := time.Now()
			by := strings.ReplaceAll(cmp.Or(q.by, a.user), "NS", a.ns)
			for _, rule := range q.rules {
				server.Eventually(t, patience, func(ctx context.Context) error { return has(ctx, p.alerts, rule, by, begun) })
			}
			all = append(all, outcome{q, true, time.Since(done)})
		})
		if len(all) != i+1 {
			all = append(all, outcome{technique: q})
		}
	}
	tells, longest := 0, slices.MaxFunc(all, func(a, b outcome) int { return cmp.Compare(a.took, b.took) })
	for _, o := range all {
		if o.tells {
			tells++
		}
	}
	t.Logf("%d of %d techniques were told; the longest took %v: it %s", tells, len(all), longest.took.Round(time.Millisecond), longest.does)
	if p.filtered(t) {
		return
	}
	writeTable(t, all)
}

// unattacked are the rules that no technique is for, and why.
var unattacked = map[string]string{
	"account-by-kubectl":     "learns for a day which accounts it is usual for",
	"secret-list-account":    "learns for a day which accounts do it",
	"secret-new-agent":       "learns for a week what somebody uses",
	"secret-new-address":     "learns for a week where somebody is",
	"new-address-privileged": "learns for a week where somebody is",
	"static-pod-of-system":   "learns for a week which nodes run the control plane",
	"control-plane-silent":   "waits half an hour for a control plane to speak again",
	"throttled":              "takes a server that is too busy to let attackers be told apart",
}

// TestEveryRuleIsAttacked: there is a technique for each rule, or a reason why not.
func TestEveryRuleIsAttacked(t *testing.T) {
	attacked := map[string]bool{}
	for _, q := range every {
		for _, name := range q.rules {
			attacked[name] = true
		}
	}
	set := ourRules(t)
	for _, rule := range set.Rules() {
		if attacked[rule.Name] == (unattacked[rule.Name] != "") {
			t.Errorf("%s: attacked is %v, and the reason why it is not %q", rule.Name, attacked[rule.Name], unattacked[rule.Name])
		}
	}
	for name := range unattacked {
		if set.Rule(name) == nil {
			t.Errorf("there is no rule %s", name)
		}
	}
}

func ourRules(t *testing.T) *detect.Set {
	t.Helper()
	files, err := rules.Read(t.Context())
	must(t, err)
	set, problems := detect.Compile(files.Rules, detect.Options{Untested: true})
	must(t, files.Locate(problems))
	return set
}

// has says why Alertmanager has no alert of a rule that names somebody and was seen since.
func has(ctx context.Context, m *server.Alertmanager, rule, by string, since time.Time) error {
	all, err := m.Alerts(ctx, rule)
	if err != nil {
		return err
	}
	why := fmt.Errorf("there is no alert %s", rule)
	for _, a := range all {
		last, err := time.Parse(time.RFC3339, a.Annotations["last_seen"])
		switch {
		case by != "-" && a.Annotations["user"] != by:
			why = fmt.Errorf("the alert %s names %q and not %s", rule, a.Annotations["user"], by)
		case err != nil || last.Before(since):
			why = fmt.Errorf("the alert %s was last seen at %q", rule, a.Annotations["last_seen"])
		default:
			return nil
		}
	}
	return why
}

// filtered reports whether only some techniques were asked for.
func (p *place) filtered(t *testing.T) bool {
	pattern := flag.Lookup("test.run").Value.String()
	return strings.Contains(pattern, "/") || flag.Lookup("test.skip").Value.String() != ""
}

// writeTable holds the table in the documentation against what came out.
func writeTable(t *testing.T, all []outcome) {
	t.Helper()
	const file, begin, end = "../../docs/detection.md", "<!-- attacks: begin; make attack ATTACK_FLAGS=-update writes this -->\n", "<!-- attacks: end -->"
	set := ourRules(t)
	policy, err := audit.NewPolicy(audit.DefaultPolicy)
	must(t, err)
	blind := map[string]bool{}
	for _, c := range detect.Cover(set, policy) {
		blind[c.Rule] = c.Sight == detect.Blind
	}
	var table strings.Builder
	table.WriteString("| somebody … | rule | severity | told |\n|---|---|---|---|\n")
	for _, o := range all {
		var names, severities []string
		told := map[bool]string{true: "yes", false: "no"}[o.tells]
		for _, name := range o.rules {
			rule := set.Rule(name)
			if rule == nil {
				t.Fatalf("there is no rule %s", name)
			}
			names, severities = append(names, "`"+name+"`"), append(severities, string(rule.Spec.Severity))
			if blind[name] {
				told = strings.Replace(told, "yes", "yes, with the rule for the audit policy above", 1)
			}
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", o.does, strings.Join(names, " "), strings.Join(severities, " "), told)
	}
	text, err := os.ReadFile(file)
	must(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", file)
	}
	if got == table.String() {
		return
	}
	if !*update {
		t.Fatalf("the table of techniques in %s is not what came out: make attack ATTACK_FLAGS=-update", file)
	}
	must(t, os.WriteFile(file, []byte(before+begin+table.String()+end+after), 0o644))
}
