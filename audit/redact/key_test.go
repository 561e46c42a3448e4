package redact

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestReadOrMakeKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	made, err := ReadOrMakeKey(dir, rand.Reader)
	if err != nil || len(made) != keyBytes {
		t.Fatalf("made %d bytes, %v", len(made), err)
	}
	read, err := ReadOrMakeKey(dir, strings.NewReader("")) // needs no randomness
	if err != nil || !bytes.Equal(read, made) {
		t.Errorf("read another key: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, KeyName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, KeyName), []byte("c2hvcnQ=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadOrMakeKey(dir, rand.Reader); err == nil || !strings.Contains(err.Error(), KeyName) || strings.Contains(err.Error(), "c2hvcnQ") {
		t.Errorf("a short key: %v", err)
	}
	if _, err := ReadOrMakeKey(t.TempDir(), strings.NewReader("few")); err == nil {
		t.Error("made a key without randomness")
	}
}

// TestOneKeyIsMade has many make it at once.
func TestOneKeyIsMade(t *testing.T) {
	dir := t.TempDir()
	keys := make([][]byte, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() { keys[i], _ = ReadOrMakeKey(dir, rand.Reader) })
	}
	all.Wait()
	for _, k := range keys {
		if len(k) != keyBytes || !bytes.Equal(k, keys[0]) {
			t.Fatal("two keys were made, and one of them is nowhere")
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
