package bucket_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// TestDuckDBReadsWhatWasJoined has an engine that is not ours read files, and one that was
// joined of them: every row and every column is the same, also where the engine goes by
// bounds, dictionaries and bloom filters.
func TestDuckDBReadsWhatWasJoined(t *testing.T) {
	program := duckDB(t)
	dir := t.TempDir()
	all := threeDays(9000)
	all = append(all, oddEvents(all[len(all)-1].Time.Add(time.Minute))...)
	var files []*segment.Segment
	var digests []segment.Digest
	for i, from := range []int{0, 2000, 2500, 8000} {
		to := append([]int{2000, 2500, 8000}, len(all))[i]
		var b bytes.Buffer
		info, err := segment.Write(&b, all[from:to])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "part-"+string(rune('a'+i))+".parquet"), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := segment.Open(bytes.NewReader(b.Bytes()), info.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		files, digests = append(files, s), append(digests, info.SHA256)
	}
	var joined bytes.Buffer
	if _, err := segment.Join(t.Context(), &joined, files, digests); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "joined.parquet"), joined.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	questions := strings.Join([]string{
		"SELECT * FROM audit ORDER BY stage_timestamp, audit_id, stage",
		"SELECT count(*) FROM audit WHERE audit_id = '" + all[2100].ID + "'",
		"SELECT count(*) FROM audit WHERE user_name = '" + all[7000].User + "' AND namespace = '" + all[7000].Namespace + "'",
		"SELECT min(stage_timestamp), max(stage_timestamp), min(user_name), max(name) FROM audit",
		"SELECT count(*) FROM audit WHERE stage_timestamp >= '" + all[1990].Time.Format("2006-01-02 15:04:05.000000Z") + "' AND stage_timestamp < '" + all[2600].Time.Format("2006-01-02 15:04:05.000000Z") + "'",
	}, "\n") + "\n"
	ask := func(files string) string {
		run := exec.Command(program, "-files", filepath.Join(dir, files))
		run.Stdin = strings.NewReader(questions)
		var complaint bytes.Buffer
		run.Stderr = &complaint
		out, err := run.Output()
		if err != nil {
			t.Fatalf("DuckDB: %v\n%s", err, complaint.String())
		}
		return string(out)
	}
	apart, one := ask("part-*.parquet"), ask("joined.parquet")
	if apart != one || strings.Count(one, "\n") != 5 || len(one) < 1<<20 {
		t.Errorf("%d bytes of answers from %d files, %d from one that was joined of them", len(apart), len(files), len(one))
	}
}
