// Package revocation answers: does this credential still count?
//
// Kubernetes has no answer (kubernetes/kubernetes#18982): a client certificate
// counts until it expires. Here two lists are asked, for every request, after
// the authenticators have said who it is: Revocation objects (gatehouse.io) and
// certificate revocation lists (RFC 5280).
//
//	reg := revocation.NewRegistry(revocation.RegistryOptions{})
//	err := reg.Follow(informer) // Revocations, as unstructured or typed objects
//	crl, err := revocation.OpenCRL(revocation.CRLOptions{Path: "clients.crl", CAs: clientCAs})
//	go crl.Run(ctx)
//	who, err = revocation.New(who, revocation.Options{Registry: reg, CRLs: []*revocation.CRLFile{crl}})
//
// The Authenticator goes around everything that judges what clients present,
// the anonymous authenticator included: were that one outside, a refused
// credential could come in as nobody. The server's own loopback token stays
// outside; it must work before the first Revocation has been read.
//
// # What is refused
//
//   - A certificate: its serial number or SHA-256 fingerprint is named by a
//     Revocation, or its issuer's CRL lists it. Every certificate of the chain
//     that the client presents is looked at (by serial number in a Revocation:
//     the client's own alone), a front proxy's too, and even where a token beside
//     it is what let the request in.
//   - A token ID: the jti of any JSON Web Token presented, or the credential ID
//     that the authenticators, or a trusted front proxy, report for the user.
//   - A user, or a service account: by the name that came out, when the credential
//     that let the request in was issued before the instant the Revocation names.
//
// # Time of issue
//
// A certificate's is notBefore, a JSON Web Token's is iat. Both are a little
// early: iat is in whole seconds, and signers backdate notBefore (Kubernetes'
// own by five minutes), so a credential issued just after the instant may be
// refused too; one that was issued before it never passes. An equal time
// passes. Where no time is known (static, bootstrap and legacy Secret tokens, a
// front proxy's headers) the credential is refused.
//
// Which of several credentials let the request in is taken from upstream's
// credential-id ("X509SHA256=…", "JTI=…") and from the token that the bearer
// authenticators take out of the request. Claims are read without checking the
// signature: only the token that was accepted gives a time of issue.
//
// # Invariants
//
//   - Until the list of Revocations has been read, every credential is refused.
//     A request without any credential (a health probe) is not.
//   - A malformed Revocation changes nothing: others hold, and its own last good
//     version too. It is listed by Registry.Invalid.
//   - A CRL file that turns bad changes nothing: the last good lists hold.
//   - Where nothing is revoked, a request costs no allocation here, and no cost
//     grows with the number of Revocations.
//
// # Audit
//
// The reason is an annotation of the request's audit event (AnnotationRevoked),
// besides the server's log. Upstream makes the event's context before it
// authenticates, and evaluates the audit policy for failures later, so the
// annotation is in the event of stage ResponseStarted: a policy that omits that
// stage, or has level None for the request, has no event of any failed
// authentication. A TokenReview carries the reason in status.error instead:
// upstream asks with a context of its own.
//
// # What it does not do
//
// It judges requests as they come in. A watch, exec or port-forward that was
// admitted before runs on until it ends. It does not fetch lists (no OCSP, no
// CRL distribution points), and reads neither delta nor indirect CRLs nor those
// of a part of an issuer's certificates. Trust anchors are not looked up in CRLs
// (RFC 5280, section 6): take a revoked CA out of the client CA file. A user who
// is impersonated is not looked at, only who impersonates.
package revocation
