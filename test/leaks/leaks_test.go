package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/test/e2e/kept"
)

const ordinary = `I1126 00:31:39.660164   12345 httplog.go:134] "HTTP" verb="LIST" URI="/apis/policy/v1/namespaces/shop/pods?limit=500" audit-ID="00ce54e1-cdc1-4471-9a40-51c8d9ff83fd" srcIP="127.0.0.1:50344" resp=200
W1126 00:31:39.660164   12345 x.go:1] plugin.authorizationmode policy.0123456789012345 rbac.authorization.k8s.io seconds 123456.1234567890123456 eyJhbGciOiJSUzI1NiJ9
`

// plant writes a folder as the tests leave it, with this line in a file of a folder.
func plant(t *testing.T, folder, line string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{kept.Logs, kept.Audit, kept.Traces, kept.Secrets} {
		text := ordinary
		if name == kept.Secrets {
			text = ""
			for _, secret := range []string{"correct-horse-battery", "first line of a text\nsecond line of a text\n"} {
				text += base64.StdEncoding.EncodeToString([]byte(secret)) + "\n"
			}
		}
		if name == folder {
			text += line + "\n" + ordinary
		}
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "a.txt"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPlantedLeaks(t *testing.T) {
	if text, ok, err := report(plant(t, "", "")); err != nil || !ok {
		t.Fatalf("%v: %s", err, text)
	}
	for _, c := range []struct{ line, what string }{
		{"password=correct-horse-battery", "a test has handed out"},
		{"correct-horse-battery", "a test has handed out"},
		{`{"data":{"p":"` + base64.StdEncoding.EncodeToString([]byte("correct-horse-battery")) + `"}}`, "a test has handed out"},
		{`{"text":"first line of a text\nsecond line of a text\n"}`, "a test has handed out"},
		{"  second line of a text", "a test has handed out"},
		{"Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJlIG9mIGl0", "a JSON web token"},
		{"token abcdef.0123456789abcdef is bad", "a bootstrap token"},
		{"abcdef.0123456789abcdef", "a bootstrap token"},
		{"-----BEGIN EC PRIVATE KEY-----", "a private key"},
		{base64.StdEncoding.EncodeToString([]byte("-----BEGIN RSA PRIVATE KEY-----\nabc")), "a private key"},
		{base64.StdEncoding.EncodeToString([]byte("-----BEGIN EC PRIVATE KEY-----\nabc")), "a private key"},
		{base64.StdEncoding.EncodeToString([]byte("-----BEGIN PRIVATE KEY-----\nabc")), "a private key"},
		{"AGE-SECRET-KEY-1QQQ", "a private key"},
	} {
		for _, folder := range []string{kept.Logs, kept.Audit, kept.Traces} {
			text, ok, err := report(plant(t, folder, c.line))
			if err != nil || ok || !strings.Contains(text, filepath.Join(folder, "a.txt")+":3: ") || !strings.Contains(text, c.what) {
				t.Errorf("%s in %s is not found: %v\n%s", c.line, folder, err, text)
			}
			if strings.Contains(text, "correct-horse-battery") {
				t.Errorf("the find says the secret: %s", text)
			}
		}
	}
}

// What the tests have left nothing of cannot be clean.
func TestNothingIsNotClean(t *testing.T) {
	for _, folder := range []string{kept.Logs, kept.Audit, kept.Traces, kept.Secrets, ""} {
		dir := plant(t, "", "")
		if err := os.RemoveAll(filepath.Join(dir, folder)); err != nil {
			t.Fatal(err)
		}
		if text, ok, _ := report(dir); ok {
			t.Errorf("without %q it is clean:\n%s", folder, text)
		}
	}
}

// TestKept holds what tests note against what is read here.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(kept.Variable, dir)
	kept.Secret("short")
	kept.Secret("correct horse\nbattery")
	kept.Secret("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJlIG9mIGl0")
	fmt.Fprintln(kept.Log(t, "server"), "a line")
	kept.Trace(t, "a span")
	logs := t.TempDir()
	if err := os.WriteFile(filepath.Join(logs, "audit.log"), []byte("an event\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kept.AuditLog(t, logs)
	secrets, err := readSecrets(filepath.Join(dir, kept.Secrets))
	if err != nil || len(secrets) != 2 || secrets[0] != "correct horse\nbattery" || secrets[1] != "c2lnbmF0dXJlIG9mIGl0" {
		t.Errorf("secrets %q, %v", secrets, err)
	}
	if text, ok, err := report(dir); err != nil || !ok {
		t.Errorf("%v: %s", err, text)
	}
}
