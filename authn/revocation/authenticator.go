package revocation

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/clock"
)

// Options shape an Authenticator.
type Options struct {
	// Registry holds the Revocations. Default: none is asked.
	Registry *Registry

	// CRLs are certificate revocation lists; each must allow a certificate.
	// Default: none.
	CRLs []*CRLFile

	// Clock tells when a Revocation has expired. Default: the real one.
	Clock clock.PassiveClock
}

// Authenticator lets through what its delegate lets through, less what is
// revoked. It is safe for concurrent use.
type Authenticator struct {
	delegate authenticator.Request
	opts     Options
}

var _ authenticator.Request = (*Authenticator)(nil)

// New wraps delegate, which is everything that judges what clients present, the
// anonymous authenticator included.
func New(delegate authenticator.Request, opts Options) (*Authenticator, error) {
	if delegate == nil {
		return nil, errors.New("make revocation authenticator: there is no authenticator to wrap")
	}
	for _, crl := range opts.CRLs {
		if crl == nil {
			return nil, errors.New("make revocation authenticator: a CRL is nil")
		}
	}
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	return &Authenticator{delegate: delegate, opts: opts}, nil
}

// AuthenticateRequest implements authenticator.Request. A revoked credential is
// an error (*RevokedError), whose reason is in the request's audit event.
func (a *Authenticator) AuthenticateRequest(req *http.Request) (*authenticator.Response, bool, error) {
	shown := look(req)
	resp, ok, err := a.delegate.AuthenticateRequest(req)
	if err != nil || !ok {
		return resp, ok, err
	}
	if resp == nil || resp.User == nil {
		return nil, false, errors.New("credential refused: the authenticator named no user")
	}
	if err := a.judge(&shown, req, resp.User); err != nil {
		refused(req.Context(), resp.User.GetName(), err)
		return nil, false, err
	}
	return resp, true, nil
}

// judge says why a credential does not count, or nil.
func (a *Authenticator) judge(shown *presented, after *http.Request, u user.Info) error {
	for _, crl := range a.opts.CRLs {
		if err := crl.Check(shown.certificates); err != nil {
			return err
		}
	}
	if a.opts.Registry == nil {
		return nil
	}
	if !a.opts.Registry.HasSynced() {
		if u.GetName() == user.Anonymous && shown.nothing() {
			return nil
		}
		return ErrNotSynced
	}
	s := a.opts.Registry.current.Load()
	if s.size == 0 {
		return nil
	}
	now := a.opts.Clock.Now()
	if err := s.judgeCertificates(shown, now); err != nil {
		return err
	}
	if err := s.judgeIDs(shown, u, now); err != nil {
		return err
	}
	return s.judgeUser(shown, after, u, now)
}

// judgeCertificates looks for the client's serial number, and the fingerprint of
// each certificate it sent.
func (s *snapshot) judgeCertificates(shown *presented, now time.Time) error {
	if len(shown.certificates) == 0 {
		return nil
	}
	if x := s.indexes[bySerial]; x.size > 0 {
		var buf [32]byte
		if err := first(x.lookupBytes(s.seed, serialKey(shown.certificates[0].SerialNumber, buf[:])), now); err != nil {
			return err
		}
	}
	x := s.indexes[byFingerprint]
	if x.size == 0 {
		return nil
	}
	for _, cert := range shown.certificates {
		sum := sha256.Sum256(cert.Raw)
		var text [2 * sha256.Size]byte
		hex.Encode(text[:], sum[:])
		if err := first(x.lookupBytes(s.seed, text[:]), now); err != nil {
			return err
		}
	}
	return nil
}

// judgeIDs looks for the credential IDs the authenticators report, then for
// those the presented tokens carry. The tokens are read only where a rule asks.
func (s *snapshot) judgeIDs(shown *presented, u user.Info, now time.Time) error {
	fingerprints, tokenIDs := s.indexes[byFingerprint], s.indexes[byTokenID]
	if fingerprints.size == 0 && tokenIDs.size == 0 {
		return nil
	}
	for _, id := range u.GetExtra()[user.CredentialIDKey] {
		var found []*rule
		if sum, ok := strings.CutPrefix(id, certificateIDPrefix); ok {
			found = fingerprints.lookup(s.seed, strings.ToLower(sum))
		} else if jti, ok := strings.CutPrefix(id, tokenIDPrefix); ok {
			found = tokenIDs.lookup(s.seed, jti)
		}
		if err := first(found, now); err != nil {
			return err
		}
	}
	if tokenIDs.size == 0 {
		return nil
	}
	for _, token := range shown.tokens() {
		for _, jti := range readClaims(token).ids {
			if err := first(tokenIDs.lookup(s.seed, jti), now); err != nil {
				return err
			}
		}
	}
	return nil
}

// judgeUser looks for the user's name, and where a rule asks for it, at when the
// credential was issued.
func (s *snapshot) judgeUser(shown *presented, after *http.Request, u user.Info, now time.Time) error {
	for _, r := range s.indexes[byUser].lookup(s.seed, u.GetName()) {
		if !r.live(now) {
			continue
		}
		if r.issuedBefore.IsZero() {
			return r.refusal("")
		}
		issued := shown.issuedAt(after, u)
		before := r.issuedBefore.UTC().Format(time.RFC3339)
		if issued.IsZero() {
			return r.refusal("the credential carries no time of issue, and those issued before " + before + " are revoked")
		}
		if issued.Before(r.issuedBefore) {
			return r.refusal("the credential was issued at " + issued.UTC().Format(time.RFC3339) + ", and those issued before " + before + " are revoked")
		}
	}
	return nil
}

// first refuses by the first rule that has not expired.
func first(rules []*rule, now time.Time) error {
	for _, r := range rules {
		if r.live(now) {
			return r.refusal("")
		}
	}
	return nil
}

// refusal names the rule, its author's reason, and what was found.
func (r *rule) refusal(found string) error {
	reason := r.reason
	switch {
	case reason == "" && found == "":
		reason = "no reason given"
	case reason == "":
		reason = found
	case found != "":
		reason += " (" + found + ")"
	}
	return &RevokedError{Source: "Revocation/" + r.name, Reason: reason}
}
