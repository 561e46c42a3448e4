package provider

import (
	"container/list"
	"sync"
	"time"
)

// cache keeps answers. What has not been used for longest goes first.
type cache struct {
	ttl     time.Duration
	entries int
	most    int64
	now     func() time.Time

	mu    sync.Mutex // guards what follows
	known map[cacheKey]*list.Element
	order *list.List // of *cached, the latest used first
	bytes int64
}

// cacheKey has the address too: a provider that moves is another one.
type cacheKey struct{ provider, url, key string }

type cached struct {
	key        cacheKey
	value      any
	idempotent bool
	weight     int64
	until      time.Time
}

func newCache(o *Options) *cache {
	return &cache{ttl: o.CacheTTL, entries: o.CacheEntries, most: o.CacheBytes, now: o.Now, known: map[cacheKey]*list.Element{}, order: list.New()}
}

func (c *cache) get(key cacheKey) (*cached, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.known[key]
	if e == nil {
		return nil, false
	}
	found := e.Value.(*cached)
	if !c.now().Before(found.until) {
		c.drop(e)
		return nil, false
	}
	c.order.MoveToFront(e)
	return found, true
}

func (c *cache) put(key cacheKey, value any, idempotent bool, weight int64) {
	weight += int64(len(key.provider)+len(key.url)) + 256 // and what holding it takes
	if c.ttl < 0 || weight > c.most {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.known[key]; e != nil {
		c.drop(e)
	}
	c.known[key] = c.order.PushFront(&cached{key, value, idempotent, weight, c.now().Add(c.ttl)})
	c.bytes += weight
	for c.bytes > c.most || len(c.known) > c.entries {
		c.drop(c.order.Back())
	}
}

func (c *cache) drop(e *list.Element) {
	gone := c.order.Remove(e).(*cached)
	delete(c.known, gone.key)
	c.bytes -= gone.weight
}

// weight is about what a value takes in memory.
func weight(value any) int64 {
	sum := int64(16)
	switch v := value.(type) {
	case string:
		sum += int64(len(v))
	case []any:
		for _, one := range v {
			sum += weight(one)
		}
	case map[string]any:
		for key, one := range v {
			sum += int64(len(key)) + 48 + weight(one)
		}
	}
	return sum
}
