package gates

import (
	"context"
	"net"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// spanCollector is an OTLP gRPC collector that remembers what it is sent.
type spanCollector struct {
	collector.UnimplementedTraceServiceServer
	address string

	mu    sync.Mutex
	spans []*trace.Span
}

func startCollector(t *testing.T) *spanCollector {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	passes(t, err)
	c := &spanCollector{address: listener.Addr().String()}
	s := grpc.NewServer()
	collector.RegisterTraceServiceServer(s, c)
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	return c
}

// Export implements the OTLP trace service.
func (c *spanCollector) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// find returns a span with the name and the attribute, or nil.
func (c *spanCollector) find(name, key, value string) *trace.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, span := range c.spans {
		if span.Name != name {
			continue
		}
		for _, a := range span.Attributes {
			if a.Key == key && a.Value.GetStringValue() == value {
				return span
			}
		}
	}
	return nil
}

// text is everything it was sent, as text.
func (c *spanCollector) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := ""
	for _, span := range c.spans {
		all += span.String() + "\n"
	}
	return all
}
