package gates

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// ownersOnly fails the test where a folder under dir is not 0700 or a file is
// not 0600.
func ownersOnly(t *testing.T, dir string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) { // etcd and rotation remove files meanwhile
				return nil
			}
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		seen++
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if d.Type()&fs.ModeSocket == 0 && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	})
	passes(t, err)
	if seen < 2 {
		t.Errorf("%s is empty", dir)
	}
}

// shortDir is a folder with a name short enough for a unix socket in it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh-")
	passes(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestDataDirectoryIsTheOwners(t *testing.T) {
	ownersOnly(t, shared(t).Dir)
}
