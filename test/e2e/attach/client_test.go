package attach

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// shows posts a review to Gatehouse with the certificate of that name, "" for
// none, and returns why it was not answered.
func shows(s *stock, address, name string) error {
	pool := x509.NewCertPool()
	data, err := os.ReadFile(s.path("attach/attach-ca.pem"))
	if err != nil {
		return err
	}
	pool.AppendCertsFromPEM(data)
	config := &tls.Config{RootCAs: pool}
	if name != "" {
		cert, err := tls.LoadX509KeyPair(s.path(name+".crt"), s.path(name+".key"))
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{cert}
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Post("https://"+address+"/authorize", "application/json", strings.NewReader(
		`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"x","nonResourceAttributes":{"verb":"get","path":"/"}}}`))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		return fmt.Errorf("got %s over %s", resp.Status, resp.Proto)
	}
	return nil
}
