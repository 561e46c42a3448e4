package gates

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kms "k8s.io/kms/pkg/service"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// encryptionConfig has a provider of each kind; the keys of Secrets are the
// argument.
const encryptionConfig = `
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - aesgcm:
      keys: %s
- resources: [configmaps]
  providers:
  - aescbc:
      keys:
      - {name: cbc, secret: %s}
- resources: [limitranges]
  providers:
  - kms: {apiVersion: v2, name: vault, endpoint: "unix://%s", timeout: 3s}
- resources: [services]
  providers:
  - identity: {}
`

// vault is a key management service: it wraps keys with one of its own.
type vault struct{ aead cipher.AEAD }

func (v vault) Encrypt(_ context.Context, _ string, data []byte) (*kms.EncryptResponse, error) {
	nonce := make([]byte, v.aead.NonceSize())
	_, _ = rand.Read(nonce)
	return &kms.EncryptResponse{Ciphertext: v.aead.Seal(nonce, nonce, data, nil), KeyID: "vault-1"}, nil
}

func (v vault) Decrypt(_ context.Context, _ string, r *kms.DecryptRequest) ([]byte, error) {
	if len(r.Ciphertext) < v.aead.NonceSize() {
		return nil, errors.New("ciphertext is too short")
	}
	n := v.aead.NonceSize()
	return v.aead.Open(nil, r.Ciphertext[:n], r.Ciphertext[n:], nil)
}

func (v vault) Status(context.Context) (*kms.StatusResponse, error) {
	return &kms.StatusResponse{Version: "v2", Healthz: "ok", KeyID: "vault-1"}, nil
}

func newKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return base64.StdEncoding.EncodeToString(key)
}

// startVault serves a vault on a unix socket until the test ends.
func startVault(t *testing.T, socket string) {
	t.Helper()
	block, err := aes.NewCipher(bytes.Repeat([]byte{7}, 32))
	passes(t, err)
	aead, err := cipher.NewGCM(block)
	passes(t, err)
	service := kms.NewGRPCService(socket, 3*time.Second, vault{aead})
	go func() { _ = service.ListenAndServe() }()
	t.Cleanup(service.Shutdown)
}

// TestEncryptionConfiguration shows the operator's own file with upstream's
// providers, and a change of keys without a restart.
func TestEncryptionConfiguration(t *testing.T) {
	if testing.Short() {
		t.Skip("waits until a changed file is looked at, twice")
	}
	t.Parallel()
	dir := shortDir(t)
	socket := filepath.Join(dir, "kms.sock")
	startVault(t, socket)
	first, second, cbc := newKey(), newKey(), newKey()
	one := fmt.Sprintf("[{name: first, secret: %s}]", first)
	both := fmt.Sprintf("[{name: second, secret: %s}, {name: first, secret: %s}]", second, first)
	config := file(t, "encryption.yaml", fmt.Sprintf(encryptionConfig, one, cbc, socket))
	s := server.Start(t, server.Options{Config: "encryption: {configFile: " + config + "}"})
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	client := etcd(t, s)
	secrets := admin.CoreV1().Secrets(ns)
	prefix := func(key, want string) {
		t.Helper()
		if value := raw(t, client, key); !bytes.HasPrefix(value, []byte(want)) {
			t.Errorf("%s begins with %.40q, want %s", key, value, want)
		}
	}

	_, err := secrets.Create(ctx, opaque("old", map[string]string{"k": "old"}), create)
	passes(t, err)
	_, err = admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("c", map[string]string{"k": "v"}), create)
	passes(t, err)
	_, err = admin.CoreV1().LimitRanges(ns).Create(ctx, &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "l"}}, create)
	passes(t, err)
	t.Run("each kind by its provider", func(t *testing.T) {
		prefix("/registry/secrets/"+ns+"/old", "k8s:enc:aesgcm:v1:first:")
		prefix("/registry/configmaps/"+ns+"/c", "k8s:enc:aescbc:v1:cbc:")
		prefix("/registry/limitranges/"+ns+"/l", "k8s:enc:kms:v2:vault:")
		_, err := admin.CoreV1().LimitRanges(ns).Get(ctx, "l", metav1.GetOptions{})
		passes(t, err)
	})
	t.Run("a bad file changes nothing", func(t *testing.T) {
		replace(t, config, "kind: Nonsense\n")
		server.Eventually(t, 2*time.Minute, func(context.Context) error {
			_, metrics := get(t, s.AdminConfig(t), "/metrics")
			if !regexp.MustCompile(`(?m)^apiserver_encryption_config_controller_automatic_reloads_total\{.*status="failure"\} [1-9]`).MatchString(metrics) {
				return notYet("the file has not been looked at")
			}
			return nil
		})
		_, err := secrets.Get(ctx, "old", metav1.GetOptions{})
		passes(t, err)
		_, err = secrets.Create(ctx, opaque("meanwhile", nil), create)
		passes(t, err)
		prefix("/registry/secrets/"+ns+"/meanwhile", "k8s:enc:aesgcm:v1:first:")
	})
	t.Run("a new key without a restart", func(t *testing.T) {
		replace(t, config, fmt.Sprintf(encryptionConfig, both, cbc, socket))
		server.Eventually(t, 2*time.Minute, func(ctx context.Context) error {
			_, err := secrets.Create(ctx, opaque("new", nil), create)
			if err == nil && !bytes.HasPrefix(raw(t, client, "/registry/secrets/"+ns+"/new"), []byte("k8s:enc:aesgcm:v1:second:")) {
				_ = secrets.Delete(ctx, "new", metav1.DeleteOptions{})
				err = notYet("still written with the first key")
			}
			return err
		})
		prefix("/registry/secrets/"+ns+"/old", "k8s:enc:aesgcm:v1:first:")
		old, err := secrets.Get(ctx, "old", metav1.GetOptions{})
		passes(t, err)
		if string(old.Data["k"]) != "old" {
			t.Errorf("secret is %v", old.Data)
		}
	})
	t.Run("written again, with the new key", func(t *testing.T) {
		old, err := secrets.Get(ctx, "old", metav1.GetOptions{})
		passes(t, err)
		_, err = secrets.Update(ctx, old, metav1.UpdateOptions{}) // kubectl replace
		passes(t, err)
		prefix("/registry/secrets/"+ns+"/old", "k8s:enc:aesgcm:v1:second:")
	})
}
