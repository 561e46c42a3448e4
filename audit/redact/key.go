package redact

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// KeyName is the name of the key's file in the folder of a store.
const KeyName = "redaction.key"

// keyBytes is the length of a key that ReadOrMakeKey makes.
const keyBytes = 32

// ReadOrMakeKey reads the key in the folder of a store, or makes one where there is
// none: mode 0600, base64. Whatever writes to one store has the same key, so that what
// is equal has an equal hash.
func ReadOrMakeKey(dir string, random io.Reader) ([]byte, error) {
	file := filepath.Join(dir, KeyName)
	data, err := os.ReadFile(file)
	switch {
	case err == nil:
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
		if err != nil || len(key) != keyBytes {
			return nil, fmt.Errorf("read redaction key %s: it is not %d bytes in base64", file, keyBytes)
		}
		return key, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read redaction key: %w", err)
	}
	key := make([]byte, keyBytes)
	if _, err := io.ReadFull(random, key); err != nil {
		return nil, fmt.Errorf("make redaction key: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep redaction key: %w", err)
	}
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("keep redaction key: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		// A link, and not a rename: of two that make a key at once the first one's stays.
		if err = os.Link(f.Name(), file); errors.Is(err, fs.ErrExist) {
			return ReadOrMakeKey(dir, random)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("keep redaction key: %w", err)
	}
	return key, nil
}
