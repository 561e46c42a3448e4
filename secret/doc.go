// Package secret is encryption at rest: the keys that Secrets and ConfigMaps
// are written to etcd under.
//
//	created, err := secret.EnsureLocalKey("/var/lib/gatehouse/secret/encryption.yaml", rand.Reader)
//
// EnsureLocalKey writes, once, an EncryptionConfiguration (apiserver.config.k8s.io/v1)
// with a fresh key, in the form every kube-apiserver reads; the API server's own
// transformers do the encrypting. A file that is there is never changed: its
// keys are the only way to what is stored.
package secret
