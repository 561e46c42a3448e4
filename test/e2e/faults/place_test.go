package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

func TestPortTaken(t *testing.T) {
	s := server.Start(t, server.Options{})
	address := strings.TrimPrefix(s.URL, "https://")
	dir := filepath.Join(folder(t), "d")
	refuses(t, server.Options{Dir: dir, Listen: address}, "cannot listen on "+address+": address already in use", "--listen")
	unchanged(t, dir, map[string]string{}) // no key is made for a server that does not start
}

func TestAddressOfAnotherMachine(t *testing.T) {
	// 192.0.2.0/24 is for documentation (RFC 5737): nobody has it.
	refuses(t, server.Options{Listen: "192.0.2.7:6443"}, "cannot listen on 192.0.2.7:6443", "--listen")
}

func TestDataDirectoryInUse(t *testing.T) {
	s := server.Start(t, server.Options{})
	before := contents(t, s.Path("pki"))
	refuses(t, server.Options{Dir: s.Dir}, fmt.Sprintf("data directory %s is in use by process %d", s.Dir, s.PID()), "--data-dir")
	unchanged(t, s.Path("pki"), before)
	if lock, err := os.ReadFile(s.Path("lock")); err != nil || string(lock) != fmt.Sprint(s.PID()) {
		t.Errorf("the lock holds %q after a refusal, error %v", lock, err)
	}

	// A lock is its process's: it is free when that dies.
	s.Kill()
	s.Restart(t)
}

func TestDataDirectoryNotWritable(t *testing.T) {
	dir := folder(t)
	file := filepath.Join(dir, "file")
	write(t, file, "")
	refuses(t, server.Options{Dir: file}, file, "--data-dir")
	below := filepath.Join(file, "d")
	refuses(t, server.Options{Dir: below, Args: nil}, below, "--data-dir")

	// Root writes everywhere but on a read-only mount.
	if os.Geteuid() == 0 {
		mount := filepath.Join(dir, "m")
		mountTmpfs(t, mount, "16m")
		if out, err := exec.Command("mount", "-o", "remount,ro", mount).CombinedOutput(); err != nil {
			t.Skipf("no read-only mount: %v: %s", err, out)
		}
		refuses(t, server.Options{Dir: filepath.Join(mount, "d")}, filepath.Join(mount, "d"), "read-only file system", "--data-dir")
		return
	}
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	refuses(t, server.Options{Dir: filepath.Join(closed, "d")}, filepath.Join(closed, "d"), "permission denied", "--data-dir")
}

func TestDataDirectoryWithALongName(t *testing.T) {
	dir := filepath.Join(folder(t), strings.Repeat("long", 30))
	refuses(t, server.Options{Dir: dir}, dir, "--data-dir")
}

// mountTmpfs mounts a disk of its own, or skips the test where that is not permitted.
func mountTmpfs(t *testing.T, at, size string) {
	t.Helper()
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=0700,size="+size, "tmpfs", at).CombinedOutput()
	if err != nil {
		t.Skipf("no tmpfs can be mounted: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("unmount %s: %v: %s", at, err, out)
		}
	})
}
