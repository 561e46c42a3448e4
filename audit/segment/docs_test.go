package segment_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// ddl are the columns as an engine declares them, one a line.
func ddl(types map[string]string, nullable func(string) string) string {
	var b strings.Builder
	for _, c := range segment.Columns() {
		t := types[c.Type]
		if c.Nullable {
			t = nullable(t)
		}
		fmt.Fprintf(&b, "    %s %s,\n", c.Name, t)
	}
	return b.String()
}

// The page about object storage has the columns as they are, in both engines' words.
func TestThePageHasTheColumns(t *testing.T) {
	page, err := os.ReadFile("../../docs/audit-object-storage.md")
	if err != nil {
		t.Fatal(err)
	}
	same := func(t string) string { return t }
	clickHouse := ddl(map[string]string{
		"timestamp": "DateTime64(6, 'UTC')", "string": "String", "int": "Int32", "bool": "Bool", "list(string)": "Array(String)",
		"map(string,string)": "Map(String, String)", "map(string,list(string))": "Map(String, Array(String))",
	}, func(t string) string { return "Nullable(" + t + ")" })
	trino := ddl(map[string]string{
		"timestamp": "timestamp(6)", "string": "varchar", "int": "integer", "bool": "boolean", "list(string)": "array(varchar)",
		"map(string,string)": "map(varchar, varchar)", "map(string,list(string))": "map(varchar, array(varchar))",
	}, same)
	for engine, want := range map[string]string{"ClickHouse": strings.TrimSuffix(clickHouse, ",\n") + "\n", "Trino": trino} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks the columns of %s:\n%s", engine, want)
		}
	}
	var listed []string
	_, table, _ := strings.Cut(string(page), "\n## The columns\n")
	for line := range strings.Lines(table) {
		if name, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ = strings.Cut(name, "`")
			listed = append(listed, name)
		}
	}
	var want []string
	for _, c := range segment.Columns() {
		want = append(want, c.Name)
	}
	if strings.Join(listed, "\n") != strings.Join(want, "\n") {
		t.Errorf("the page lists the columns\n%v\nand there are\n%v", listed, want)
	}
}
