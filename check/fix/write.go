package fix

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write puts the file in place as it was planned: whole, or not at all. A file that is
// a symbolic link stays one, and what it leads to is written.
func (p *Plan) Write() error {
	if !p.Changed() {
		return nil
	}
	path, err := filepath.EvalSymlinks(p.Name)
	if err != nil {
		return fmt.Errorf("write %s: %w", p.Name, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("write %s: %w", p.Name, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("write %s: it is no regular file", p.Name)
	}
	if err := p.write(path, info.Mode().Perm()); err != nil {
		return fmt.Errorf("write %s: %w", p.Name, err)
	}
	return nil
}

func (p *Plan) write(path string, mode os.FileMode) (err error) {
	// A file that its owner may not write must not be replaced by way of its folder.
	writable, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := writable.Close(); err != nil {
		return err
	}
	beside, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(beside.Name()))
		}
	}()
	_, err = beside.Write(p.after)
	err = errors.Join(err, beside.Chmod(mode), beside.Sync(), beside.Close())
	if err != nil {
		return err
	}
	now, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, p.before) {
		return errors.New("the file has changed since it was checked: check it again")
	}
	return os.Rename(beside.Name(), path)
}
