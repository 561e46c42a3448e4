//go:build race

package abac

// The race detector slows both sides down tenfold.
const differentialRequests = 30_000
