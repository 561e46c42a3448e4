package secret

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"
)

func TestWriteKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "encryption.yaml")
	if _, err := EnsureLocalKey(path, bytes.NewReader(bytes.Repeat([]byte{7}, 32))); err != nil {
		t.Fatal(err)
	}
	keys, plaintext, err := WriteKeys(path)
	if err != nil || len(keys) != 1 || plaintext != 0 {
		t.Fatalf("keys are %v, plaintext %d, %v", keys, plaintext, err)
	}
	write(t, path, `
kind: EncryptionConfiguration
apiVersion: apiserver.config.k8s.io/v1
resources:
- resources: [secrets]
  providers: [{aescbc: {keys: [{name: b, secret: bmV3}, {name: a, secret: b2xk}]}}, {identity: {}}]
- resources: [configmaps]
  providers: [{identity: {}}]
- resources: [events]
  providers: [{kms: {apiVersion: v2, name: k, endpoint: "unix:///k.sock"}}]
`)
	keys, plaintext, err = WriteKeys(path)
	if err != nil || len(keys) != 1 || keys[0] != DigestOf([]byte("bmV3")) || plaintext != 1 {
		t.Errorf("keys are %v, plaintext %d, %v", keys, plaintext, err)
	}
	write(t, path, "resources: [topsecret")
	if _, _, err = WriteKeys(path); err == nil || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("error is %v", err)
	}
}

func TestAges(t *testing.T) {
	dir := t.TempDir()
	file, ledger := filepath.Join(dir, "keys"), filepath.Join(dir, "ages.json")
	write(t, file, "x")
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(file, made, made); err != nil {
		t.Fatal(err)
	}
	clock := testingclock.NewFakePassiveClock(made.Add(90 * 24 * time.Hour))
	old, fresh := DigestOf([]byte("old")), DigestOf([]byte("new"))
	expect := func(a *Ages, want time.Time, keys ...Digest) {
		t.Helper()
		if at, err := a.Oldest(file, keys...); err != nil || !at.Equal(want) {
			t.Errorf("first seen %v, %v; want %v", at, err, want)
		}
	}
	a := NewAges(ledger, clock)
	expect(a, time.Time{})
	expect(a, made, old)
	// The file is written again with a second key: the first keeps its age.
	rotated := made.Add(100 * 24 * time.Hour)
	if err := os.Chtimes(file, rotated, rotated); err != nil {
		t.Fatal(err)
	}
	clock.SetTime(rotated.Add(time.Hour))
	expect(a, rotated, fresh)
	expect(a, made, old, fresh)
	// Another process knows them too.
	again := NewAges(ledger, clock)
	expect(again, made, old)
	expect(again, rotated, fresh)
	if info, err := os.Stat(ledger); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	write(t, ledger, "{")
	if _, err := NewAges(ledger, clock).Oldest(file, old); err == nil || !strings.Contains(err.Error(), ledger) {
		t.Errorf("error is %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
