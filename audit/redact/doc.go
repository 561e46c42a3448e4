// Package redact takes out of an audit event what nobody who reads audit events should
// learn from them, before the event is kept or sent anywhere.
//
//	r := redact.New(redact.Options{Key: key})
//	r.Event(event) // in place; the event is the caller's until it is handed on
//
// What is taken out, wherever it stands: in a body, in a list, in a patch of any
// kind, in an embedded manifest, in an annotation of the event or in a message.
//
//   - data and stringData of Secrets; the names of the keys stay.
//   - The tokens of TokenRequests, TokenReviews and ExecCredentials; bodies of OpenShift's
//     OAuth tokens and clients, and the names of those tokens.
//   - last-applied-configuration and other manifests within annotations, by the rules of
//     the object they say; what cannot be read of one is taken out as a whole.
//   - Values of ConfigMaps and of other objects under a key that is named like a
//     credential; private keys in PEM, also in base64, and JSON web tokens in any text.
//   - Commands of exec and of the kubelet's run in request URIs, as a keyed hash: equal
//     commands stay equal, and without the key a dictionary is of no use.
//   - Tokens and passwords in queries, in user information and in proxied paths.
//   - Values that stand beside a name like a credential's, as environment variables and
//     headers of probes do.
//
// In its place stands a marker, a word that begins with Marker and names why, or
// HashMarker and a hash.
//
// What stays: roles, bindings, pod specs but for those values, webhooks with their caBundle,
// and CertificateSigningRequests, which hold a public key. Replay cannot see in what was
// recorded that such a value was a credential in the clear.
//
// Invariants:
//   - A body that cannot be read as JSON, or YAML for a patch, is dropped and marked.
//   - What is not known of a Secret or a token is taken out: a patch of a kind nobody
//     has heard of leaves nothing but names.
//   - Redacting twice is redacting once.
//   - Maps, lists and bodies of the event are replaced and never changed, since other
//     events may share them.
//   - Bytes beside those that are taken out stay as they are.
package redact
