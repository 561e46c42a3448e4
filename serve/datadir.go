package serve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// leastFreeBytes is what the data directory's filesystem must have free at
// start: etcd's write-ahead log alone preallocates two files of 64 MB.
const leastFreeBytes = 256 << 20

// dataDir is the folder that holds everything the server keeps. Its paths are
// fixed; the layout is described in docs/data-directory.md.
type dataDir struct {
	root string
	lock *os.File // held from openDataDir to close; the kernel drops it when the process dies
}

func (d *dataDir) path(elem ...string) string {
	return filepath.Join(append([]string{d.root}, elem...)...)
}

func (d *dataDir) adminKubeconfig() string { return d.path("admin.kubeconfig") }
func (d *dataDir) pki() string             { return d.path("pki") }
func (d *dataDir) etcd() string            { return d.path("etcd") }
func (d *dataDir) etcdSocket() string      { return d.path("etcd.sock") }
func (d *dataDir) etcdHTTPSocket() string  { return d.path("etcd-http.sock") }
func (d *dataDir) encryptionConfig() string {
	return d.path("secret", "encryption.yaml")
}
func (d *dataDir) auditLog() string          { return d.path("audit", "audit.log") }
func (d *dataDir) auditStore() string        { return d.path("audit", "store") }
func (d *dataDir) generated(n string) string { return d.path("run", n) }
func (d *dataDir) subdirs() []string         { return []string{"audit", "etcd", "pki", "run", "secret"} }
func (d *dataDir) close() error              { return d.lock.Close() }
func permissionHint(path string) *StartError { // shared by every refusal over a mode
	return &StartError{
		Problem: fmt.Sprintf("data directory %s can be read by other users", path),
		Mend:    fmt.Sprintf("chmod 700 %s", path),
	}
}

// openDataDir creates root (0700) where it is missing, refuses one that others
// can read, and locks it against a second process.
func openDataDir(root string) (*dataDir, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("find data directory: %w", err)
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, &StartError{
			Problem: fmt.Sprintf("cannot create data directory %s: %v", root, underlying(err)),
			Mend:    "name a folder this user may write with --data-dir",
		}
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("read data directory: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, permissionHint(root)
	}
	d := &dataDir{root: root}
	if max := 103; len(d.etcdHTTPSocket()) > max { // sun_path of sockaddr_un: 108 bytes on Linux, 104 on macOS
		return nil, &StartError{
			Problem: fmt.Sprintf("data directory %s has too long a name for a unix socket in it (%d of at most %d bytes)", root, len(d.etcdHTTPSocket()), max),
			Mend:    "choose a shorter --data-dir",
		}
	}
	d.lock, err = os.OpenFile(d.path("lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &StartError{
			Problem: fmt.Sprintf("cannot write to data directory %s: %v", root, underlying(err)),
			Mend:    "run as the user that owns it, or name another with --data-dir",
		}
	}
	if err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		owner := make([]byte, 32)
		n, _ := d.lock.ReadAt(owner, 0)
		d.lock.Close()
		who := "another process"
		if n > 0 {
			who = "process " + string(owner[:n])
		}
		return nil, &StartError{
			Problem: fmt.Sprintf("data directory %s is in use by %s", root, who),
			Mend:    "stop it first, or start this one with another --data-dir",
		}
	}
	if err := d.prepare(); err != nil {
		d.lock.Close()
		return nil, err
	}
	return d, nil
}

func (d *dataDir) prepare() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(d.root, &fs); err == nil {
		if free := uint64(fs.Bavail) * uint64(fs.Bsize); free < leastFreeBytes {
			return &StartError{
				Problem: fmt.Sprintf("disk of data directory %s is full: %d MB free, %d MB needed", d.root, free>>20, leastFreeBytes>>20),
				Mend:    "free some space, or name a folder on another disk with --data-dir",
			}
		}
	}
	if err := d.lock.Truncate(0); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	if _, err := d.lock.WriteAt([]byte(fmt.Sprint(os.Getpid())), 0); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	for _, sub := range d.subdirs() {
		if err := os.MkdirAll(d.path(sub), 0o700); err != nil {
			return &StartError{
				Problem: fmt.Sprintf("cannot create folder %s: %v", d.path(sub), underlying(err)),
				Mend:    "move away what lies there",
			}
		}
	}
	return nil
}

// underlying is the error behind a path error, whose path the message already names.
func underlying(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Err
	}
	return err
}
