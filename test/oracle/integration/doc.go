// Command integration runs upstream's own integration tests of admission policies
// (k8s.io/kubernetes/test/integration/apiserver/cel) against "gatehouse serve": the
// tests are upstream's, unchanged, and the one function that starts a kube-apiserver for
// them starts the program in its place.
//
//	go -C test/oracle run ./integration -gatehouse bin/gatehouse
//
// The tests are built of a copy of upstream's module in a temporary folder, in which
// StartTestServer begins with a call of ours and server.go.txt lies beside it. Nothing of
// upstream's is in this repository.
//
// A test that wants a server with flags which mean something (an audit policy, a feature
// gate) is not run, and counted as such. It prints every test that fails, and how many
// passed.
//
// Exit codes: 0 all passed, 1 some failed, 2 wrong usage, 4 they could not be run.
package main
