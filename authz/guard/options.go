package guard

import (
	"k8s.io/utils/clock"

	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
)

// Options shape an Authorizer. The zero value is of use: Guards that limit
// themselves by the labels of namespaces then hold in every namespace.
type Options struct {
	// Clock tells whether windows are open. Default: the system's.
	Clock clock.PassiveClock

	// Namespaces know the labels that namespaceSelector asks for. A namespace they
	// do not know matches every selector. Default: none is known.
	Namespaces Namespaces

	// Scopes know whether the objects of a resource are in namespaces, for
	// requests without one. Resources of Kubernetes itself that are in none are
	// known without. Default: of the others, the verb tells.
	Scopes Scopes

	// Compiler compiles conditions. Default: upstream's, of the binary's own
	// compatibility version, made when the first condition comes in.
	Compiler authorizationcel.Compiler

	// HasSynced reports that every Guard there is has been given to the
	// authorizer. Asked at each request until it is true once. Default: once
	// Replace has been called, or what Follow follows has been read.
	HasSynced func() bool
}
