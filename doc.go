// Package gatehouse is the module's root. It holds no code: the rooms are the
// folders beside it, and house_test.go keeps who may import whom. Start with
// docs/adr/0001-one-process.md and CONTRIBUTING.md.
package gatehouse
