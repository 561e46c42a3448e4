package rules_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
)

// pagesDir is where the name of a runbook leads.
const pagesDir = "../../docs/runbooks"

// steps are what to do about a finding, by its first tactic: what contains it, and what
// keeps it from happening again.
var steps = map[string]string{
	"Reconnaissance":      "Nobody is in yet. Shut the address out before the API, and see that anonymous requests reach the health endpoints alone (`authentication.anonymousPaths`).",
	"InitialAccess":       "Revoke the credential (a `Revocation` by user, certificate or token id counts within a second). Find out how it got out before you issue another.",
	"Execution":           "What ran in the container cannot be seen here: keep the pod for those who look into it (take its labels off, so that no Service sends to it), and let its controller make another. Take `pods/exec` from those who do not need it; a Guard can except the people for emergencies.",
	"Persistence":         "Revoke the user first: what they leave behind is made again while they are in. Then remove what was made, and look for more of it by the same user and from the same address.",
	"PrivilegeEscalation": "Undo the change (`gatehouse audit show` has what was before), and revoke the user where it was not theirs to make. `gatehouse access` shows what else they can reach now; a policy or a Guard keeps it from being done again.",
	"DefenseEvasion":      "Put back what was changed or removed before anything else: until then you do not see what comes next. `gatehouse audit verify` tells whether what is recorded is whole.",
	"CredentialAccess":    "What was read is known to others: change those passwords and keys where they are used, revoke tokens that were given out, and only then the user's access. A Guard can shut reads of Secrets to all but those who need them.",
	"Discovery":           "By itself it does no harm; it is what comes before. Look at the same user and address for an hour either way. Narrow what the account may list.",
	"LateralMovement":     "Look at both ends: the pod or node it came from is as much in question as the one it went to. Cut the connection with a Revocation or a Guard for the account.",
	"Collection":          "Find out where it went: the same address, later. Change what was secret in it. Narrow what the account may list and watch.",
	"CommandAndControl":   "Cut it off with a NetworkPolicy for the namespace, then look at who made what speaks to the outside.",
	"Exfiltration":        "What left is gone: change what was secret in it. Shut the address out, and revoke the user.",
	"Impact":              "Stop it (a Guard refuses what is done at once, whatever roles allow), then restore what was deleted from a backup, and give back the capacity that was taken.",
}

// TestPageOfEachRule keeps a page for each rule where its runbook leads, equal to the
// rule; and one for a Mute that has expired.
func TestPageOfEachRule(t *testing.T) {
	known := map[string]string{detect.ExpiredMute: expiredMute}
	for _, r := range compiled(t).Rules() {
		tactics := r.Spec.Attack.Tactics
		if len(tactics) == 0 || steps[tactics[0]] == "" {
			t.Errorf("nothing is said of what to do about %s", r.Name)
			continue
		}
		known[r.Spec.Runbook] = page(r.Name, &r.Spec)
	}
	for name, want := range known {
		file := filepath.Join(pagesDir, name+".md")
		if have, _ := os.ReadFile(file); string(have) == want {
			continue
		}
		if !*update {
			t.Errorf("%s is not what the rule says: go test ./detect/rules -update", file)
		} else if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pages, err := filepath.Glob(filepath.Join(pagesDir, "[a-z]*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		if _, ok := known[strings.TrimSuffix(filepath.Base(p), ".md")]; !ok {
			t.Errorf("%s is the page of no rule", p)
		}
	}
}

func page(name string, spec *v1alpha1.DetectionRuleSpec) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s. `%s`; %s", name, spec.Title, spec.Severity, strings.Join(spec.Attack.Tactics, ", "))
	for _, technique := range spec.Attack.Techniques {
		base, sub, _ := strings.Cut(technique, ".")
		if sub != "" {
			sub += "/"
		}
		fmt.Fprintf(&b, ", [%s](https://attack.mitre.org/techniques/%s/%s)", technique, base, sub)
	}
	fmt.Fprintf(&b, ".\n\nThe alert says: “%s”\n\n## Look\n\n", spec.Message)
	query := "gatehouse audit query --since 1h --user USER"
	for _, m := range []struct {
		flag   string
		values []string
	}{{"verb", spec.Match.Verbs}, {"resource", spec.Match.Resources}} {
		if len(m.values) > 0 && !strings.Contains(strings.Join(m.values, ""), "*") {
			query += " --" + m.flag + " " + strings.Join(m.values, ",")
		}
	}
	fmt.Fprintf(&b, "```sh\n%s\ngatehouse audit show AUDIT-ID              # one request whole, and what it changed\ngatehouse audit timeline --user USER --since 1h\ngatehouse access USER                      # what they can reach now\n```\n\n", query)
	if f := spec.FalsePositives; f != "" {
		fmt.Fprintf(&b, "When it means nothing bad: %s\n\n", f)
	}
	fmt.Fprintf(&b, "## Mend\n\n%s\n\nWhat is known and harmless gets a `Mute` with an owner and an end: [Detection](../detection.md#keep-a-finding-quiet).\n", steps[spec.Attack.Tactics[0]])
	if c := spec.Condition; c != "" {
		fmt.Fprintf(&b, "\n## The condition\n\n```cel\n%s\n```\n", strings.TrimSpace(c))
	}
	return b.String()
}

const expiredMute = `# expired-mute

A Mute has expired. ` + "`low`" + `.

What it kept quiet is told again, and nobody has said whether that is still wanted.

## Look

` + "```sh" + `
kubectl get mute NAME -o yaml     # its owner, its reason, its end
` + "```" + `

## Mend

Ask its owner. Where the reason still holds, give it another end; else delete it: [Detection](../detection.md#keep-a-finding-quiet).
`
