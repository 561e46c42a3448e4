package builtin_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/policy/builtin"
)

var update = flag.Bool("update", false, "write the table of docs/builtin-policies.md anew")

const page, tableBegins, tableEnds = "../../docs/builtin-policies.md", "<!-- table -->\n", "<!-- end of table -->\n"

// The page lists every policy there is.
func TestThePageIsTrue(t *testing.T) {
	var table strings.Builder
	table.WriteString("| Policy | Set | What it is for | K-Rail |\n| --- | --- | --- | --- |\n")
	for _, p := range builtin.Catalog() {
		set := p.Set
		if p.NeedsParameters {
			set = "none: needs parameters"
		}
		about := p.About
		if p.Mutates {
			about += " Changes objects."
		}
		krail := "–"
		if p.KRail != "" {
			krail = "`" + p.KRail + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", p.Name, set, about, krail)
	}
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), tableBegins)
	_, after, also := strings.Cut(rest, tableEnds)
	if !ok || !also {
		t.Fatalf("%s has no place for the table", page)
	}
	want := before + tableBegins + table.String() + tableEnds + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(data) != want {
		t.Errorf("%s is not true: run go test ./policy/builtin -run Page -update", page)
	}
}
