package revocation

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-io/gatehouse/authn"
	"github.com/gatehouse-io/gatehouse/internal/filewatch"
)

// CRLFile is the lists of one file. It is safe for concurrent use.
type CRLFile struct {
	opts    CRLOptions
	watcher *filewatch.Watcher

	// current are the lists in force. Swapped whole under mu; never nil.
	current atomic.Pointer[crlSet]

	// mu guards what follows, and the writing of current.
	mu sync.Mutex

	// data is the file as it was read last, good or bad.
	data []byte

	// cas is the digest of the CAs that data was judged by.
	cas [sha256.Size]byte

	// loadErr is why data is not wholly in force, or nil. Written by load alone.
	loadErr error

	// readErr is why the file cannot be read at present, or nil.
	readErr error

	// told is the text that OnError heard last, "" after a good state.
	told string
}

// OpenCRL reads the file. One that is missing or has anything wrong is an
// *authn.FileError; a list that has expired is not wrong, but reported.
func OpenCRL(opts CRLOptions) (*CRLFile, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	watcher, data, err := filewatch.Open(opts.Path)
	if err != nil {
		return nil, unreadableCRL(opts.Path, err)
	}
	f := &CRLFile{opts: opts, watcher: watcher}
	f.current.Store(newCRLSet(nil))
	f.mu.Lock()
	f.load(data)
	err = f.loadErr
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	f.tell()
	return f, nil
}

// Run keeps up with the file and the CAs until ctx ends.
func (f *CRLFile) Run(ctx context.Context) {
	var watching sync.WaitGroup
	watching.Go(func() {
		f.watcher.Run(ctx, func(data []byte, err error) {
			f.mu.Lock()
			if f.readErr = nil; err != nil {
				f.readErr = unreadableCRL(f.opts.Path, err)
			} else {
				f.load(data)
			}
			good := f.readErr == nil && f.loadErr == nil
			f.mu.Unlock()
			f.tell()
			if good {
				f.opts.OnReload(f.current.Load().revoked())
			}
		})
	})
	ticker := time.NewTicker(caInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			watching.Wait()
			return
		case <-ticker.C:
			f.mu.Lock()
			if f.cas != digest(f.opts.CAs()) {
				f.load(f.data)
			}
			f.mu.Unlock()
			f.tell()
		}
	}
}

// Check refuses a chain of which a certificate is revoked. The chain is as the
// client presented it, its own certificate first; authenticators have verified
// that one already. An empty chain passes, and so does a certificate of an
// issuer that the file holds no list of. The error is a *RevokedError.
func (f *CRLFile) Check(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return nil
	}
	set := f.current.Load()
	for _, cert := range chain {
		for _, list := range set.byIssuer[string(cert.RawIssuer)] {
			// Issuer and serial number name one certificate (RFC 5280, section
			// 4.1.2.2), so a hit needs no look at the key.
			var buf [32]byte
			if reason, ok := list.revoked[string(serialKey(cert.SerialNumber, buf[:]))]; ok {
				return f.refusal(cert, reason)
			}
			if f.opts.Expired == RefuseExpired && f.opts.Clock.Now().After(list.nextUpdate) && cert.CheckSignatureFrom(list.issuer) == nil {
				return &RevokedError{
					Source: "CRL/" + f.opts.Path,
					Reason: fmt.Sprintf("%s expired at %s, and no certificate of this CA counts until there is a newer one",
						list.describe(), list.nextUpdate.UTC().Format(time.RFC3339)),
				}
			}
		}
	}
	return nil
}

func (f *CRLFile) refusal(cert *x509.Certificate, reason int) error {
	name, ok := reasonNames[reason]
	if !ok {
		name = fmt.Sprintf("reason code %d", reason)
	}
	return &RevokedError{
		Source: "CRL/" + f.opts.Path,
		Reason: fmt.Sprintf("%s (certificate %X of %q)", name, cert.SerialNumber, cert.Issuer),
	}
}

// LastError is what is wrong with the file as it is now, or with the lists in
// force; nil where nothing is.
func (f *CRLFile) LastError() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.readErr != nil:
		return f.readErr
	case f.loadErr != nil:
		return f.loadErr
	}
	return f.expired()
}

// NextUpdate is when the first of the lists in force expires; zero where there is none.
func (f *CRLFile) NextUpdate() (first time.Time) {
	for _, c := range f.current.Load().lists {
		if first.IsZero() || c.nextUpdate.Before(first) {
			first = c.nextUpdate
		}
	}
	return first
}

// expired names the lists in force that have expired.
func (f *CRLFile) expired() error {
	var old []string
	now := f.opts.Clock.Now()
	for _, c := range f.current.Load().lists {
		if now.After(c.nextUpdate) {
			old = append(old, fmt.Sprintf("%s expired at %s", c.describe(), c.nextUpdate.UTC().Format(time.RFC3339)))
		}
	}
	if old == nil {
		return nil
	}
	then := "certificates of its CA are refused (expiredCRL: Refuse)"
	if f.opts.Expired == AcceptExpired {
		then = "it still counts (expiredCRL: Accept)"
	}
	return &authn.FileError{Path: f.opts.Path, Problem: strings.Join(old, "; ") + "; " + then, Mend: crlHint}
}

// tell reports the state where it is bad and has not been reported yet.
func (f *CRLFile) tell() {
	err := f.LastError()
	text := ""
	if err != nil {
		text = err.Error()
	}
	f.mu.Lock()
	known := f.told == text
	f.told = text
	f.mu.Unlock()
	if !known && err != nil {
		f.opts.OnError(err)
	}
}

// load judges the file and puts in force what is good of it, and sets loadErr to
// what is not. A list that is bad, older than the one in force, or gone leaves
// the last good one of its issuer, as long as its CA is trusted. The caller
// holds mu.
func (f *CRLFile) load(data []byte) {
	cas := f.opts.CAs()
	f.data, f.cas, f.loadErr = data, digest(cas), nil
	lists, errs := readCRLs(data, cas)
	for _, old := range f.current.Load().lists {
		i := slices.IndexFunc(lists, old.sameIssuer)
		switch {
		case i >= 0 && lists[i].olderThan(old):
			errs = append(errs, fmt.Errorf("holds %s, which is older than %s", lists[i].describe(), old.describe()))
			lists[i] = old
		case i < 0 && slices.ContainsFunc(cas, old.isOf):
			if len(errs) == 0 {
				errs = append(errs, fmt.Errorf("no longer holds a list of %q (to drop it, restart the server)", old.issuer.Subject))
			}
			lists = append(lists, old)
		}
	}
	f.current.Store(newCRLSet(lists))
	if len(errs) > 0 {
		err := errors.Join(errs...)
		f.loadErr = &authn.FileError{
			Path: f.opts.Path, Problem: strings.ReplaceAll(err.Error(), "\n", "; "), Mend: crlHint, Err: err,
		}
	}
}
