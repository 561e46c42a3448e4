package secret

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"
)

// Digest stands for a key and tells nothing of it: a key is drawn at random from more
// values than anybody can try.
type Digest string

// DigestOf is that of a key.
func DigestOf(key []byte) Digest {
	sum := sha256.Sum256(append([]byte("gatehouse key age\x00"), key...))
	return Digest(hex.EncodeToString(sum[:16]))
}

// WriteKeys are the keys that an EncryptionConfiguration writes with: the first of the
// first provider of each entry. plaintext is how many entries write without encryption.
// The keys of a KMS are not in the file, and not among them. No error quotes the file.
func WriteKeys(path string) (keys []Digest, plaintext int, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, fmt.Errorf("read encryption configuration: %w", err)
	}
	var config apiserverv1.EncryptionConfiguration
	if yaml.Unmarshal(data, &config) != nil {
		return nil, 0, fmt.Errorf("read encryption configuration: %s is no EncryptionConfiguration", path)
	}
	for _, entry := range config.Resources {
		if len(entry.Providers) == 0 {
			continue
		}
		var of []apiserverv1.Key
		switch first := entry.Providers[0]; {
		case first.Identity != nil:
			plaintext++
		case first.Secretbox != nil:
			of = first.Secretbox.Keys
		case first.AESGCM != nil:
			of = first.AESGCM.Keys
		case first.AESCBC != nil:
			of = first.AESCBC.Keys
		}
		if len(of) > 0 {
			keys = append(keys, DigestOf([]byte(of[0].Secret)))
		}
	}
	return keys, plaintext, nil
}

// Ages remembers when keys were first seen, since no file of keys says when they were
// made. It is safe for concurrent use.
type Ages struct {
	path  string
	clock clock.PassiveClock

	mu sync.Mutex
	// seen is what the file at path holds; nil before it was read.
	seen map[Digest]time.Time
}

// NewAges keeps what it knows in the file at path, mode 0600.
func NewAges(path string, clock clock.PassiveClock) *Ages { return &Ages{path: path, clock: clock} }

// Oldest is when the oldest of some keys was first seen; zero for no keys. A key that was
// not seen before is as old as the file it is in, which may be older than this program.
func (a *Ages) Oldest(file string, keys ...Digest) (oldest time.Time, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil {
		if err := a.read(); err != nil {
			return oldest, err
		}
	}
	fresh := false
	for _, key := range keys {
		at, ok := a.seen[key]
		if !ok {
			at, fresh = a.clock.Now(), true
			if info, err := os.Stat(file); err == nil && info.ModTime().Before(at) {
				at = info.ModTime()
			}
			at = at.UTC().Truncate(time.Second)
			a.seen[key] = at
		}
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	if fresh {
		err = a.write()
	}
	return oldest, err
}

func (a *Ages) read() error {
	data, err := os.ReadFile(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		a.seen = map[Digest]time.Time{}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read ages of keys: %w", err)
	}
	seen := map[Digest]time.Time{}
	if err := json.Unmarshal(data, &seen); err != nil {
		return fmt.Errorf("read ages of keys: %s is damaged, remove it to begin anew: %w", a.path, err)
	}
	a.seen = seen
	return nil
}

func (a *Ages) write() error {
	data, err := json.MarshalIndent(a.seen, "", "  ")
	if err != nil {
		return fmt.Errorf("write ages of keys: %w", err)
	}
	dir := filepath.Dir(a.path)
	f, err := os.CreateTemp(dir, ".ages-*") // CreateTemp's mode is 0600
	if err != nil {
		return fmt.Errorf("write ages of keys: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(data, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write ages of keys: %w", err)
	}
	if err := os.Rename(f.Name(), a.path); err != nil {
		return fmt.Errorf("write ages of keys: %w", err)
	}
	return syncDir(dir)
}
