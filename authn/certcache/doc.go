// Package certcache remembers who a client certificate is, so that its
// signatures are not checked again for every request on a connection.
//
//	gates = certcache.New(gates, certcache.Options{})
//
// Upstream's x509 authenticator verifies the chain anew for each request: an
// ECDSA verification, about a tenth of what a GET costs. Bearer tokens have had a
// cache in front of them from early on (ten seconds, upstream's
// TokenSuccessCacheTTL); this is the same for certificates.
//
// Invariants:
//   - Only acceptances are remembered, for at most TTL, and never past the end of
//     any certificate presented.
//   - Only requests whose one credential is the certificate are answered: a
//     bearer token, a WebSocket token or a front proxy's headers go to the
//     authenticators themselves.
//   - What is remembered is keyed by every certificate the client presented. TLS
//     has proven that it holds the first one's key.
//   - It stands inside revocation, which judges every request.
//
// A CA that is taken out of the client CA file is believed for up to TTL longer.
package certcache
