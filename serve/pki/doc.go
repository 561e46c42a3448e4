// Package pki answers one question for `gatehouse serve`: which keys and
// certificates does this API server stand on, and are they still good?
//
//	p, err := pki.Ensure(pki.Options{
//		Dir:             filepath.Join(dataDir, "pki"),
//		SANs:            []string{"localhost", "127.0.0.1", "kubernetes.default.svc"},
//		AdminKubeconfig: filepath.Join(dataDir, "admin.kubeconfig"),
//		AdminServer:     "https://127.0.0.1:6443",
//	})
//	go p.Run(ctx, onRenew, onError)
//	serve(p.Paths.Serving.Cert, p.Paths.Serving.Key, p.Paths.ClientCABundle)
//
// # What is kept
//
//	cluster-ca          signs serving, kubelet-client and every client certificate
//	front-proxy-ca      signs front-proxy-client, and nothing else
//	etcd-ca             signs etcd-server and etcd-client, and nothing else
//	service-account     signs service account tokens (ES256); .key and .pub
//	client-ca-bundle    cluster-ca.crt and the operator's extra client CAs
//
// A certificate NAME is NAME.crt with its key in NAME.key. There are three
// authorities because each is believed for something different: whoever holds
// a certificate of the front-proxy CA may claim to be any user, so no
// certificate handed to a person may ever verify against it.
//
// # Invariants
//
//   - What is there is kept. A second [Ensure] writes nothing that is not due.
//   - An authority or the service account key is never replaced. When one is
//     broken, Ensure fails with a [FileError] that names the file, and the mend as
//     its hint, because a new one would silently lock every client out.
//   - A leaf certificate is replaceable: one that is missing, broken, does not
//     fit its key, or lacks a wanted name is issued anew with a new key. That is
//     also what mends a crash between writing a key and its certificate.
//   - Renewal, at a third of the life left, rewrites the same paths. Upstream's
//     dynamic certificates read them again, so nothing restarts.
//   - Every file is 0600 and appears whole: temporary file, fsync, rename, fsync
//     of the directory. A private key that others could read is refused.
//   - Only Ensure makes authorities. [PKI.Renew] finding one gone is an error.
//   - No private key is kept in memory between passes, and none is in an error.
//
// # What it does not do
//
// It does not rotate authorities (ten years), publish revocations (that is
// package authn), sign CertificateSigningRequest objects, or take certificates
// from a public authority. It needs a POSIX file system.
//
// # Specification
//
// RFC 5280 for the certificates; the Kubernetes page "PKI certificates and
// requirements" for which exist; keys are ECDSA P-256 in PKCS #8.
package pki
