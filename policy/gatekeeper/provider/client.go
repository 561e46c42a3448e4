package provider

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// Allowed is one provider that may be asked: a Provider object of this name, as long as
// it is at this address.
type Allowed struct{ Name, URL string }

// Options shape a Client. The zero value asks nobody.
type Options struct {
	// Allowed are the providers that may be asked. Default: none.
	Allowed []Allowed
	// How says how a provider is allowed: the end of a sentence. Default: the setting of
	// serve and attach.
	How string
	// CertFile and KeyFile are what the program shows to providers; they are read at
	// each handshake. Default: it shows nothing.
	CertFile, KeyFile string
	// MaxCalls, MaxBytes and MaxTime are the budget of one request: how often providers
	// are asked, how much they answer, how long that takes. Defaults: 16, 1 MiB, 5 s.
	MaxCalls int
	MaxBytes int64
	MaxTime  time.Duration
	// CacheTTL is how long an answer is kept; negative keeps none. Default: 3 min.
	CacheTTL time.Duration
	// CacheEntries and CacheBytes bound the cache. Defaults: 10,000, 16 MiB.
	CacheEntries int
	CacheBytes   int64
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

func (o *Options) setDefaults() {
	if o.How == "" {
		o.How = "name it, with its address, under admission.externalData.providers of the configuration file"
	}
	if o.MaxCalls <= 0 {
		o.MaxCalls = 16
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 20
	}
	if o.MaxTime <= 0 {
		o.MaxTime = 5 * time.Second
	}
	if o.CacheTTL == 0 {
		o.CacheTTL = 3 * time.Minute
	}
	if o.CacheEntries <= 0 {
		o.CacheEntries = 10_000
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 16 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Client asks the providers in force.
type Client struct {
	opts  Options
	cache *cache
	// providers are those in force; Serve alone replaces the map, which never changes.
	providers atomic.Pointer[map[string]*served]
}

// served is a provider with its connections.
type served struct {
	*Provider
	http *http.Client
}

// New builds a Client that knows no provider yet.
func New(opts Options) (*Client, error) {
	if (opts.CertFile == "") != (opts.KeyFile == "") {
		return nil, errors.New("a client certificate of external data needs both its file and that of its key")
	}
	if opts.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(opts.CertFile, opts.KeyFile); err != nil {
			return nil, fmt.Errorf("read the client certificate of external data: %w", err)
		}
	}
	opts.setDefaults()
	return &Client{opts: opts, cache: newCache(&opts)}, nil
}

// Allows says why a provider may not be asked; nil where it may.
func (c *Client) Allows(p *Provider) error {
	for _, a := range c.opts.Allowed {
		if a.Name == p.Name && a.URL == p.URL {
			return nil
		}
	}
	return &RefusedError{fmt.Sprintf("the provider %s is not allowed: %s", p.Name, c.opts.How)}
}

// Serve makes these the providers in force. Those that have not changed keep their
// connections.
func (c *Client) Serve(all []*Provider) {
	next := make(map[string]*served, len(all))
	before := c.providers.Load()
	for _, p := range all {
		if before != nil {
			if same := (*before)[p.Name]; same != nil && same.URL == p.URL && same.bundle == p.bundle && same.Timeout == p.Timeout {
				next[p.Name] = same
				continue
			}
		}
		next[p.Name] = c.serve(p)
	}
	c.providers.Store(&next)
	if before == nil {
		return
	}
	for name, p := range *before {
		if next[name] != p {
			p.http.CloseIdleConnections()
		}
	}
}

func (c *Client) serve(p *Provider) *served {
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: p.roots}
	if c.opts.CertFile != "" {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.opts.CertFile, c.opts.KeyFile)
			if err != nil {
				return nil, errors.New("the client certificate cannot be read")
			}
			return &pair, nil
		}
	}
	return &served{p, &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config, IdleConnTimeout: 90 * time.Second, MaxIdleConnsPerHost: 10, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// request and response are those of externaldata.gatekeeper.sh/v1beta1.
type request struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Request    struct {
		Keys []string `json:"keys"`
	} `json:"request"`
}

type response struct {
	Response struct {
		Idempotent  bool   `json:"idempotent"`
		Items       []Item `json:"items"`
		SystemError string `json:"systemError"`
	} `json:"response"`
}

// post asks a provider; size is what its answer weighs, at most the given bytes.
func (s *served) post(ctx context.Context, keys []string, most int64) (r *response, status int, size int64, err error) {
	q := request{APIVersion: "externaldata.gatekeeper.sh/v1beta1", Kind: "ProviderRequest"}
	q.Request.Keys = keys
	body, err := json.Marshal(q)
	if err != nil {
		return nil, 0, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	asked, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return nil, 0, 0, errors.New("its address cannot be used")
	}
	asked.Header.Set("Content-Type", "application/json")
	answer, err := s.http.Do(asked)
	if err != nil {
		var at *url.Error // has the whole address, which may hold a token
		if errors.As(err, &at) {
			err = at.Err
		}
		return nil, 0, 0, fmt.Errorf("it cannot be reached: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(answer.Body, most+1))
	size = int64(len(data))
	switch {
	case err != nil:
		return nil, answer.StatusCode, size, errors.New("its answer broke off")
	case size > most:
		return nil, answer.StatusCode, most, fmt.Errorf("its answer has more than the %d bytes that the request has left", most)
	}
	r = &response{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, answer.StatusCode, size, fmt.Errorf("its answer, with status %d, is no ProviderResponse", answer.StatusCode)
	}
	return r, answer.StatusCode, size, nil
}
