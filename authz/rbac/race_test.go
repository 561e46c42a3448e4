//go:build race

package rbac

// The race detector slows upstream's side down tenfold.
const differentialRequests = 50_000
