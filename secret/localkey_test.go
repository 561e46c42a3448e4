package secret

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"sigs.k8s.io/yaml"
)

func TestEnsureLocalKey(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "encryption.yaml")
	key := bytes.Repeat([]byte{0x5a}, 32)
	created, err := EnsureLocalKey(path, bytes.NewReader(key))
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		APIVersion, Kind string
		Resources        []struct {
			Resources []string
			Providers []struct {
				Secretbox *struct {
					Keys []struct{ Name, Secret string }
				}
				Identity *struct{}
			}
		}
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	if config.Kind != "EncryptionConfiguration" || len(config.Resources) != 1 || strings.Join(config.Resources[0].Resources, " ") != "secrets configmaps" {
		t.Fatalf("file is %s", data)
	}
	providers := config.Resources[0].Providers
	if len(providers) != 2 || providers[0].Secretbox == nil || providers[1].Identity == nil {
		t.Fatalf("providers are %+v; the first one writes", providers)
	}
	if got := providers[0].Secretbox.Keys[0].Secret; got != base64.StdEncoding.EncodeToString(key) {
		t.Error("the key is another than was drawn")
	}

	t.Run("a file that is there is left alone", func(t *testing.T) {
		created, err := EnsureLocalKey(path, iotest.ErrReader(os.ErrClosed))
		if err != nil || created {
			t.Errorf("created %v, %v", created, err)
		}
		if again, _ := os.ReadFile(path); !bytes.Equal(again, data) {
			t.Error("the file has changed")
		}
	})
	t.Run("a file that others can read is refused", func(t *testing.T) {
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		_, err := EnsureLocalKey(path, rand.Reader)
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), base64.StdEncoding.EncodeToString(key)) {
			t.Errorf("error is %v", err)
		}
	})
}

func TestEnsureLocalKeyLeavesNothingHalfWritten(t *testing.T) {
	t.Run("too little randomness", func(t *testing.T) {
		dir := t.TempDir()
		created, err := EnsureLocalKey(filepath.Join(dir, "encryption.yaml"), strings.NewReader("short"))
		if err == nil || created {
			t.Errorf("created %v, %v", created, err)
		}
		empty(t, dir)
	})
	t.Run("a name that cannot be taken", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "encryption.yaml", "x")
		if _, err := EnsureLocalKey(path, rand.Reader); err == nil {
			t.Error("no error")
		}
		empty(t, dir)
	})
}

func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestTwoKeysDiffer(t *testing.T) {
	var files [2][]byte
	for i := range files {
		path := filepath.Join(t.TempDir(), "encryption.yaml")
		if _, err := EnsureLocalKey(path, rand.Reader); err != nil {
			t.Fatal(err)
		}
		files[i], _ = os.ReadFile(path)
	}
	if bytes.Equal(files[0], files[1]) {
		t.Error("two installations have the same key")
	}
}
