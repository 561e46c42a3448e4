// Package events makes audit events as a busy cluster makes them: the same ones for the
// same seed, millions of them one after the other without holding them.
//
//	for event := range events.Stream(events.Options{Count: 10_000_000}) { ... }
//
// A cluster of some hundred nodes, sixty namespaces, hundreds of service accounts and
// forty people, each with what they do: kubelets report and fetch tokens, controllers
// write what they own, operators watch, people look, apply, exec and are refused. Few do
// most (Zipf). What is recorded and at which level is what audit.DefaultPolicy says:
// no leases, no events, bodies for RBAC, namespaces, webhooks and network policies.
// Pods come and go, so that names are many; watches have two events with one auditID.
// Texts, extras of tokens and annotations are those of Kubernetes 1.37.
package events
