package v1alpha1

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the expected errors in testdata")

// TestErrors holds what a user sees of a bad file, word for word.
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i+1 < len(archive.Files); i += 2 {
				in, want := archive.Files[i], &archive.Files[i+1]
				name := strings.TrimSuffix(in.Name, ".yaml")
				if want.Name != name+".err" {
					t.Fatalf("%s is followed by %s", in.Name, want.Name)
				}
				t.Run(name, func(t *testing.T) {
					err := loadError(in.Name, in.Data)
					if err == nil {
						t.Fatal("no error")
					}
					got := err.Error() + "\n"
					if *update {
						want.Data = []byte(got)
					}
					if got != string(want.Data) {
						t.Errorf("got:\n%swant:\n%s", got, want.Data)
					}
					if strings.Contains(got, "secret@") {
						t.Errorf("shows a password:\n%s", got)
					}
					var first *FieldError
					if !errors.As(err, &first) || first.File != in.Name {
						t.Errorf("not a FieldError of %s: %#v", in.Name, err)
					}
				})
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func loadError(name string, data []byte) error {
	cfg, source, err := ParseServeConfiguration(name, data)
	if err != nil {
		return err
	}
	return source.Locate(Validate(cfg))
}

const header = "apiVersion: gatehouse.io/v1alpha1\nkind: ServeConfiguration\n"

func TestParse(t *testing.T) {
	cfg := mustParse(t, header+`
listen: 0.0.0.0:6443
controllers: []
tls:
etcd:
  servers: []
  quotaBackend: 2147483648
authentication:
  bootstrapTokens: False
  webhook: {configFile: w.yaml, cacheTTL: 90s}
  anonymousPaths: null
authorization: {modes: [RBAC, Node]}
audit:
  maxAgeDays: 0x10
featureGates: {B: true, A: false}
`)
	webhook := cfg.Authentication.Webhook
	switch {
	case cfg.Listen != "0.0.0.0:6443",
		cfg.Controllers == nil || len(*cfg.Controllers) != 0,
		cfg.Etcd.Servers != nil,
		cfg.Etcd.QuotaBackend.Value() != 2<<30,
		cfg.Authentication.BootstrapTokens == nil || *cfg.Authentication.BootstrapTokens,
		webhook == nil || webhook.ConfigFile != "w.yaml" || webhook.CacheTTL.Duration != 90*time.Second,
		cfg.Authentication.AnonymousPaths != nil,
		strings.Join(cfg.Authorization.Modes, ",") != "RBAC,Node",
		cfg.Audit.MaxAgeDays != 16,
		len(cfg.FeatureGates) != 2 || !cfg.FeatureGates["B"]:
		t.Errorf("got %+v", cfg)
	}
}

func TestParseJSON(t *testing.T) {
	cfg := mustParse(t, "{\"apiVersion\": \"gatehouse.io/v1alpha1\",\n\t\"kind\": \"ServeConfiguration\",\n\t\"tls\": {\"sans\": [\"a\", \"b\"]}}")
	if len(cfg.TLS.SANs) != 2 {
		t.Errorf("got %+v", cfg.TLS)
	}
}

// TestParseBounds feeds files made to cost more than they are worth.
func TestParseBounds(t *testing.T) {
	bomb := header + "x: &a [1,1,1,1,1,1,1,1]\n"
	for i := range 20 {
		a, b := string(rune('a'+i)), string(rune('a'+i+1))
		bomb += "y" + b + ": &" + b + " [*" + a + ",*" + a + ",*" + a + ",*" + a + "]\n"
	}
	for name, data := range map[string]string{
		"alias bomb":     bomb,
		"cycle":          header + "tls: &a {sans: *a}\n",
		"too large":      header + "#" + strings.Repeat("x", maxConfigurationBytes),
		"unknown fields": header + manyFields(50_000),
		"deep flow":      header + "tls: " + strings.Repeat("[", 500_000),
		"deep block":     header + "tls: " + strings.Repeat("- ", 500_000),
		"long key":       header + "? " + strings.Repeat("k", 900_000) + "\n: 1\n",
		"long number":    header + "etcd: {quotaBackend: 1" + strings.Repeat("0", 900_000) + "}\n",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, _, err := ParseServeConfiguration("f.yaml", []byte(data))
			if err == nil {
				t.Fatal("no error")
			}
			var list FieldErrorList
			if !errors.As(err, &list) || len(list) > maxProblems || len(err.Error()) > 10_000 {
				t.Errorf("%d problems in %d bytes", len(list), len(err.Error()))
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("k")
		b.WriteString(strings.Repeat(string(rune('a'+i%26)), 1+i%7))
		b.WriteString(strings.TrimLeft(time.Duration(i).String(), "-"))
		b.WriteString(": 1\n")
	}
	return b.String()
}

func mustParse(t *testing.T, data string) *ServeConfiguration {
	t.Helper()
	cfg, _, err := ParseServeConfiguration("gatehouse.yaml", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}
