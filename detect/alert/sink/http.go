package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse-io/gatehouse/detect/alert"
)

// client makes connections that trust the CAs of a file, or the system's.
type client struct {
	caFile string

	mu sync.Mutex
	// pem is what made roots and http, so that a file that changed makes new ones.
	pem   []byte
	roots *x509.CertPool // nil for the system's
	http  *http.Client
}

// check reports whether the file can be used.
func (c *client) check() error {
	_, err := c.get()
	return err
}

// get returns the client for what the file has now.
func (c *client) get() (*http.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var pem []byte
	if c.caFile != "" {
		var err error
		if pem, err = os.ReadFile(c.caFile); err != nil {
			return nil, fmt.Errorf("read CAs: %w", err)
		}
	}
	if c.http != nil && bytes.Equal(pem, c.pem) {
		return c.http, nil
	}
	var roots *x509.CertPool
	if c.caFile != "" {
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read CAs: %s has no certificate in PEM", c.caFile)
		}
	}
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	transport.MaxIdleConns, transport.IdleConnTimeout = 2, 30*time.Second
	c.pem, c.roots, c.http = pem, roots, &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c.http, nil
}

// tls is for a connection to a host that is no HTTP.
func (c *client) tls(host string) (*tls.Config, error) {
	if _, err := c.get(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.roots, ServerName: host}, nil
}

// post posts JSON. No error has a part of the address beyond its host.
func (c *client) post(ctx context.Context, address string, body []byte, header http.Header) error {
	h, err := c.get()
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address is no URL") // the error would quote it
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "gatehouse")
	response, err := h.Do(request)
	if err != nil {
		if about, ok := errors.AsType[*url.Error](err); ok {
			err = about.Err // about.URL may be a secret
		}
		return fmt.Errorf("post to %s: %w", request.URL.Host, err)
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection is used again
	code := response.StatusCode
	if code >= 200 && code < 300 {
		if err != nil {
			return fmt.Errorf("read answer of %s: %w", request.URL.Host, err)
		}
		return nil
	}
	failed := fmt.Errorf("%s answers %d %s", request.URL.Host, code, http.StatusText(code))
	switch code {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return &alert.RefusedError{Err: failed}
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		return &alert.LaterError{Err: failed, After: time.Duration(min(seconds, 86400)) * time.Second}
	}
	return failed
}

// secret reads a file that holds nothing but a secret.
func secret(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	text := string(bytes.TrimSpace(data))
	if text == "" {
		return "", fmt.Errorf("read secret: %s is empty", file)
	}
	return text, nil
}
