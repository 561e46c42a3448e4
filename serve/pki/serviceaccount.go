package pki

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"k8s.io/client-go/util/keyutil"
)

// serviceAccountLoss is what a new signing key costs.
const serviceAccountLoss = "every service account token issued so far stops working"

// ensureServiceAccount checks the key that signs service account tokens and its
// public half, which it makes from the key where it is missing. With create set
// it makes a key where neither was ever there. The public file may hold further
// keys, which is how an operator goes on accepting tokens of an older one, so it
// is never rewritten.
func ensureServiceAccount(keyFile, pubFile string, create bool, rand io.Reader) (made bool, err error) {
	const verb = "load service account key"
	mend := fmt.Sprintf("restore %s and %s from a backup, or remove both to have a new key made (then %s)",
		keyFile, pubFile, serviceAccountLoss)
	if create && missing(keyFile) && missing(pubFile) {
		_, keyPEM, err := newKey(rand)
		if err != nil {
			return false, err
		}
		if err := writeNewFile(keyFile, keyPEM); err != nil {
			return false, err
		}
	}
	keyPEM, err := readPrivate(verb, keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, &FileError{Verb: verb, File: keyFile, Err: fs.ErrNotExist, Mend: mend}
	}
	if err != nil {
		return false, err
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return false, &FileError{Verb: verb, File: keyFile, Err: err, Mend: mend}
	}
	pubPEM, err := os.ReadFile(pubFile)
	if errors.Is(err, fs.ErrNotExist) {
		pubPEM, err := encodePublic(key.Public())
		if err != nil {
			return false, err
		}
		return true, writeFile(pubFile, pubPEM)
	}
	if err != nil {
		return false, &FileError{Verb: verb, File: pubFile, Err: bare(err), Mend: mend}
	}
	keys, err := keyutil.ParsePublicKeysPEM(pubPEM)
	if err != nil || !slices.ContainsFunc(keys, func(k any) bool { return samePublic(k, key.Public()) }) {
		return false, &FileError{
			Verb: verb,
			File: pubFile,
			Err:  fmt.Errorf("does not hold the public half of %s", keyFile),
			Mend: "restore it from a backup, or remove it to have it made again from the key",
		}
	}
	return false, nil
}

func encodePublic(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyutil.PublicKeyBlockType, Bytes: der}), nil
}
