// Package bootstraptoken answers: is this a bootstrap token of the cluster, and
// of which groups is its holder?
//
//	who := bootstraptoken.New(secrets.Lister().Secrets(metav1.NamespaceSystem), bootstraptoken.Options{})
//	resp, ok, err := who.AuthenticateToken(ctx, "abcdef.0123456789abcdef")
//
// A bootstrap token is ID.SECRET, and a Secret of type
// bootstrap.kubernetes.io/token in kube-system, named bootstrap-token-ID, says
// what it is good for
// (https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/).
// Its holder is system:bootstrap:ID in system:bootstrappers and the Secret's
// auth-extra-groups.
//
// The verdicts are those of upstream's authenticator
// (k8s.io/kubernetes/plugin/pkg/auth/authenticator/token/bootstrap), which only
// an API server may import; a test holds that the two agree.
//
// Invariants:
//   - A Secret that is being deleted, has expired, is not meant for
//     authentication, or has a time or a group that cannot be read lets nobody in.
//   - Secrets are compared in constant time, and no part of one is in an error or
//     a log line.
//
// It does not make, sign or clean up tokens: that is for kubeadm and the
// controllers of Kubernetes.
package bootstraptoken
