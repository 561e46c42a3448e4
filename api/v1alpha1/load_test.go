package v1alpha1

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestLoadResolvesPaths(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "gatehouse.yaml"), header+`
dataDir: data
tls: {certFile: ../tls.crt, keyFile: /etc/tls.key}
authentication: {webhook: {configFile: w.yaml}}
`)
	t.Chdir(dir)
	cfg, err := LoadServeConfiguration("gatehouse.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ got, want string }{
		{cfg.DataDir, filepath.Join(dir, "data")},
		{cfg.TLS.CertFile, filepath.Join(filepath.Dir(dir), "tls.crt")},
		{cfg.TLS.KeyFile, "/etc/tls.key"},
		{cfg.Authentication.Webhook.ConfigFile, filepath.Join(dir, "w.yaml")},
		{cfg.Audit.LogFile, ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// TestPathsAreComplete finds every field whose name says it is a path.
func TestPathsAreComplete(t *testing.T) {
	cfg := &ServeConfiguration{Authentication: AuthenticationOptions{Webhook: &AuthenticationWebhook{}}, Detection: oneSinkEach()}
	known := map[*string]bool{}
	for _, p := range paths(cfg) {
		known[p] = true
	}
	count := 0
	for _, p := range fieldPaths(serveConfigurationType, "") {
		if v := at(cfg, p); v.Kind() == reflect.String && (strings.HasSuffix(p, "File") || strings.HasSuffix(p, "Dir") || strings.HasSuffix(p, "files[].path")) {
			count++
			if !known[v.Addr().Interface().(*string)] {
				t.Errorf("%s is not resolved", p)
			}
		}
	}
	if count != len(known) {
		t.Errorf("%d paths in the schema, %d resolved", count, len(known))
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadServeConfiguration(filepath.Join(dir, "none.yaml")); !errors.Is(err, fs.ErrNotExist) ||
		strings.Count(err.Error(), "none.yaml") != 1 {
		t.Errorf("got %v", err)
	}
	if _, err := LoadServeConfiguration(dir); err == nil {
		t.Error("a folder is no file")
	}
	bad := filepath.Join(dir, "bad.yaml")
	write(t, bad, header+"listen: nowhere\n")
	_, err := LoadServeConfiguration(bad)
	var e *FieldError
	if !errors.As(err, &e) || e.Line != 3 || e.Col != 9 || e.Field != "listen" || e.File != bad {
		t.Errorf("got %#v", e)
	}
	write(t, bad, header+strings.Repeat("#", maxConfigurationBytes))
	if _, err := LoadServeConfiguration(bad); err == nil || !strings.Contains(err.Error(), "1 MiB") {
		t.Errorf("got %v", err)
	}
}

// TestLocateWithoutFile is a configuration made of flags alone.
func TestLocateWithoutFile(t *testing.T) {
	var none *Source
	err := none.Locate(Validate(&ServeConfiguration{Listen: "x"}))
	if err == nil || !strings.HasPrefix(err.Error(), "listen: invalid value") {
		t.Errorf("got %v", err)
	}
	if err := none.Locate(nil); err != nil {
		t.Errorf("got %v", err)
	}
}

func write(t *testing.T, name, data string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}
