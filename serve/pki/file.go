package pki

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	fileMode fs.FileMode = 0o600
	dirMode  fs.FileMode = 0o700
	// widths are the permissions nobody but the owner may have.
	widths fs.FileMode = 0o077
)

// readPrivate reads a file that holds a private key. It looks at the mode of
// the file it has open, so what was checked is what is read.
func readPrivate(verb, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		fe := &FileError{Verb: verb, File: path, Err: bare(err)}
		if errors.Is(err, fs.ErrPermission) {
			fe.Mend = "run as the user who owns it"
		}
		return nil, fe
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, &FileError{Verb: verb, File: path, Err: bare(err)}
	}
	if mode := info.Mode().Perm(); mode&widths != 0 {
		return nil, &FileError{
			Verb: verb,
			File: path,
			Err:  fmt.Errorf("mode %04o lets others at a private key", mode),
			Mend: "chmod 600 " + path,
		}
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, &FileError{Verb: verb, File: path, Err: bare(err)}
	}
	return data, nil
}

// makeDir makes the directory of the PKI, or refuses one that others may enter.
func makeDir(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, dirMode); err != nil {
			return fmt.Errorf("make PKI directory: %w", err)
		}
		return syncDir(filepath.Dir(dir))
	}
	if err != nil {
		return fmt.Errorf("read PKI directory: %w", err)
	}
	if !info.IsDir() {
		return &FileError{Verb: "read PKI directory", File: dir, Err: errors.New("is not a directory")}
	}
	if mode := info.Mode().Perm(); mode&widths != 0 {
		return &FileError{
			Verb: "read PKI directory",
			File: dir,
			Err:  fmt.Errorf("mode %04o lets others at private keys", mode),
			Mend: "chmod 700 " + dir,
		}
	}
	return nil
}

// staged is a file written whole under a temporary name beside its place.
type staged struct{ temp, path string }

// stagedSuffix marks temporary files, so that sweep knows them.
const stagedSuffix = ".tmp-"

// stage writes data, with mode 0600, and forces it to the disk.
func stage(path string, data []byte) (_ *staged, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+stagedSuffix+"*")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	s := &staged{temp: f.Name(), path: path}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(fileMode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		s.discard()
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return s, nil
}

// place moves the file to its place, over whatever is there.
func (s *staged) place() error {
	if err := os.Rename(s.temp, s.path); err != nil {
		return fmt.Errorf("write %s: %w", s.path, err)
	}
	return nil
}

// placeNew moves the file to its place, and fails when something is there: two
// servers started at once over one directory must not mix their authorities. A
// file system without hard links loses that protection and nothing else.
func (s *staged) placeNew() error {
	err := os.Link(s.temp, s.path)
	if errors.Is(err, fs.ErrExist) {
		return &FileError{
			Verb: "write new key",
			File: s.path,
			Err:  errors.New("another process made it at the same time"),
			Mend: "run one gatehouse over a data directory, and start again",
		}
	}
	if err != nil {
		return s.place()
	}
	s.discard()
	return nil
}

// discard removes the temporary file. After place it finds nothing to remove.
func (s *staged) discard() { _ = os.Remove(s.temp) }

// writeFile replaces path with data in one step.
func writeFile(path string, data []byte) error {
	s, err := stage(path, data)
	if err != nil {
		return err
	}
	defer s.discard()
	if err := s.place(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeNewFile is writeFile for a file that must not be there yet.
func writeNewFile(path string, data []byte) error {
	s, err := stage(path, data)
	if err != nil {
		return err
	}
	defer s.discard()
	if err := s.placeNew(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writePair replaces a key and its certificate. Both are on the disk before
// either is in its place, so the time in which a reader can find the new key
// beside the old certificate is that between two renames.
func writePair(pair Pair, certPEM, keyPEM []byte) error {
	key, err := stage(pair.Key, keyPEM)
	if err != nil {
		return err
	}
	defer key.discard()
	cert, err := stage(pair.Cert, certPEM)
	if err != nil {
		return err
	}
	defer cert.discard()
	if err := key.place(); err != nil {
		return err
	}
	if err := cert.place(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(pair.Cert))
}

// syncDir makes the names in a directory last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// sweep removes what a crash left half written in dir, for the file named or,
// when name is empty, for any: such a file may hold a private key.
func sweep(dir, name string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("sweep PKI directory: %w", err)
	}
	for _, entry := range entries {
		of, _, ok := strings.Cut(entry.Name(), stagedSuffix)
		if !ok || !strings.HasPrefix(of, ".") || name != "" && of != "."+name {
			continue
		}
		err := os.Remove(filepath.Join(dir, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sweep PKI directory: %w", err)
		}
	}
	return nil
}
