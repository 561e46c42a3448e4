// Package authn tests against a running server that each way in lets in whom it
// should and nobody else: client certificates, the static token file, bootstrap
// tokens, service account tokens, OpenID Connect, a token review service, a
// front proxy, and no credential at all. And that a revoked credential does not
// count, on connections that are open already too.
//
//	GATEHOUSE_BIN=bin/gatehouse go test ./test/e2e/authn
//
// One server serves most of the tests; it has every way in switched on. They run
// one after the other, since some of them change files it reads, but for those
// that mostly wait: they come last, together. Of a refusal
// three things are checked: the status (401), its audit event, and where the
// server knows a reason, that its log says so. After the last test no token that
// was presented may be found in either log.
package authn
