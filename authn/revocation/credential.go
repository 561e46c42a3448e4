package revocation

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
)

const (
	protocolHeader       = "Sec-Websocket-Protocol" // as net/http spells it
	bearerProtocolPrefix = "base64url.bearer.authorization.k8s.io."
	certificateIDPrefix  = "X509SHA256="
	tokenIDPrefix        = "JTI="
)

// presented is what a request shows of itself. It is taken before the request
// is authenticated, since authenticators take tokens out of the request.
type presented struct {
	// certificates are the client's chain as it sent it, its own first.
	certificates []*x509.Certificate

	// bearer is the token of the Authorization header, "" for none.
	bearer string

	// protocols are the values of the WebSocket subprotocol header; they may hold
	// a token.
	protocols []string
}

// look takes what a request presents. It allocates nothing.
func look(req *http.Request) presented {
	p := presented{bearer: bearerToken(req.Header), protocols: req.Header[protocolHeader]}
	if req.TLS != nil {
		p.certificates = req.TLS.PeerCertificates
	}
	return p
}

// nothing reports that the request shows no credential.
func (p *presented) nothing() bool {
	return len(p.certificates) == 0 && p.bearer == "" && !holdsToken(p.protocols)
}

// tokens are all tokens of the request: the header's, then the subprotocols'.
func (p *presented) tokens() []string {
	inner := protocolTokens(p.protocols)
	if p.bearer == "" {
		return inner
	}
	return append([]string{p.bearer}, inner...)
}

// issuedAt is the time of issue of the credential that the request was let in
// with, the zero time where that is not certain. after is the request as the
// authenticators left it.
func (p *presented) issuedAt(after *http.Request, u user.Info) time.Time {
	if anonymous(u) {
		return time.Time{} // whatever is presented, it is not what let the request in
	}
	ids := u.GetExtra()[user.CredentialIDKey]
	if len(ids) > 1 {
		return time.Time{}
	}
	if len(ids) == 1 && strings.HasPrefix(ids[0], certificateIDPrefix) {
		// Equal only where the certificate itself was taken: a user that a front
		// proxy vouches for has the ID of a certificate that is not here.
		if len(p.certificates) > 0 && ids[0][len(certificateIDPrefix):] == fingerprint(p.certificates[0]) {
			return p.certificates[0].NotBefore
		}
		return time.Time{}
	}
	token := p.accepted(after)
	if token == "" {
		return time.Time{}
	}
	c := readClaims(token)
	if len(ids) == 1 && !slices.Contains(c.ids, strings.TrimPrefix(ids[0], tokenIDPrefix)) {
		return time.Time{}
	}
	return c.issuedAt
}

// accepted is the token that let the request in, "" where that is not certain.
//
// Upstream's bearer authenticators take the token they accept out of the
// request. Where there is no certificate, nothing but the one token there is
// can have let the request in. Where there is one, a front proxy's headers may
// have, with a token beside them that nobody has looked at.
func (p *presented) accepted(after *http.Request) string {
	tokens := p.tokens()
	bearerGone := p.bearer != "" && bearerToken(after.Header) == ""
	protocolGone := holdsToken(p.protocols) && !holdsToken(after.Header[protocolHeader])
	switch {
	case bearerGone && protocolGone:
		return ""
	case bearerGone:
		return p.bearer
	case protocolGone:
		if inner := protocolTokens(p.protocols); len(inner) == 1 {
			return inner[0]
		}
	case len(p.certificates) == 0 && len(tokens) == 1:
		return tokens[0]
	}
	return ""
}

// bearerToken reads the Authorization header as upstream's bearertoken does.
func bearerToken(h http.Header) string {
	scheme, rest, ok := strings.Cut(strings.TrimSpace(h.Get("Authorization")), " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	token, _, _ := strings.Cut(rest, " ")
	return token
}

// holdsToken reports that a WebSocket subprotocol is a token.
func holdsToken(protocols []string) bool {
	for _, p := range protocols {
		if strings.Contains(p, bearerProtocolPrefix) {
			return true
		}
	}
	return false
}

// protocolTokens reads tokens as upstream's websocket.ProtocolAuthenticator
// does. It takes no more than one; here each counts as presented.
func protocolTokens(protocols []string) []string {
	if !holdsToken(protocols) {
		return nil
	}
	var tokens []string
	for _, header := range protocols {
		for protocol := range strings.SplitSeq(header, ",") {
			encoded, ok := strings.CutPrefix(strings.TrimSpace(protocol), bearerProtocolPrefix)
			if !ok {
				continue
			}
			if token, err := base64.RawURLEncoding.DecodeString(encoded); err == nil && len(token) > 0 {
				tokens = append(tokens, string(token))
			}
		}
	}
	return tokens
}

// fingerprint is a certificate's SHA-256 in lower-case hexadecimal.
func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}
