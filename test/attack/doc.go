// Package attack attacks a cluster that Gatehouse serves, by the techniques of public attack
// simulators and some more, and holds what is noticed against what should be.
//
//	go test ./test/attack -run TestAttacks          // make attack
//	go test ./test/attack -run TestAttacks -update  // writes the table of docs/detection.md
//
// A technique is what somebody does with client-go, the rule that has to notice it, and
// who that has to name. Each is done by a user of its own, so that an alert can be no
// other's. The server is a process with its store, its audit log and its rules, as anybody
// starts it; only the audit policy has one rule more, for the two that need bodies of
// Secrets and tokens. No kubelet stands behind it: what goes on to one has been let through
// every gate, and what becomes of it there is no matter of the API's audit.
//
// Package ordinary is the other side: a day on which nothing is to be told.
//
// It does not cover the rules that first learn for a day or a week what is usual, since
// nothing is on a server that was just started; their examples and package ordinary do.
package attack
