package revocation

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/authn"
	"github.com/gatehouse-io/gatehouse/authn/internal/filewatch"
)

// ExpiredCRL is what a list means once its nextUpdate has passed.
type ExpiredCRL string

const (
	// RefuseExpired refuses every certificate of the list's issuer: nobody can
	// tell what has been revoked since. The default.
	RefuseExpired ExpiredCRL = "Refuse"

	// AcceptExpired goes on as if the list had not expired.
	AcceptExpired ExpiredCRL = "Accept"
)

const (
	// caInterval is how often the client CAs and the lists' expiry are looked at.
	caInterval = 500 * time.Millisecond

	crlHint = "ask the CA for a current, complete CRL (RFC 5280) in PEM or DER, and see that its CA is in authentication.clientCAFile; " +
		"`openssl crl -noout -text -in FILE` shows what is in it"
)

// CRLOptions shape a CRLFile.
type CRLOptions struct {
	// Path of the file: PEM with one or several lists, or DER of one. Needed.
	Path string

	// CAs are the CAs whose client certificates are believed, as they are now. A
	// list counts only when one of them has signed it. Needed.
	CAs func() []*x509.Certificate

	// Expired says what an expired list means. Default: RefuseExpired.
	Expired ExpiredCRL

	// Clock tells whether a list has expired. Default: the real one.
	Clock clock.PassiveClock

	// OnError hears what is wrong with a changed file, and when a list expires;
	// once for each text. Default: an error log line.
	OnError func(error)

	// OnReload hears how many certificates are listed after a changed file was
	// taken. Default: an info log line.
	OnReload func(revoked int)
}

func (o *CRLOptions) validate() error {
	switch {
	case o.Path == "":
		return errors.New("read CRL file: CRLOptions.Path is not set")
	case o.CAs == nil:
		return errors.New("read CRL file: CRLOptions.CAs is not set")
	}
	switch o.Expired {
	case "":
		o.Expired = RefuseExpired
	case RefuseExpired, AcceptExpired:
	default:
		return &authn.FileError{Path: o.Path, Problem: fmt.Sprintf("expiredCRL is %q", o.Expired), Hint: "set authentication.expiredCRL to Refuse or Accept"}
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	path := o.Path
	if o.OnError == nil {
		o.OnError = func(err error) {
			klog.ErrorS(err, "The certificate revocation lists are not as they should be", "file", path)
		}
	}
	if o.OnReload == nil {
		o.OnReload = func(n int) { klog.InfoS("The CRL file has changed and is in force", "file", path, "revoked", n) }
	}
	return nil
}

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

// crlSet is the lists in force at one moment. It never changes.
type crlSet struct {
	// lists, one for each issuer key, in the order in which they came.
	lists []*crl

	// byIssuer holds the same lists by the raw name of their issuer.
	byIssuer map[string][]*crl
}

func newCRLSet(lists []*crl) *crlSet {
	s := &crlSet{lists: lists, byIssuer: make(map[string][]*crl, len(lists))}
	for _, c := range lists {
		name := string(c.issuer.RawSubject)
		s.byIssuer[name] = append(s.byIssuer[name], c)
	}
	return s
}

func (s *crlSet) revoked() int {
	n := 0
	for _, c := range s.lists {
		n += len(c.revoked)
	}
	return n
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
	return &authn.FileError{Path: f.opts.Path, Problem: strings.Join(old, "; ") + "; " + then, Hint: crlHint}
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
			Path: f.opts.Path, Problem: strings.ReplaceAll(err.Error(), "\n", "; "), Hint: crlHint, Err: err,
		}
	}
}

// readCRLs returns the good lists of a file, one an issuer, and what is wrong
// with the others.
func readCRLs(data []byte, cas []*x509.Certificate) ([]*crl, []error) {
	ders, err := splitCRLs(data)
	if err != nil {
		return nil, []error{err}
	}
	var lists []*crl
	var errs []error
	for i, der := range ders {
		list, err := parseCRL(der)
		var c *crl
		if err == nil {
			c, err = compileCRL(list, cas)
		}
		if err != nil {
			if len(ders) > 1 {
				err = fmt.Errorf("list %d %w", i+1, err)
			}
			errs = append(errs, err)
			continue
		}
		if at := slices.IndexFunc(lists, c.sameIssuer); at < 0 {
			lists = append(lists, c)
		} else if lists[at].olderThan(c) {
			lists[at] = c
		}
	}
	return lists, errs
}

func unreadableCRL(path string, err error) error {
	e := &authn.FileError{Path: path, Problem: fmt.Sprintf("read CRL file: %v", err), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Hint = "put the CA's CRL there, or take authentication.clientCRLFile out of the settings"
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "make the file readable by the user the server runs as"
	default:
		e.Hint = "authentication.clientCRLFile must name a plain file that the server can read"
	}
	return e
}

// digest tells sets of CAs apart.
func digest(cas []*x509.Certificate) [sha256.Size]byte {
	h := sha256.New()
	for _, ca := range cas {
		sum := sha256.Sum256(ca.Raw)
		h.Write(sum[:])
	}
	var d [sha256.Size]byte
	h.Sum(d[:0])
	return d
}
