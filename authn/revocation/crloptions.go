package revocation

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/authn"
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
		return &authn.FileError{Path: o.Path, Problem: fmt.Sprintf("expiredCRL is %q", o.Expired), Mend: "set authentication.expiredCRL to Refuse or Accept"}
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

func unreadableCRL(path string, err error) error {
	e := &authn.FileError{Path: path, Problem: fmt.Sprintf("read CRL file: %v", err), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Mend = "put the CA's CRL there, or take authentication.clientCRLFile out of the settings"
	case errors.Is(err, fs.ErrPermission):
		e.Mend = "make the file readable by the user the server runs as"
	default:
		e.Mend = "authentication.clientCRLFile must name a plain file that the server can read"
	}
	return e
}
