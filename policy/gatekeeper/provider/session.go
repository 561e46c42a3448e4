package provider

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Item is what a provider says of a key.
type Item struct {
	Key   string `json:"key"`
	Value any    `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
}

// Answer is what a provider says of some keys.
type Answer struct {
	Items []Item
	// Idempotent says that asking for what was answered gives the same again.
	Idempotent  bool
	SystemError string
	// Status is that of HTTP; 200 where everything was in the cache.
	Status int
}

// RefusedError says that a provider was not asked at all: it is not known, not allowed,
// or the request's budget is spent. Nothing that the provider does could mend it.
type RefusedError struct{ why string }

func (e *RefusedError) Error() string { return e.why }

// Most keys of one call, and bytes of one key.
const mostKeys, mostKey = 1000, 16 << 10

// Session is the budget of one request. It is safe for concurrent use.
type Session struct {
	client *Client

	mu    sync.Mutex // guards what follows
	calls int
	bytes int64
	took  time.Duration
	// refused is the first refusal since TakeRefusal.
	refused *RefusedError
}

// Session begins a request.
func (c *Client) Session() *Session { return &Session{client: c} }

// TakeRefusal is the first RefusedError since it was last called; nil for none.
func (s *Session) TakeRefusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	refused := s.refused
	s.refused = nil
	if refused == nil {
		return nil
	}
	return refused
}

func (s *Session) refuse(format string, args ...any) error {
	e := &RefusedError{fmt.Sprintf(format, args...)}
	if s.refused == nil {
		s.refused = e
	}
	return e
}

// Ask looks keys up at a provider, in the cache first. One call is made at a time.
func (s *Session) Ask(ctx context.Context, name string, keys []string) (*Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.client
	var p *served
	if all := c.providers.Load(); all != nil {
		p = (*all)[name]
	}
	if p == nil {
		return nil, s.refuse("there is no provider %q", clip(name))
	}
	if err := c.Allows(p.Provider); err != nil {
		return nil, s.refuse("%s", err)
	}
	if len(keys) > mostKeys {
		return nil, s.refuse("the provider %s is asked for %d keys at once, and %d are allowed", name, len(keys), mostKeys)
	}
	answer := &Answer{Idempotent: true, Status: 200}
	var missing []string
	for _, key := range keys {
		if len(key) > mostKey {
			return nil, s.refuse("the provider %s is asked for a key of more than %d bytes", name, mostKey)
		}
		if found, ok := c.cache.get(cacheKey{name, p.URL, key}); ok {
			answer.Items = append(answer.Items, Item{Key: key, Value: found.value})
			answer.Idempotent = answer.Idempotent && found.idempotent
		} else {
			missing = append(missing, key)
		}
	}
	if len(missing) == 0 {
		return answer, nil
	}
	switch {
	case s.calls >= c.opts.MaxCalls:
		return nil, s.refuse("the request has asked providers %d times, and may not ask more", s.calls)
	case s.bytes >= c.opts.MaxBytes:
		return nil, s.refuse("providers have answered the request with %d bytes, and may not answer more", s.bytes)
	case s.took >= c.opts.MaxTime:
		return nil, s.refuse("the request has waited %s for providers, and may not wait more", c.opts.MaxTime)
	}
	s.calls++
	ctx, cancel := context.WithTimeout(ctx, c.opts.MaxTime-s.took)
	defer cancel()
	began := c.opts.Now()
	r, status, size, err := p.post(ctx, missing, c.opts.MaxBytes-s.bytes)
	s.took += max(c.opts.Now().Sub(began), 0)
	s.bytes += size
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("it takes too long to answer")
		}
		return nil, fmt.Errorf("ask the provider %s: %w", name, err)
	}
	answer.Status = status
	answer.Items = append(answer.Items, r.Response.Items...)
	answer.Idempotent = answer.Idempotent && r.Response.Idempotent
	answer.SystemError = r.Response.SystemError
	if answer.SystemError == "" && status == 200 {
		asked := make(map[string]bool, len(missing))
		for _, key := range missing {
			asked[key] = true
		}
		for _, item := range r.Response.Items {
			if item.Error == "" && asked[item.Key] {
				c.cache.put(cacheKey{name, p.URL, item.Key}, item.Value, r.Response.Idempotent, int64(len(item.Key))+weight(item.Value))
			}
		}
	}
	return answer, nil
}

func clip(text string) string {
	if len(text) > 256 {
		return text[:256] + "…"
	}
	return text
}
