package certcache

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/utils/clock"
)

const (
	defaultTTL  = 10 * time.Second
	defaultSize = 4096
)

// Options shape a Cache.
type Options struct {
	// TTL is how long an acceptance is remembered. Default: 10s.
	TTL time.Duration
	// Size is how many certificates are remembered at most. Default: 4096.
	Size int
	// ProxyHeaders are the names, and prefixes of names that end in "-", of the
	// headers a front proxy speaks for others with. Needed.
	ProxyHeaders []string
	// Clock tells when a certificate has ended. Default: the real one.
	Clock clock.Clock
}

// Cache answers for its delegate. It is safe for concurrent use.
type Cache struct {
	delegate authenticator.Request
	opts     Options
	// known maps the digest of a chain to an accepted.
	known *cache.LRUExpireCache
	// hits and misses are requests whose certificate was looked up.
	hits, misses atomic.Uint64
}

type accepted struct {
	response *authenticator.Response
	// ends is when the first of the presented certificates ends.
	ends time.Time
}

// New puts a cache before delegate.
func New(delegate authenticator.Request, opts Options) (*Cache, error) {
	if delegate == nil || len(opts.ProxyHeaders) == 0 {
		return nil, errors.New("make certificate cache: it needs authenticators and the names of the proxy headers")
	}
	if opts.TTL == 0 {
		opts.TTL = defaultTTL
	}
	if opts.Size == 0 {
		opts.Size = defaultSize
	}
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	// Header names in a request are in canonical form.
	canonical := make([]string, len(opts.ProxyHeaders))
	for i, name := range opts.ProxyHeaders {
		canonical[i] = http.CanonicalHeaderKey(name)
	}
	opts.ProxyHeaders = canonical
	return &Cache{delegate: delegate, opts: opts, known: cache.NewLRUExpireCacheWithClock(opts.Size, opts.Clock)}, nil
}

// AuthenticateRequest implements authenticator.Request.
func (c *Cache) AuthenticateRequest(req *http.Request) (*authenticator.Response, bool, error) {
	if req.TLS == nil || len(req.TLS.PeerCertificates) == 0 || c.otherCredential(req.Header) {
		return c.delegate.AuthenticateRequest(req)
	}
	chain := req.TLS.PeerCertificates
	key := digest(chain)
	if hit, ok := c.known.Get(key); ok {
		if a := hit.(accepted); c.opts.Clock.Now().Before(a.ends) {
			c.hits.Add(1)
			return a.response, true, nil
		}
	}
	c.misses.Add(1)
	response, ok, err := c.delegate.AuthenticateRequest(req)
	if ok && err == nil && response != nil {
		c.known.Add(key, accepted{response: response, ends: firstEnd(chain)}, c.opts.TTL)
	}
	return response, ok, err
}

// Lookups are how many requests found their certificate, and how many did not.
func (c *Cache) Lookups() (hits, misses uint64) { return c.hits.Load(), c.misses.Load() }

// otherCredential reports that the certificate may not be what decides.
func (c *Cache) otherCredential(h http.Header) bool {
	if _, bearer := h["Authorization"]; bearer {
		return true
	}
	if _, socket := h["Sec-Websocket-Protocol"]; socket {
		return true
	}
	for name := range h {
		for _, proxy := range c.opts.ProxyHeaders {
			if name == proxy || strings.HasSuffix(proxy, "-") && strings.HasPrefix(name, proxy) {
				return true
			}
		}
	}
	return false
}

func digest(chain []*x509.Certificate) [sha256.Size]byte {
	if len(chain) == 1 {
		return sha256.Sum256(chain[0].Raw)
	}
	h := sha256.New()
	for _, cert := range chain {
		sum := sha256.Sum256(cert.Raw) // so that no two chains run together
		h.Write(sum[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func firstEnd(chain []*x509.Certificate) time.Time {
	end := chain[0].NotAfter
	for _, cert := range chain[1:] {
		if cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	return end
}
