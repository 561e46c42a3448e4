package secret

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// localKeyTemplate encrypts Secrets and ConfigMaps with secretbox
// (XSalsa20-Poly1305, a 32-byte key, a random 24-byte nonce: safe for any number
// of writes under one key, which upstream's aesgcm is not). The identity
// provider at the end reads what was written before encryption was on.
const localKeyTemplate = `# The key of everything encrypted in this installation's etcd. Keep a copy in a
# safe place: without it, stored Secrets and ConfigMaps are lost.
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources:
  - secrets
  - configmaps
  providers:
  - secretbox:
      keys:
      - name: local-1
        secret: %s
  - identity: {}
`

// EnsureLocalKey writes an EncryptionConfiguration with a key drawn from random
// to path (mode 0600, all of it or nothing), unless the file is there. It
// reports whether it wrote one.
func EnsureLocalKey(path string, random io.Reader) (created bool, err error) {
	info, err := os.Stat(path)
	if err == nil {
		if info.Mode().Perm()&0o077 != 0 {
			return false, fmt.Errorf("key file %s can be read by other users", path)
		}
		return false, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("read key file: %w", err)
	}
	key := make([]byte, 32)
	if _, err := io.ReadFull(random, key); err != nil {
		return false, fmt.Errorf("draw key: %w", err)
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".key-*") // CreateTemp's mode is 0600
	if err != nil {
		return false, fmt.Errorf("write key file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintf(f, localKeyTemplate, base64.StdEncoding.EncodeToString(key))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return false, fmt.Errorf("write key file: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return false, fmt.Errorf("write key file: %w", err)
	}
	return true, syncDir(dir)
}

// syncDir makes a rename in dir last through a power loss.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}
