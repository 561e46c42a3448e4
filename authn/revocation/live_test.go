package revocation

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"testing"
	"time"

	upstreamx509 "k8s.io/apiserver/pkg/authentication/request/x509"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// TestLiveConnection revokes a certificate while its connection is open: the
// next request on that connection is refused. It holds for HTTP/1.1 and HTTP/2,
// for a Revocation and for a CRL.
func TestLiveConnection(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, by := range []string{"Revocation", "CRL"} {
			t.Run(proto+" "+by, func(t *testing.T) {
				clients := newCA(t, "clients")
				cert, key := clients.clientWithKey(t, "ann", 0xbeef)
				pool := x509.NewCertPool()
				pool.AddCert(clients.cert)
				path := tempFile(t, clients.list(t, 1, tomorrow))
				reg, crl := registryOf(t), run(t, openCRL(t, path, trusting(clients)))
				auth := wrap(t, upstreamx509.New(x509.VerifyOptions{
					Roots: pool, CurrentTime: noon.Add(time.Hour), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
				}, upstreamx509.CommonNameUserConversion), reg, crl)

				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if _, ok, err := auth.AuthenticateRequest(req); !ok || err != nil {
						w.WriteHeader(http.StatusUnauthorized)
					}
				}))
				server.EnableHTTP2 = proto == "HTTP/2.0"
				server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
				server.StartTLS()
				defer server.Close()
				client := server.Client()
				client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}

				get := func() (status int, reused bool) {
					t.Helper()
					trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
					req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", server.URL, nil)
					if err != nil {
						t.Fatal(err)
					}
					resp, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					if resp.Proto != proto {
						t.Fatalf("the protocol is %s", resp.Proto)
					}
					return resp.StatusCode, reused
				}
				if status, _ := get(); status != http.StatusOK {
					t.Fatalf("before: status %d", status)
				}
				if by == "CRL" {
					write(t, path, clients.list(t, 2, tomorrow, 0xbeef))
					eventually(t, "the list is read", func() bool { return refuses(crl, cert) })
				} else {
					rev := revocation("ann", v1alpha1.RevocationSpec{Certificate: &v1alpha1.RevokedCertificate{SerialNumber: "BEEF"}})
					if err := reg.Upsert(&rev); err != nil {
						t.Fatal(err)
					}
				}
				if status, reused := get(); status != http.StatusUnauthorized || !reused {
					t.Errorf("after: status %d, the same connection %v", status, reused)
				}
				if by == "Revocation" {
					reg.Delete("ann")
					if status, reused := get(); status != http.StatusOK || !reused {
						t.Errorf("taken back: status %d, the same connection %v", status, reused)
					}
				}
			})
		}
	}
}
