package spans

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/gatehouse-io/gatehouse/test/e2e/kept"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// patience is how long spans may take to arrive.
const patience = 30 * time.Second

// Collector remembers spans. It is safe for concurrent use.
type Collector struct {
	collector.UnimplementedTraceServiceServer
	// Address is host:port.
	Address string

	mu    sync.Mutex
	spans []Span
}

// Span is a span, and the process that sent it.
type Span struct {
	*trace.Span
	Mount string // serve, attach
}

// Start starts a collector, with TLS where config is not nil.
func Start(t testing.TB, config *tls.Config) *Collector {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Collector{Address: listener.Addr().String()}
	var opts []grpc.ServerOption
	if config != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(config)))
	}
	s := grpc.NewServer(opts...)
	collector.RegisterTraceServiceServer(s, c)
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(func() {
		s.Stop()
		kept.Trace(t, c.Text())
	})
	return c
}

// Export implements the OTLP trace service.
func (c *Collector) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.ResourceSpans {
		mount := ""
		for _, a := range resource.Resource.Attributes {
			if a.Key == "gatehouse.mount" {
				mount = a.Value.GetStringValue()
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				c.spans = append(c.spans, Span{span, mount})
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// Find returns the spans with the name that have the attribute.
func (c *Collector) Find(name, key, value string) []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Span
	for _, span := range c.spans {
		if span.Name == name && span.Attribute(key) == value {
			all = append(all, span)
		}
	}
	return all
}

// Await waits for the one span with the name and the attribute.
func (c *Collector) Await(t testing.TB, name, key, value string) Span {
	t.Helper()
	var found []Span
	server.Eventually(t, patience, func(context.Context) error {
		if found = c.Find(name, key, value); len(found) == 0 {
			return errors.New("no span " + name + " with " + key + " " + value + " has arrived")
		}
		return nil
	})
	if len(found) > 1 {
		t.Errorf("there are %d spans %s with %s %s", len(found), name, key, value)
	}
	return found[0]
}

// Trace returns the spans of a trace.
func (c *Collector) Trace(id []byte) []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Span
	for _, span := range c.spans {
		if bytes.Equal(span.TraceId, id) {
			all = append(all, span)
		}
	}
	return all
}

// Len is how many spans have arrived.
func (c *Collector) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.spans)
}

// Text is everything that has arrived, as text.
func (c *Collector) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, span := range c.spans {
		fmt.Fprintln(&b, span.Mount, span.Span)
	}
	return b.String()
}

// Attribute is the value of an attribute as text, or "".
func (s Span) Attribute(key string) string {
	for _, a := range s.Attributes {
		if a.Key != key {
			continue
		}
		if list := a.Value.GetArrayValue(); list != nil {
			var texts []string
			for _, v := range list.Values {
				texts = append(texts, v.GetStringValue())
			}
			return strings.Join(texts, ", ")
		}
		if text := a.Value.GetStringValue(); text != "" {
			return text
		}
		return fmt.Sprint(a.Value.GetIntValue())
	}
	return ""
}
