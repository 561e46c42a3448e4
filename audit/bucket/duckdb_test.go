package bucket_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// duckDB builds test/oracle/duckdb, or takes the program that DUCKDB_ORACLE names. It
// needs a C++ linker, and nothing else that is not a Go module.
func duckDB(t *testing.T) string {
	t.Helper()
	if program := os.Getenv("DUCKDB_ORACLE"); program != "" {
		return program
	}
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("no g++, which links DuckDB")
	}
	program := filepath.Join(t.TempDir(), "duckdb")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = filepath.Join("..", "..", "test", "oracle", "duckdb")
	build.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build DuckDB: %v\n%s", err, out)
	}
	return program
}

// engineType is a column's type as DuckDB names it.
func engineType(c segment.Column) string {
	return map[string]string{
		"timestamp": "TIMESTAMP WITH TIME ZONE", "string": "VARCHAR", "int": "INTEGER", "bool": "BOOLEAN", "list(string)": "VARCHAR[]",
		"map(string,string)": "MAP(VARCHAR, VARCHAR)", "map(string,list(string))": "MAP(VARCHAR, VARCHAR[])",
	}[c.Type]
}

// oddEvents have what generated ones seldom have.
func oddEvents(at time.Time) []*audit.Event {
	return []*audit.Event{
		{ID: "not a uuid", Stage: audit.StagePanic, Time: at, User: "bad \xff\xfe bytes", Extra: map[string][]string{"a": {}, "b": {"", "x"}, "c": nil}, Unknown: []string{audit.UnknownGroups}},
		{ID: "", Stage: "", Time: at.Add(time.Microsecond), Annotations: map[string]string{audit.AnnotationDecision: "", "k": "\x00"}, Request: []byte{}, Truncated: true, Code: -1},
		{ID: "y", Time: at.Add(time.Second), Received: at, Response: []byte(`{"a":"` + strings.Repeat("é", 200_000) + `"}`), AsUser: "root", AsGroups: []string{"system:masters", ""}, AsExtra: map[string][]string{"scopes": {"1"}}},
	}
}

// What was published is read back by an engine that is not ours, and counted, summed and
// searched as we do.
func TestDuckDBReadsWhatWasPublished(t *testing.T) {
	program := duckDB(t)
	dir := t.TempDir()
	b := open(t, "file://"+dir)
	all := threeDays(40_000)
	first, second := two(t, all)
	first.add(t, oddEvents(all[len(all)-1].Time.Add(time.Minute)))
	var rows []*audit.Event // with what both replicas have twice
	for i, s := range []*store{first, second} {
		if err := publisher(t, b, s, fmt.Sprintf("gh-%d", i), key(t, uint64(i))).Once(context.Background()); err != nil {
			t.Fatal(err)
		}
		for n := range s.segments {
			data := s.data[uint64(n+1)]
			g, err := segment.Open(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			for e, err := range g.Scan(context.Background(), audit.Scan{Bodies: true}) {
				if err != nil {
					t.Fatal(err)
				}
				rows = append(rows, e)
			}
		}
	}

	type question struct {
		sql  string
		want [][]string // NULL is ␀
	}
	var questions []question
	ask := func(sql string, want ...[]string) { questions = append(questions, question{sql, want}) }
	sum := func(of func(e *audit.Event) int64) string {
		n := int64(0)
		for _, e := range rows {
			n += of(e)
		}
		return fmt.Sprint(n)
	}
	counts := func(of func(e *audit.Event) []string) (want [][]string) {
		n := map[string]int{}
		for _, e := range rows {
			for _, v := range of(e) {
				n[v]++
			}
		}
		for _, v := range slices.Sorted(maps.Keys(n)) {
			want = append(want, []string{v, fmt.Sprint(n[v])})
		}
		return want
	}
	decided := func(e *audit.Event, key string) []string {
		if v, ok := e.Annotations[key]; ok {
			return []string{v}
		}
		return []string{"␀"}
	}
	length := func(of map[string][]string) (n int64) {
		for _, v := range of {
			n += int64(len(v))
		}
		return n
	}
	boolean := func(b bool) int64 {
		if b {
			return 1
		}
		return 0
	}

	columns := [][]string{}
	for _, c := range segment.Columns() {
		columns = append(columns, []string{c.Name, engineType(c)})
	}
	ask("SELECT column_name, column_type FROM (DESCRIBE audit)", append(columns, []string{"cluster", "VARCHAR"}, []string{"day", "DATE"})...)
	ask("SELECT count(*) FROM audit", []string{fmt.Sprint(len(rows))})
	ask("SELECT CAST(day AS VARCHAR), count(*) FROM audit GROUP BY 1 ORDER BY 1", counts(func(e *audit.Event) []string { return []string{e.Time.Format("2006-01-02")} })...)
	ask("SELECT count(*) FROM audit WHERE CAST(stage_timestamp AS DATE) <> day", []string{"0"})
	ask("SELECT sum(code), sum(epoch_us(stage_timestamp) % 1000003), sum(epoch_us(request_received_timestamp) % 1000003), count(request_received_timestamp) FROM audit", []string{
		sum(func(e *audit.Event) int64 { return int64(e.Code) }), sum(func(e *audit.Event) int64 { return e.Time.UnixMicro() % 1000003 }),
		sum(func(e *audit.Event) int64 { return boolean(!e.Received.IsZero()) * (e.Received.UnixMicro() % 1000003) }),
		sum(func(e *audit.Event) int64 { return boolean(!e.Received.IsZero()) }),
	})
	// The texts of every column: their lengths in bytes, and how many there are.
	for name, of := range map[string]func(e *audit.Event) string{
		"audit_id": func(e *audit.Event) string { return e.ID }, "stage": func(e *audit.Event) string { return e.Stage }, "level": func(e *audit.Event) string { return e.Level },
		"verb": func(e *audit.Event) string { return e.Verb }, "request_uri": func(e *audit.Event) string { return e.URI }, "user_name": func(e *audit.Event) string { return e.User },
		"user_uid": func(e *audit.Event) string { return e.UID }, "user_agent": func(e *audit.Event) string { return e.UserAgent }, "impersonated_user": func(e *audit.Event) string { return e.AsUser },
		"api_group": func(e *audit.Event) string { return e.APIGroup }, "resource": func(e *audit.Event) string { return e.Resource }, "subresource": func(e *audit.Event) string { return e.Subresource },
		"namespace": func(e *audit.Event) string { return e.Namespace }, "name": func(e *audit.Event) string { return e.Name }, "object_uid": func(e *audit.Event) string { return e.ObjectUID },
		"resource_version": func(e *audit.Event) string { return e.ResourceVersion }, "status": func(e *audit.Event) string { return e.Status },
		"status_reason": func(e *audit.Event) string { return e.StatusReason }, "status_message": func(e *audit.Event) string { return e.Message }, "source": func(e *audit.Event) string { return e.Source },
	} {
		distinct := map[string]bool{}
		for _, e := range rows {
			distinct[of(e)] = true
		}
		ask("SELECT sum(strlen("+name+")), count(DISTINCT "+name+"), count(*) - count("+name+") FROM audit",
			[]string{sum(func(e *audit.Event) int64 { return int64(len(of(e))) }), fmt.Sprint(len(distinct)), "0"})
	}
	for name, of := range map[string]func(e *audit.Event) []byte{
		"request_object": func(e *audit.Event) []byte { return e.Request }, "response_object": func(e *audit.Event) []byte { return e.Response },
	} {
		ask("SELECT sum(strlen("+name+")), count("+name+") FROM audit", []string{
			sum(func(e *audit.Event) int64 { return int64(len(of(e))) }), sum(func(e *audit.Event) int64 { return boolean(of(e) != nil) })})
	}
	for name, of := range map[string]func(e *audit.Event) []string{
		"user_groups": func(e *audit.Event) []string { return e.Groups }, "impersonated_groups": func(e *audit.Event) []string { return e.AsGroups },
		"source_ips": func(e *audit.Event) []string { return e.SourceIPs }, "unknown": func(e *audit.Event) []string { return e.Unknown },
	} {
		ask("SELECT v, count(*) FROM (SELECT unnest("+name+") AS v FROM audit) GROUP BY 1 ORDER BY 1", counts(of)...)
	}
	ask("SELECT CAST(truncated AS VARCHAR), count(*) FROM audit GROUP BY 1 ORDER BY 1", counts(func(e *audit.Event) []string { return []string{fmt.Sprint(e.Truncated)} })...)
	ask("SELECT decision, count(*) FROM audit GROUP BY 1 ORDER BY coalesce(decision, '␀')", counts(func(e *audit.Event) []string { return decided(e, audit.AnnotationDecision) })...)
	ask("SELECT decision_reason, count(*) FROM audit GROUP BY 1 ORDER BY coalesce(decision_reason, '␀')", counts(func(e *audit.Event) []string { return decided(e, audit.AnnotationReason) })...)
	ask("SELECT sum(cardinality(user_extra)), sum(len(flatten(map_values(user_extra)))), sum(cardinality(impersonated_extra)) FROM audit", []string{
		sum(func(e *audit.Event) int64 { return int64(len(e.Extra)) }), sum(func(e *audit.Event) int64 { return length(e.Extra) }), sum(func(e *audit.Event) int64 { return int64(len(e.AsExtra)) })})
	ask("SELECT k, count(*) FROM (SELECT unnest(map_keys(annotations)) AS k FROM audit) GROUP BY 1 ORDER BY 1", counts(func(e *audit.Event) (all []string) {
		for k := range e.Annotations {
			if k != audit.AnnotationDecision && k != audit.AnnotationReason {
				all = append(all, k)
			}
		}
		return all
	})...)
	// Conditions that an engine answers by bounds, dictionaries and bloom filters.
	for _, f := range []struct {
		sql    string
		filter audit.Filter
	}{
		{"audit_id = '" + all[777].ID + "'", audit.Filter{IDs: []string{all[777].ID}}},
		{"name = '" + all[15_000].Name + "'", audit.Filter{Names: []string{all[15_000].Name}}},
		{"user_name = 'jane.doe@example.com' AND impersonated_user = ''", audit.Filter{Users: []string{"jane.doe@example.com"}}},
		{"user_name = 'nobody'", audit.Filter{Users: []string{"nobody"}}},
		{"contains(request_uri, 'tailLines=100')", audit.Filter{URIContains: "tailLines=100"}},
		{"stage_timestamp >= '" + all[9000].Time.Format("2006-01-02 15:04:05.000000Z") + "' AND stage_timestamp < '" + all[20_000].Time.Format("2006-01-02 15:04:05.000000Z") + "'", audit.Filter{From: all[9000].Time, To: all[20_000].Time}},
		{"resource = 'secrets' AND verb IN ('get', 'list') AND list_contains(user_groups, 'system:nodes')", audit.Filter{Resources: []string{"secrets"}, Verbs: []string{"get", "list"}, Groups: []string{"system:nodes"}}},
	} {
		ask("SELECT count(*) FROM audit WHERE "+f.sql, []string{sum(func(e *audit.Event) int64 {
			return boolean(f.filter.Matches(e) && (!strings.Contains(f.sql, "impersonated") || e.AsUser == ""))
		})})
	}

	var in strings.Builder
	for _, q := range questions {
		fmt.Fprintln(&in, q.sql)
	}
	run := exec.Command(program, "-files", dir+"/cluster=*/day=*/*.parquet")
	run.Stdin = strings.NewReader(in.String())
	var complaint bytes.Buffer
	run.Stderr = &complaint
	out, err := run.Output()
	if err != nil {
		t.Fatalf("DuckDB: %v\n%s", err, complaint.String())
	}
	answers := json.NewDecoder(bytes.NewReader(out))
	for _, q := range questions {
		var got [][]*string
		if err := answers.Decode(&got); err != nil {
			t.Fatalf("%s: %v", q.sql, err)
		}
		var texts [][]string
		for _, row := range got {
			var cells []string
			for _, cell := range row {
				if cell == nil {
					cells = append(cells, "␀")
				} else {
					cells = append(cells, *cell)
				}
			}
			texts = append(texts, cells)
		}
		if fmt.Sprint(texts) != fmt.Sprint(q.want) {
			t.Errorf("%s\n got %.1500v\nwant %.1500v", q.sql, texts, q.want)
		}
	}
	t.Logf("%d questions of %d rows", len(questions), len(rows))
}
