package rule_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/telemetry/rule"
)

var update = flag.Bool("update", false, "write the pages of alerts in docs/runbooks")

// TestPages keeps the page of each alert equal to what is said here, and finds pages of
// alerts that are gone.
func TestPages(t *testing.T) {
	const dir = "../../docs/runbooks"
	groups, err := rule.Groups(rule.Options{Selector: `job="gatehouse"`})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, g := range groups {
		for i := range g.Alerts {
			a := &g.Alerts[i]
			if a.Name == "" || a.Means == "" || a.Check == "" || a.Mend == "" || a.Says == "" {
				t.Errorf("%s lacks a part of its page", a.Name)
			}
			if known[a.Name] {
				t.Errorf("there are two alerts %s", a.Name)
			}
			known[a.Name] = true
			file := filepath.Join(dir, a.Name+".md")
			want := page(a)
			if have, _ := os.ReadFile(file); string(have) == want {
				continue
			}
			if !*update {
				t.Errorf("%s is not what the alert says: go test ./telemetry/rule -update", file)
			} else if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	pages, err := filepath.Glob(filepath.Join(dir, "Gatehouse*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		if !known[strings.TrimSuffix(filepath.Base(p), ".md")] {
			t.Errorf("%s is the page of no alert", p)
		}
	}
}

func page(a *rule.Alert) string {
	lasts := ""
	if a.For != "" {
		lasts = ", after " + a.For
	}
	const says = "`%s`%s. Prometheus tells it as: “%s”\n"
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", a.Name)
	fmt.Fprintf(&b, says, a.Severity, lasts, a.Says)
	for _, part := range []struct{ title, text string }{{"What it means", a.Means}, {"Look", a.Check}, {"Mend", a.Mend}} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", part.title, part.text)
	}
	fmt.Fprintf(&b, "\n## The condition\n\n```promql\n%s\n```\n\n[Monitoring](../monitoring.md) says how alerts are loaded.\n", a.Condition)
	return b.String()
}
