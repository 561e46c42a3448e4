package program

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLdflagsStampTheVersion(t *testing.T) {
	got := ldflags(version{Version: "v1.37.2", Time: time.Date(2026, 10, 27, 12, 1, 4, 0, time.UTC)})
	for _, want := range []string{
		"version.gitVersion=v1.37.2", "version.gitMajor=1 ", "version.gitMinor=37 ",
		"version.buildDate=2026-10-27T12:01:04Z",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

func TestPinnedFollowsGoMod(t *testing.T) {
	for _, p := range programs {
		v, err := pinned(t.Context(), p.module)
		if err != nil || !strings.HasPrefix(v.Version, "v") || v.Time.IsZero() {
			t.Errorf("%s: got %+v, %v", p.name, v, err)
		}
	}
}

func TestFindRefusesAnUnknownName(t *testing.T) {
	_, err := find("kubelet")
	if err == nil || !strings.Contains(err.Error(), "kube-apiserver, ") {
		t.Errorf("got %v, want an error that lists the programs", err)
	}
}

func TestIsBuilt(t *testing.T) {
	dir := t.TempDir()
	out, stamp := filepath.Join(dir, "x"), filepath.Join(dir, "x.stamp")
	check := func(what string, want bool) {
		t.Helper()
		if got, err := isBuilt(out, stamp, "recipe"); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", what, got, err, want)
		}
	}
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check("nothing there", false)
	write(out, "binary")
	check("no stamp", false)
	write(stamp, "older recipe")
	check("another recipe", false)
	write(stamp, "recipe")
	check("this recipe", true)
}
