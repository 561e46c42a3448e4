// Package authn answers the first question of every request: who is this?
//
// Gatehouse stands on upstream's authenticators (client certificates, service
// account and bootstrap tokens, OIDC, webhooks) and speaks their interfaces,
// authenticator.Request and authenticator.Token. The folders here hold what
// those lack:
//
//	authn/revocation      credentials that no longer count: Revocation objects and CRL files
//	authn/tokenfile       the static token file, read again when it changes
//	authn/bootstraptoken  bootstrap tokens, for mounts that may not import upstream's
//
// A server puts them together like this, from the inside out:
//
//	tokens, err := tokenfile.New(cfg.TokenFile, tokenfile.Options{}) // one of the token authenticators
//	who, err := upstreamUnion(tokens, ...)                           // anonymous included
//	who = revocation.AnonymousPaths(who, []string{"/healthz"})
//	who = revocation.ReservedNames(who)
//	who, err = revocation.New(who, revocation.Options{Registry: reg, CRLs: crls})
//
// Revocation is outermost, so that nothing a client presents reaches the server
// without it. The one thing outside it is the server's own loopback token,
// which upstream joins on later and which never leaves the process.
//
// Invariants:
//   - No answer is no: where a list of revoked credentials cannot be relied on,
//     the credentials it speaks of are refused.
//   - A file that turns bad while the server runs leaves what was last good in
//     force, and says so; at start it is an error.
//   - No token, key or password is ever part of an error, a log line or an audit
//     annotation.
//
// This package itself holds only FileError, which folders report with.
package authn
