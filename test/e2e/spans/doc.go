// Package spans is an OTLP gRPC collector in the test process, which remembers the spans
// it is sent.
//
//	c := spans.Start(t, nil)
//	s := server.Start(t, server.Options{Config: "tracing: {endpoint: " + c.Address + "}"})
//	root := c.Await(t, "Create", "audit-id", id)
//	for _, span := range c.Trace(root.TraceId) { … }
package spans
