// Package gates tests every gate behind authentication on a running server: may
// you (authorizers), may this in (admission), the controllers these gates need,
// what is kept (encryption at rest), what was done (audit), how it fares
// (metrics, traces, logs), and the transport and files all of it stands on.
//
//	go test ./test/e2e/gates -run TestRBAC
//
// Clients are real ones and speak to the program as a process of its own. What
// holds for every installation is tested on one server that the whole package
// shares (shared), with no settings at all; each test works in a namespace of
// its own there. What needs settings starts a server that has them.
//
// For each gate there is one request that passes, one that is refused, and the
// reason the client is given.
package gates
