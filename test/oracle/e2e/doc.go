// Package e2e keeps upstream's test/e2e among this module's requirements, so
// that e2e.test can be built from here:
//
//	go -C test/oracle run ./cmd/oracle -dir /tmp/oracle e2e.test
//
// It holds no code. The import is behind the build tag "pins", which
// "go mod tidy" follows and no build does.
package e2e
