package pki

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// adminName is what a renewal of the admin kubeconfig is reported by.
const adminName = "admin-kubeconfig"

// unreadableSuffix is where an admin kubeconfig that is none goes: it may be
// one that somebody was in the middle of editing by hand.
const unreadableSuffix = ".unreadable"

// admin is the kubeconfig that is kept fresh.
type admin struct {
	path   string
	server string
	who    IssueOptions
}

// ensure keeps the admin kubeconfig when what is ours in it is right and not
// due, and replaces exactly that otherwise. A mode wider than 0600 counts as
// wrong, so the file that others could read gets a new key with its new mode.
func (a admin) ensure(ca *authority, now time.Time, rand io.Reader) (due time.Time, renewed bool, err error) {
	spec := a.who.spec()
	have, err := readKubeconfig(a.path)
	if errors.Is(err, errNotKubeconfig) {
		if err := os.Rename(a.path, a.path+unreadableSuffix); err != nil {
			return time.Time{}, false, fmt.Errorf("set admin kubeconfig aside: %w", err)
		}
	} else if err != nil {
		return time.Time{}, false, err
	}
	if info, err := os.Stat(a.path); err == nil && info.Mode().Perm()&widths == 0 {
		if e, ok := entryOf(have); ok && e.server == a.server && bytes.Equal(e.ca, encodeCert(ca.cert)) {
			if cert, ok := ca.fits(spec, e.cert, e.key, now); ok {
				return ca.dueAt(cert), false, nil
			}
		}
	}
	leaf, err := ca.issue(spec, now, rand)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("issue admin certificate: %w", err)
	}
	entry := &kubeEntry{server: a.server, ca: encodeCert(ca.cert), cert: leaf.certPEM, key: leaf.keyPEM}
	if err := entry.write(a.path, have); err != nil {
		return time.Time{}, false, err
	}
	return ca.dueAt(leaf.cert), true, nil
}
