package chain

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// PublicSuffix is what the name of the public key has behind that of the key.
const PublicSuffix = ".pub"

// Key is the key of an installation, with which it signs.
type Key struct {
	private ed25519.PrivateKey
	Public  PublicKey
}

// PublicKey tells whether an installation has signed something.
type PublicKey struct{ key ed25519.PublicKey }

// NewKey makes a key out of randomness.
func NewKey(random io.Reader) (*Key, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	return keyOf(ed25519.NewKeyFromSeed(seed)), nil
}

func keyOf(private ed25519.PrivateKey) *Key {
	return &Key{private: private, Public: PublicKey{private.Public().(ed25519.PublicKey)}}
}

// ReadKey reads a key of PKCS#8 in PEM that nobody else can read.
func ReadKey(file string) (*Key, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read signing key %s: others may read it (mode %04o); chmod 600 it", file, info.Mode().Perm())
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("read signing key %s: it has no block PRIVATE KEY", file)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read signing key %s: it is not of PKCS#8", file)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read signing key %s: it is not of ed25519", file)
	}
	return keyOf(private), nil
}

// ReadOrMakeKey reads the key in a file, or makes one where there is none: mode 0600, and
// the public key beside it under PublicSuffix. The folder is made as well.
func ReadOrMakeKey(file string, random io.Reader) (*Key, error) {
	k, err := ReadKey(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if k, err = NewKey(random); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("keep signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("keep signing key: %w", err)
	}
	// The public key first: a key without one would never get it.
	if err := writeNew(file+PublicSuffix, []byte(k.Public.PEM()), 0o600); err != nil {
		return nil, fmt.Errorf("keep signing key: %w", err)
	}
	if err := writeNew(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return nil, fmt.Errorf("keep signing key: %w", err)
	}
	return k, nil
}

// writeNew writes a whole file, or none.
func writeNew(file string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// PEM is the key as a file has it.
func (p PublicKey) PEM() string {
	der, err := x509.MarshalPKIXPublicKey(p.key)
	if err != nil {
		panic(err) // never of ed25519
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// ID is a short name of the key.
func (p PublicKey) ID() string {
	sum := sha256.Sum256(p.key)
	return hex.EncodeToString(sum[:8])
}

// ParsePublicKey reads a public key in PEM.
func ParsePublicKey(data []byte) (PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return PublicKey{}, errors.New("read public key: it has no block PUBLIC KEY")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return PublicKey{}, fmt.Errorf("read public key: %w", err)
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return PublicKey{}, errors.New("read public key: it is not of ed25519")
	}
	return PublicKey{key}, nil
}

// ReadPublicKey reads a public key of a file.
func ReadPublicKey(file string) (PublicKey, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return PublicKey{}, fmt.Errorf("read public key: %w", err)
	}
	return ParsePublicKey(data)
}

// signs reports whether a key has made a signature.
func (p PublicKey) signs(message, signature []byte) bool {
	return len(p.key) == ed25519.PublicKeySize && ed25519.Verify(p.key, message, signature)
}

// HasSigned reports whether the key has signed a link.
func (p PublicKey) HasSigned(l *Link) bool { return p.signs(l.signed(), l.Signature) }

// HasSignedHead reports whether the key has signed a head.
func (p PublicKey) HasSignedHead(h *Head) bool { return p.signs(h.signed(), h.Signature) }
