package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckPodSecurityFixtures has the command judge every fixture of upstream, of every
// level and version: each of fail is refused by Pod Security, and none of pass is. What
// else is wrong with a fixture, such as a field of another version, is not looked at.
func TestCheckPodSecurityFixtures(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/pod-security-admission").Output()
	if err != nil {
		t.Skipf("the source of upstream is not here: %v", err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), "test", "testdata")
	t.Chdir(root)
	versions, err := filepath.Glob(filepath.Join("*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	judged, refused, passed := 0, 0, 0
	for _, dir := range versions {
		level, version := filepath.Split(dir)
		at := strings.TrimSuffix(level, string(filepath.Separator)) + ":" + version
		var out, errs bytes.Buffer
		if code := Main([]string{"check", dir, "--pod-security", at, "--format", "json", "--fail-on", "never"}, &out, &errs); code != exitOK {
			t.Fatalf("%s: exit code %d: %s", dir, code, errs.String())
		}
		var report struct {
			Summary  struct{ Checked int }
			Findings []struct{ Rule, Action, File string }
		}
		if err := json.Unmarshal(out.Bytes(), &report); err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		denied := map[string]bool{}
		for _, f := range report.Findings {
			if rest, ok := strings.CutPrefix(f.Rule, "PodSecurity "); ok && f.Action == "deny" {
				if rest != at {
					t.Errorf("%s: it is refused at %s", f.File, rest)
				}
				denied[f.File] = true
			}
		}
		for _, want := range []string{"fail", "pass"} {
			files, err := os.ReadDir(filepath.Join(dir, want))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				name := filepath.ToSlash(filepath.Join(dir, want, f.Name()))
				judged++
				switch {
				case denied[name] != (want == "fail"):
					t.Errorf("%s: refused is %v", name, denied[name])
				case want == "fail":
					refused++
				default:
					passed++
				}
				delete(denied, name)
			}
			report.Summary.Checked -= len(files)
		}
		if report.Summary.Checked != 0 || len(denied) > 0 {
			t.Errorf("%s: %d objects more than there are files are checked, and %v refused besides", dir, report.Summary.Checked, denied)
		}
	}
	t.Logf("Pod Security fixtures through the command: %d refused and %d passed, of %d", refused, passed, judged)
	if judged != 4537 || refused == 0 || passed == 0 {
		t.Errorf("there are %d fixtures, %d refused and %d passed, and 4537 were expected", judged, refused, passed)
	}
}
