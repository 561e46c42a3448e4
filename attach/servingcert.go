package attach

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/internal/filewatch"
)

// renewInterval is how often the CA and the end of the certificate are looked at.
const renewInterval = time.Hour

// servingCert is the certificate that the server shows, which changes under it.
type servingCert struct {
	// current is never nil once there are clients.
	current atomic.Pointer[tls.Certificate]
}

// get implements tls.Config.GetCertificate.
func (c *servingCert) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// generated keeps a certificate that is signed by the CA of a store.
type generated struct {
	servingCert
	store authorityStore
	names []string
	clock clock.WithTicker
	// signer is the CA's certificate, in DER. Written by renew alone.
	signer []byte
}

// newGenerated makes the first certificate, and the CA where there is none. A
// cluster that is away is waited for.
func newGenerated(ctx context.Context, store authorityStore, names []string, clock clock.WithTicker) (*generated, error) {
	g := &generated{store: store, names: names, clock: clock}
	for said := ""; ; {
		err := g.renew(ctx, true)
		if err == nil {
			return g, nil
		}
		if _, final := errors.AsType[*StartError](err); final || ctx.Err() != nil {
			return nil, err
		}
		if text := err.Error(); text != said {
			klog.Warningf("The serving CA cannot be had yet, and is tried for again: %v", text)
			said = text
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-clock.After(time.Second):
		}
	}
}

// run renews until ctx ends.
func (g *generated) run(ctx context.Context) {
	tick := g.clock.NewTicker(renewInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C():
			if err := g.renew(ctx, false); err != nil {
				klog.ErrorS(err, "The serving certificate is not renewed, the one before is shown still", "until", g.current.Load().Leaf.NotAfter)
			}
		}
	}
}

// renew makes a certificate where there is none, it is due, or another CA is in
// force.
func (g *generated) renew(ctx context.Context, create bool) error {
	now := g.clock.Now()
	ca, err := loadAuthority(ctx, g.store, create, now)
	if err != nil {
		return err
	}
	if ca == nil {
		return fmt.Errorf("the serving CA in %s is gone; a restart makes another, which the API server must be given", g.store)
	}
	if have := g.current.Load(); have != nil && bytes.Equal(g.signer, ca.cert.Raw) && now.Before(have.Leaf.NotAfter.Add(-leafLifetime/3)) {
		return nil
	}
	leaf, err := ca.issue(g.names, now)
	if err != nil {
		return fmt.Errorf("issue the serving certificate: %w", err)
	}
	g.signer = ca.cert.Raw
	g.current.Store(leaf)
	return nil
}

// fromFiles shows the certificate of two files, and keeps up with them until ctx
// ends.
func fromFiles(ctx context.Context, certFile, keyFile string) (*servingCert, error) {
	c := &servingCert{}
	var mu sync.Mutex // the two files change at about the same moment
	load := func() error {
		mu.Lock()
		defer mu.Unlock()
		certPEM, err := os.ReadFile(certFile)
		if err != nil {
			return err
		}
		keyPEM, err := os.ReadFile(keyFile)
		if err != nil {
			return err
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			return fmt.Errorf("%s and %s are no certificate with its key", certFile, keyFile)
		}
		c.current.Store(&pair)
		return nil
	}
	if err := load(); err != nil {
		return nil, &StartError{Problem: fmt.Sprintf("read the serving certificate: %v", err), Mend: "tls.certFile and tls.keyFile (--tls-cert, --tls-key) are PEM files"}
	}
	reloads.Watch(servingFiles)
	for _, file := range []string{certFile, keyFile} {
		watcher, _, err := filewatch.Open(file)
		if err != nil {
			return nil, &StartError{Problem: fmt.Sprintf("read %s: %v", file, err)}
		}
		go watcher.Run(ctx, func(_ []byte, err error) {
			if err == nil {
				err = load()
			}
			reloads.Count(servingFiles, err)
			if err != nil {
				klog.ErrorS(err, "The changed serving certificate is not taken, the one before is shown still")
			}
		})
	}
	return c, nil
}
