package attach

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// clientCA is a CA of clients.
type clientCA struct{ authority }

func newClientCA(t *testing.T) *clientCA {
	t.Helper()
	certPEM, keyPEM, err := newAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a, err := parseAuthority(certPEM, keyPEM, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &clientCA{*a}
}

func (c *clientCA) issue(t *testing.T, name string, ends time.Time, usage x509.ExtKeyUsage) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: ends, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}, c.cert, key.Public(), c.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serving is a server on a port of its own.
type serving struct {
	address string
	ca      *x509.CertPool
	stop    func() error
	folder  string
}

// serve starts a server that allows everything, with these settings of TLS and
// clients.
func serve(t *testing.T, opts Options, change func(*v1alpha1.AttachConfiguration)) *serving {
	t.Helper()
	cfg := &v1alpha1.AttachConfiguration{}
	cfg.TLS.DataDir = filepath.Join(t.TempDir(), "data")
	if change != nil {
		change(cfg)
	}
	v1alpha1.SetAttachDefaults(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	config, err := serverTLS(ctx, cfg, nil, "ns")
	if err != nil {
		t.Fatal(err)
	}
	if opts.Endpoints == nil {
		opts.Endpoints = []Endpoint{Authorize(always(authorizer.DecisionAllow, "", nil))}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	s := newServer(t, opts)
	go func() { done <- s.Serve(ctx, Listeners{Reviews: l}, config) }()
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(30 * time.Second):
			t.Error("the server does not stop")
			return nil
		}
	}
	t.Cleanup(func() { _ = stop() })
	pool := x509.NewCertPool()
	if data, err := os.ReadFile(filepath.Join(cfg.TLS.DataDir, "attach-ca.pem")); err == nil {
		pool.AppendCertsFromPEM(data)
	}
	return &serving{address: l.Addr().String(), ca: pool, stop: stop, folder: cfg.TLS.DataDir}
}

// ask posts a review over a connection of its own and returns the answer.
func (s *serving) ask(config *tls.Config, certs ...tls.Certificate) (*http.Response, string, error) {
	if config == nil {
		config = &tls.Config{}
	}
	config.RootCAs, config.Certificates = s.ca, certs
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Post("https://"+s.address+"/authorize", "application/json", strings.NewReader(anyReview))
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func TestTLS(t *testing.T) {
	s := serve(t, Options{}, nil)
	resp, body, err := s.ask(nil)
	if err != nil || resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 || resp.TLS.Version != tls.VersionTLS13 || !strings.Contains(body, `"allowed":true`) {
		t.Fatalf("got %v %v %s", err, resp, body)
	}
	if _, _, err := s.ask(&tls.Config{MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 is taken")
	}
	older := serve(t, Options{}, func(c *v1alpha1.AttachConfiguration) { c.TLS.MinVersion = "VersionTLS12" })
	if _, _, err := older.ask(&tls.Config{MaxVersion: tls.VersionTLS12}); err != nil {
		t.Error(err)
	}
	if _, _, err := older.ask(&tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 is taken")
	}
}

func TestOnlyTheNamedClientMayAsk(t *testing.T) {
	ca, other := newClientCA(t), newClientCA(t)
	file := filepath.Join(t.TempDir(), "client-ca.crt")
	put := func(pem []byte) {
		t.Helper()
		if err := os.WriteFile(file, pem, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(encodeCertificate(ca.cert))
	s := serve(t, Options{}, func(c *v1alpha1.AttachConfiguration) {
		c.Client = v1alpha1.AttachClientOptions{CAFile: file, Names: []string{"kube-apiserver"}}
	})
	later := time.Now().Add(time.Hour)
	good := ca.issue(t, "kube-apiserver", later, x509.ExtKeyUsageClientAuth)
	foreign := other.issue(t, "kube-apiserver", later, x509.ExtKeyUsageClientAuth)
	for _, c := range []struct {
		name  string
		certs []tls.Certificate
		ok    bool
	}{
		{"the API server's", []tls.Certificate{good}, true},
		{"none", nil, false},
		{"another name", []tls.Certificate{ca.issue(t, "jane", later, x509.ExtKeyUsageClientAuth)}, false},
		{"another CA", []tls.Certificate{foreign}, false},
		{"expired", []tls.Certificate{ca.issue(t, "kube-apiserver", time.Now().Add(-time.Minute), x509.ExtKeyUsageClientAuth)}, false},
		{"for serving", []tls.Certificate{ca.issue(t, "kube-apiserver", later, x509.ExtKeyUsageServerAuth)}, false},
	} {
		if _, _, err := s.ask(nil, c.certs...); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}

	// A file that turns bad changes nothing, and another CA is believed at once.
	put([]byte("no certificate"))
	time.Sleep(time.Second)
	if _, _, err := s.ask(nil, good); err != nil {
		t.Errorf("with a bad file: %v", err)
	}
	put(encodeCertificate(other.cert))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, _, goodErr := s.ask(nil, good)
		_, _, foreignErr := s.ask(nil, foreign)
		if goodErr != nil && foreignErr == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the changed CA is not in force: %v %v", goodErr, foreignErr)
		}
	}
}

func TestACertificateOfFilesIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	put := func() *x509.CertPool {
		t.Helper()
		certPEM, keyPEM, err := newAuthority(time.Now()) // a CA serves for this as well as any
		if err != nil {
			t.Fatal(err)
		}
		for file, data := range map[string][]byte{certFile: certPEM, keyFile: keyPEM} {
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(certPEM)
		return pool
	}
	pool := put()
	s := serve(t, Options{}, func(c *v1alpha1.AttachConfiguration) {
		c.TLS = v1alpha1.AttachTLSOptions{CertFile: certFile, KeyFile: keyFile}
	})
	works := func() error {
		s.ca = pool
		_, _, err := s.ask(&tls.Config{ServerName: "gatehouse-attach-ca"})
		return err
	}
	if err := works(); err != nil {
		t.Fatal(err)
	}
	pool = put()
	for deadline := time.Now().Add(10 * time.Second); works() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the changed certificate is not shown")
		}
	}
	if _, err := fromFiles(t.Context(), certFile, certFile); err == nil {
		t.Error("a certificate without its key is taken")
	}
	if _, err := fromFiles(t.Context(), filepath.Join(dir, "none"), keyFile); err == nil {
		t.Error("a file that is not there is taken")
	}
}

// TestReviewsFinishBeforeTheServerStops shows that a server which is told to stop
// answers what it has begun.
func TestReviewsFinishBeforeTheServerStops(t *testing.T) {
	begun, finish := make(chan bool), make(chan bool)
	s := serve(t, Options{Endpoints: []Endpoint{Authorize(deciding(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
		close(begun)
		<-finish
		return authorizer.DecisionAllow, "", nil
	}))}}, nil)
	answered := make(chan error, 1)
	go func() {
		_, body, err := s.ask(nil)
		if err == nil && !strings.Contains(body, `"allowed":true`) {
			err = io.ErrUnexpectedEOF
		}
		answered <- err
	}()
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- s.stop() }()
	time.Sleep(100 * time.Millisecond)
	close(finish)
	if err := <-answered; err != nil {
		t.Errorf("the review: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server: %v", err)
	}
}

// TestNoReviewIsLostWhenConnectionsMoveOn sends enough for several reconnections.
func TestNoReviewIsLostWhenConnectionsMoveOn(t *testing.T) {
	s := serve(t, Options{}, nil)
	var dialled atomic.Int32
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.ca}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled.Add(1)
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 500 {
				resp, err := client.Post("https://"+s.address+"/authorize", "application/json", strings.NewReader(anyReview))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("HTTP %d", resp.StatusCode)
				}
			}
		})
	}
	wg.Wait()
	if n := dialled.Load(); n < 2 {
		t.Errorf("10000 reviews went over %d connection", n)
	}
}

// TestASlowClientIsCutOff shows that a connection which sends no headers is not
// held.
func TestASlowClientIsCutOff(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a timeout")
	}
	s := serve(t, Options{}, nil)
	c, err := tls.Dial("tcp", s.address, &tls.Config{RootCAs: s.ca, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("POST /authorize HTTP/1.1\r\nHost: x\r\n")); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_ = c.SetReadDeadline(began.Add(4 * headerTimeout))
	if _, err := io.ReadAll(c); err != nil && time.Since(began) >= 4*headerTimeout {
		t.Errorf("still open after %v: %v", time.Since(began), err)
	}
}

func TestTheCertificateHasTheNamesOfTheService(t *testing.T) {
	cfg := &v1alpha1.AttachConfiguration{Listen: "0.0.0.0:8443"}
	cfg.TLS.SANs = []string{"gatehouse.example.org", "192.0.2.7"}
	g, err := newGenerated(t.Context(), dirStore{t.TempDir()}, certificateNames(cfg, "sec"), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	leaf := g.current.Load().Leaf
	for _, name := range []string{"localhost", "127.0.0.1", "gatehouse-attach.sec.svc", "gatehouse-attach.sec.svc.cluster.local", "gatehouse.example.org", "192.0.2.7"} {
		if err := leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if leaf.VerifyHostname("0.0.0.0") == nil {
		t.Error("it is good for an unspecified address")
	}
}
