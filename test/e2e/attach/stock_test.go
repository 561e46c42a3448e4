package attach

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// stock is a kube-apiserver and its etcd.
type stock struct {
	t *testing.T
	// dir holds keys, settings and the store.
	dir     string
	address string
	ca      *signer
	api     *process
}

// signer is a certificate authority of a test.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	passes(t, err)
	return key
}

func newSigner(t *testing.T, name string) *signer {
	t.Helper()
	key := newKey(t)
	cert, err := certutil.NewSelfSignedCACert(certutil.Config{CommonName: name, NotBefore: time.Now().Add(-time.Hour)}, key)
	passes(t, err)
	return &signer{cert, key}
}

func (s *signer) pem() []byte { return toPEM("CERTIFICATE", s.cert.Raw) }

// issue writes a certificate and its key to BASE.crt and BASE.key. It serves for
// 127.0.0.1 and proves that its holder is name.
func (s *signer) issue(t *testing.T, base, name string, groups ...string) {
	t.Helper()
	key := newKey(t)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	passes(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: groups},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, s.cert, key.Public(), s.key)
	passes(t, err)
	write(t, base+".crt", toPEM("CERTIFICATE", der))
	writeKey(t, base+".key", key)
}

func writeKey(t *testing.T, path string, key *ecdsa.PrivateKey) {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	passes(t, err)
	write(t, path, toPEM("EC PRIVATE KEY", der))
}

func toPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	passes(t, os.WriteFile(path, data, 0o600))
}

func passes(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newStock makes keys and starts etcd. The API server is started by serve, once
// its settings are written.
func newStock(t *testing.T) *stock {
	t.Helper()
	s := &stock{t: t, dir: t.TempDir(), address: server.FreeAddress(t), ca: newSigner(t, "stock-ca")}
	write(t, s.path("ca.crt"), s.ca.pem())
	s.ca.issue(t, s.path("server"), "kube-apiserver")
	s.ca.issue(t, s.path("admin"), "stock-admin", "system:masters")
	writeKey(t, s.path("sa.key"), newKey(t))
	s.kubeconfig("admin", "client-certificate: "+s.path("admin.crt")+", client-key: "+s.path("admin.key"))
	return s
}

func (s *stock) path(name string) string { return filepath.Join(s.dir, name) }

// kubeconfig writes NAME.kubeconfig, whose user is these fields.
func (s *stock) kubeconfig(name, user string) string {
	s.t.Helper()
	path := s.path(name + ".kubeconfig")
	write(s.t, path, []byte(`apiVersion: v1
kind: Config
clusters: [{name: stock, cluster: {server: "https://`+s.address+`", certificate-authority: `+s.path("ca.crt")+`}}]
users: [{name: user, user: {`+user+`}}]
contexts: [{name: stock, context: {cluster: stock, user: user}}]
current-context: stock
`))
	return path
}

// serve starts etcd and the API server with these further flags, and waits until
// it is ready.
func (s *stock) serve(flags ...string) {
	s.t.Helper()
	programs, err := stockPrograms()
	if err != nil || len(programs) != 2 {
		s.t.Fatalf("build the stock programs: %v %v", programs, err)
	}
	client, peer := "http://"+server.FreeAddress(s.t), "http://"+server.FreeAddress(s.t)
	launch(s.t, programs[1], "--name=stock", "--data-dir="+s.path("etcd"), "--log-level=warn", "--unsafe-no-fsync",
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=stock="+peer)
	_, port, _ := net.SplitHostPort(s.address)
	s.api = launch(s.t, programs[0], append([]string{
		"--etcd-servers=" + client, "--bind-address=127.0.0.1", "--secure-port=" + port,
		"--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.0.0.0/24",
		"--client-ca-file=" + s.path("ca.crt"), "--tls-cert-file=" + s.path("server.crt"), "--tls-private-key-file=" + s.path("server.key"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + s.path("sa.key"), "--service-account-signing-key-file=" + s.path("sa.key"),
	}, flags...)...)
	config := &rest.Config{Host: "https://" + s.address, Timeout: 5 * time.Second, TLSClientConfig: rest.TLSClientConfig{
		CAFile: s.path("ca.crt"), CertFile: s.path("admin.crt"), KeyFile: s.path("admin.key"),
	}}
	web, err := rest.HTTPClientFor(config)
	passes(s.t, err)
	for deadline := time.Now().Add(server.ReadyTimeout); ; time.Sleep(100 * time.Millisecond) {
		resp, err := web.Get(config.Host + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-s.api.done:
			s.t.Fatal("the API server ended")
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the API server is not ready: %v %v", resp, err)
		}
	}
}

// kubectl runs a command with the credentials of a kubeconfig.
func (s *stock) kubectl(kubeconfig, stdin string, args ...string) (string, error) {
	s.t.Helper()
	bin, err := kubectlBinary()
	passes(s.t, err)
	cmd := exec.Command(bin, append([]string{"--kubeconfig", kubeconfig}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+s.dir)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
