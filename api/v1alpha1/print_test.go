package v1alpha1

import (
	"bytes"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
)

func printed(t testing.TB, cfg *ServeConfiguration) string {
	t.Helper()
	var b bytes.Buffer
	if err := Print(&b, cfg); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPrintDefaults compares with testdata/defaults.yaml, which is what
// `gatehouse serve --print-config` says without any settings.
func TestPrintDefaults(t *testing.T) {
	cfg := &ServeConfiguration{}
	if err := SetDefaults(cfg, environment("HOME=/home/anna")); err != nil {
		t.Fatal(err)
	}
	got := printed(t, cfg)
	if *update {
		if err := os.WriteFile("testdata/defaults.yaml", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/defaults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s", got)
	}
	if errs := Validate(cfg); len(errs) > 0 {
		t.Errorf("the defaults are not valid: %v", errs)
	}
}

func TestPrintRoundTrip(t *testing.T) {
	for name, data := range seeds {
		cfg, _, err := ParseServeConfiguration(name, []byte(data))
		if err != nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			checkRoundTrip(t, cfg)
			if err := SetDefaults(cfg, environment("HOME=/home/anna")); err != nil {
				t.Fatal(err)
			}
			checkRoundTrip(t, cfg)
		})
	}
}

// TestFieldDocs holds that each field a file may set is documented, or follows
// one whose comment speaks of both.
func TestFieldDocs(t *testing.T) {
	shared := []string{"tls.keyFile", "etcd.certFile", "etcd.keyFile", "admission.disable"}
	for _, p := range fieldPaths(serveConfigurationType, "") {
		if p == "apiVersion" || p == "kind" || fieldDocs[p] != "" {
			continue
		}
		if !slices.Contains(shared, p) {
			t.Errorf("%s has no comment", p)
		}
	}
}

func checkRoundTrip(t testing.TB, cfg *ServeConfiguration) {
	t.Helper()
	text := printed(t, cfg)
	again, _, err := ParseServeConfiguration("printed.yaml", []byte(text))
	if err != nil {
		t.Fatalf("what Print writes does not parse: %v\n%s", err, text)
	}
	if !equality.Semantic.DeepEqual(cfg, again) || !reflect.DeepEqual(cfg.Controllers, again.Controllers) {
		t.Fatalf("got back\n%+v\nwant\n%+v\nthrough\n%s", again, cfg, text)
	}
	if twice := printed(t, again); twice != text {
		t.Fatalf("printed again it is\n%s\nnot\n%s", twice, text)
	}
}

// environment makes a getenv of NAME=value pairs.
func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for _, p := range pairs {
			if value, ok := strings.CutPrefix(p, name+"="); ok {
				return value
			}
		}
		return ""
	}
}
