package faults

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// A store that cannot be read is not begun anew over: the message names it.
func TestDamagedStore(t *testing.T) {
	good := installation(t)
	const db, wal = "etcd/member/snap/db", "etcd/member/wal/0000000000000000-0000000000000000.wal"
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
	}{
		{"database that is none", func(t *testing.T, dir string) { overwrite(t, filepath.Join(dir, db), 0, 20_000) }},
		{"database that is cut off", func(t *testing.T, dir string) { cutOff(t, filepath.Join(dir, db), 3000) }},
		{"log that is none", func(t *testing.T, dir string) { overwrite(t, filepath.Join(dir, wal), 0, 50_000) }},
		{"log with a flaw", func(t *testing.T, dir string) { overwrite(t, filepath.Join(dir, wal), 30_000, 8) }},
		{"log that is cut off", func(t *testing.T, dir string) { cutOff(t, filepath.Join(dir, wal), 20_000) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "log that is cut off" && testing.Short() {
				t.Skip("etcd is waited for")
			}
			dir := copyOf(t, good.Dir)
			c.damage(t, dir)
			before := contents(t, dir)
			refuses(t, server.Options{Dir: dir, Listen: good.Listen}, "etcd in "+filepath.Join(dir, "etcd"), "restore")
			unchanged(t, dir, before)
		})
	}
}

// A store is not readable without the key it was written with; a new key in its
// place would hide that, and mix what is written from then on with the rest.
func TestEncryptionKeyGone(t *testing.T) {
	good := installation(t)
	key := filepath.Join(good.Dir, "secret", "encryption.yaml")
	remove(t, key)
	refuses(t, good, "encryption.yaml", "restore")
	if _, err := os.Stat(key); err == nil {
		t.Error("a new key is made for a store that holds objects under another")
	}
}

// The whole folder away is a new cluster, and the keys that are there are kept.
func TestStoreGone(t *testing.T) {
	good := installation(t)
	remove(t, filepath.Join(good.Dir, "etcd"))
	before := contents(t, filepath.Join(good.Dir, "pki"))
	s := server.Start(t, good)
	if _, err := s.Admin(t).CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	unchanged(t, filepath.Join(good.Dir, "pki"), before)
}

// An etcd that cannot be used is said so, with its address, after a wait that an
// etcd which is only starting needs.
func TestEtcdUnusable(t *testing.T) {
	cold, warm := startCluster(t), startCluster(t)
	cold.line.freeze(true)
	closed := server.FreeAddress(t)
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"nobody listens", []string{"--etcd-servers", "http://" + closed}, []string{closed, "--etcd-servers"}},
		{"it hangs", cold.flags(), []string{cold.line.listener.Addr().String(), "--etcd-servers"}},
		{"no client certificate", warm.flags()[:4], []string{warm.line.listener.Addr().String(), "TLS"}},
		{"no such CA file", append(warm.flags(), "--etcd-cafile", "/nowhere/ca.crt"), []string{"/nowhere/ca.crt", "etcd.caFile"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // it is nearly all waiting
			begun := time.Now()
			refuses(t, server.Options{Args: c.args}, c.says...)
			within(t, 30*time.Second, "saying so", begun)
		})
	}
}

func overwrite(t *testing.T, path string, from int64, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	noise := make([]byte, n)
	_, _ = rand.Read(noise)
	if _, err := f.WriteAt(noise, from); err != nil {
		t.Fatal(err)
	}
}

func cutOff(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}
