// Package program builds the pinned programs of this module: which package
// each one is, and the version it must say it has.
//
// A Kubernetes program that is built as a dependency does not know its version
// ("v0.0.0-master+$Format:%H$"), and upstream's e2e specs fail on that. Build
// stamps the version that go.mod pins, so the two cannot drift apart.
//
//	path, err := program.Build(ctx, program.Options{Dir: "/tmp/oracle"}, "etcd")
//
// Built files are kept: a program is built again only when the pinned version,
// the Go release or the way it is built changed. The working directory must be
// inside the oracle module.
package program
