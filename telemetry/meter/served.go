package meter

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"
)

// connectTimeout bounds one look at a certificate that is served.
const connectTimeout = 2 * time.Second

// Certificate is a file whose first certificate is looked at.
type Certificate struct {
	// Name is the label: "serving".
	Name string
	// File is in PEM.
	File string
	// Address is where it is shown to clients, and ServerName what they ask for. Empty:
	// only its end is told.
	Address, ServerName string
}

// Certificates tell when certificates end, and whether those on disk are those that
// clients are shown. It is safe for concurrent use.
type Certificates struct {
	watched []Certificate

	mu sync.Mutex
	// ends are those of the files, served what clients are shown, and unserved which of
	// the files differ from that. Written by Look.
	ends, served, unserved map[string]float64
	failures               float64
}

// NewCertificates watches certificates. Those without a file are left out.
func NewCertificates(watched ...Certificate) *Certificates {
	return &Certificates{watched: slices.DeleteFunc(watched, func(c Certificate) bool { return c.File == "" })}
}

// Run looks at once and at each tick until ctx ends.
func (c *Certificates) Run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		c.Look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Look compares files with what is served. What cannot be looked at is counted, and then
// nothing is told of it.
func (c *Certificates) Look(ctx context.Context) {
	ends, served, unserved, failures := map[string]float64{}, map[string]float64{}, map[string]float64{}, 0.
	for _, w := range c.watched {
		onDisk, err := readCertificate(w.File)
		if err != nil {
			failures++
			continue
		}
		ends[w.Name] = float64(onDisk.NotAfter.Unix())
		if w.Address == "" {
			continue
		}
		shown, err := shownAt(ctx, w.Address, w.ServerName)
		if err != nil {
			failures++
			continue
		}
		served[w.Name], unserved[w.Name] = float64(shown.NotAfter.Unix()), 0
		if !bytes.Equal(shown.Raw, onDisk.Raw) {
			unserved[w.Name] = 1
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends, c.served, c.unserved = ends, served, unserved
	c.failures += failures
}

func readCertificate(file string) (*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, fmt.Errorf("%s holds no certificate", file)
}

// shownAt is the certificate that a client is shown. Who it is of is not asked, and
// nothing is sent. The handshake is finished: one that is broken off is an error in the
// server's log. A server that wants a certificate of the client ends it after that.
func shownAt(ctx context.Context, address, serverName string) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var shown *x509.Certificate
	dialer := &tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: serverName, InsecureSkipVerify: true,
		VerifyPeerCertificate: func(chain [][]byte, _ [][]*x509.Certificate) (err error) {
			if len(chain) > 0 {
				shown, err = x509.ParseCertificate(chain[0])
			}
			return err
		},
	}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		conn.Close()
	}
	switch {
	case shown != nil:
		return shown, nil
	case err == nil:
		err = errors.New("no certificate was shown")
	}
	return nil, err
}

// Families are the metrics, for a Collector.
func (c *Certificates) Families() []Family {
	read := func(of func() map[string]float64) func() []Value {
		return func() (all []Value) {
			c.mu.Lock()
			defer c.mu.Unlock()
			numbers := of()
			for _, name := range slices.Sorted(maps.Keys(numbers)) {
				all = append(all, Of(name, numbers[name]))
			}
			return all
		}
	}
	label := []string{"certificate"}
	return []Family{
		{Name: "gatehouse_pki_certificate_expiry_timestamp_seconds", Help: "When the certificate on disk ends.", Labels: label,
			Read: read(func() map[string]float64 { return c.ends })},
		{Name: "gatehouse_pki_served_certificate_expiry_timestamp_seconds", Help: "When the certificate that clients are shown ends.", Labels: label,
			Read: read(func() map[string]float64 { return c.served })},
		{Name: "gatehouse_pki_certificate_unserved", Help: "1 where the certificate on disk is not the one that clients are shown.", Labels: label,
			Read: read(func() map[string]float64 { return c.unserved })},
		Counter("gatehouse_pki_certificate_check_failures_total", "Looks at a certificate, on disk or as it is served, that failed.", func() float64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.failures
		}),
	}
}
