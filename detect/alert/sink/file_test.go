package sink

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts.jsonl")
	s := made(t, v1alpha1.AlertOptions{Files: []v1alpha1.FileSink{{Path: path}}})
	mustSend(t, s, told(hostile), resolved(told("b")))
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(`{"torn`), 0o640); err != nil {
		t.Fatal(err)
	}
	mustSend(t, s, told("c"))
	old, _ := os.ReadFile(path + ".1")
	fresh, _ := os.ReadFile(path)
	harmless(t, "file", string(old))
	var got []alert.Alert
	for line := range strings.Lines(string(old) + string(fresh)) {
		var a alert.Alert
		if err := json.Unmarshal([]byte(line), &a); err == nil {
			got = append(got, a)
		} else if line != "{\"torn\n" {
			t.Errorf("%v: %s", err, line)
		}
	}
	if len(got) != 3 || got[0].Finding.Subject.Address != "192.0.2.7" || got[1].Cause != alert.CauseOver || got[2].Context.Reach.More != 1 {
		t.Errorf("got %+v", got)
	}
	if err := send(t, made(t, v1alpha1.AlertOptions{Files: []v1alpha1.FileSink{{Path: "/nowhere/x"}}}), told("a")); err == nil {
		t.Error("a file that cannot be written")
	}
	if err := send(t, made(t, v1alpha1.AlertOptions{Files: []v1alpha1.FileSink{{Path: "/dev/full"}}}), told("a")); err == nil {
		t.Error("a full disk")
	}
}
