package attach

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/internal/filewatch"
)

// clients are the CAs whose client certificates are let in, and the names these
// may have.
type clients struct {
	// pool is never nil.
	pool  atomic.Pointer[x509.CertPool]
	names []string
}

// newClients reads the file, and keeps up with it until ctx ends.
func newClients(ctx context.Context, file string, names []string) (*clients, error) {
	c := &clients{names: names}
	load := func(data []byte) error {
		certs, err := certutil.ParseCertsPEM(data)
		if err != nil {
			return errors.New("it holds no certificate in PEM")
		}
		pool := x509.NewCertPool()
		for _, cert := range certs {
			pool.AddCert(cert)
		}
		c.pool.Store(pool)
		return nil
	}
	watcher, data, err := filewatch.Open(file)
	if err == nil {
		err = load(data)
	}
	if err != nil {
		return nil, &StartError{Problem: fmt.Sprintf("client CA file %s: %v", file, err), Mend: "client.caFile (--client-ca) is a PEM file of at least one CA"}
	}
	reloads.Watch(clientCAsFile)
	go watcher.Run(ctx, func(data []byte, err error) {
		if err == nil {
			err = load(data)
		}
		reloads.Count(clientCAsFile, err)
		if err != nil {
			klog.ErrorS(err, "The changed client CA file is not taken, the CAs before stay in force", "file", file)
		}
	})
	return c, nil
}

// require makes a client certificate needed. The CAs are looked up for each
// connection; sessions are not resumed, so that no connection outlives them.
func (c *clients) require(base *tls.Config) {
	base.ClientAuth = tls.RequireAndVerifyClientCert
	base.ClientCAs = c.pool.Load()
	base.SessionTicketsDisabled = true
	if len(c.names) > 0 {
		base.VerifyConnection = func(state tls.ConnectionState) error {
			if name := state.PeerCertificates[0].Subject.CommonName; !slices.Contains(c.names, name) {
				return fmt.Errorf("a client certificate for %q is not among client.names", name)
			}
			return nil
		}
	}
	fixed := base.Clone()
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		current := fixed.Clone()
		current.ClientCAs = c.pool.Load()
		return current, nil
	}
}
