package attach

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	certutil "k8s.io/client-go/util/cert"
)

// secretStore keeps the CA in a Secret.
type secretStore struct {
	secrets typedcorev1.SecretInterface
	// namespace is what secrets are of, for an error.
	namespace, name string
}

func (s secretStore) String() string { return "Secret " + s.namespace + "/" + s.name }

func (s secretStore) load(ctx context.Context) (certPEM, keyPEM []byte, err error) {
	secret, err := s.secrets.Get(ctx, s.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, s.refused("read", err)
	}
	certPEM, keyPEM = secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]
	if certPEM == nil {
		certPEM = []byte{} // it is there, and it is no CA
	}
	return certPEM, keyPEM, nil
}

func (s secretStore) create(ctx context.Context, certPEM, keyPEM []byte) error {
	_, err := s.secrets.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: s.name, Labels: map[string]string{"app.kubernetes.io/name": "gatehouse-attach"}},
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{corev1.TLSCertKey: certPEM, corev1.TLSPrivateKeyKey: keyPEM},
	}, metav1.CreateOptions{})
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return s.refused("create", err)
}

// refused tells what no waiting will mend from what it may.
func (s secretStore) refused(verb string, err error) error {
	err = fmt.Errorf("%s %s: %w", verb, s, err)
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsInvalid(err) || apierrors.IsNotFound(err) {
		return &StartError{
			Problem: err.Error(),
			Mend:    "gatehouse attach manifests prints the namespace and the Role this needs; --data-dir keeps the CA on this host instead",
		}
	}
	return err
}

// dirStore keeps the CA in a file of a directory of this host, certificate and
// key together, so that there is no moment at which one is without the other.
type dirStore struct{ dir string }

func (s dirStore) path() string { return filepath.Join(s.dir, "attach-ca.pem") }

func (s dirStore) String() string { return s.path() }

func (s dirStore) load(context.Context) (certPEM, keyPEM []byte, err error) {
	info, err := os.Stat(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, nil, &StartError{
			Problem: fmt.Sprintf("%s: mode %04o lets others at a private key", s, info.Mode().Perm()),
			Mend:    "chmod 600 " + s.path(),
		}
	}
	data, err := os.ReadFile(s.path())
	if err != nil {
		return nil, nil, &StartError{Problem: fmt.Sprintf("read the serving CA: %v", err)}
	}
	certPEM, keyPEM = []byte{}, []byte{}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return certPEM, keyPEM, nil
		}
		if block.Type == certutil.CertificateBlockType {
			certPEM = append(certPEM, pem.EncodeToMemory(block)...)
		} else {
			keyPEM = append(keyPEM, pem.EncodeToMemory(block)...)
		}
	}
}

func (s dirStore) create(_ context.Context, certPEM, keyPEM []byte) error {
	fail := func(err error) error {
		return &StartError{Problem: fmt.Sprintf("write the serving CA: %v", err), Mend: "tls.dataDir (--data-dir) must be a folder this user may write"}
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(s.dir, ".attach-ca-*") // with mode 0600
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(append([]byte{}, certPEM...), keyPEM...))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fail(err)
	}
	// A link, unlike a rename, leaves what another process has made meanwhile.
	if err := os.Link(f.Name(), s.path()); err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(err)
	}
	return nil
}
