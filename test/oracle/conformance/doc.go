// Command conformance asks whether "gatehouse serve" is a Kubernetes API, and
// lets upstream answer: it runs upstream's own e2e specs of [sig-auth] and
// [sig-api-machinery] against a server that it starts on an empty directory.
//
//	go -C test/oracle run ./conformance -gatehouse $PWD/bin/gatehouse -out /tmp/conformance
//	conformance: run 153, passed 153, failed 0, excluded 83
//
// No kubelet runs. The suite wants one Ready node before it runs anything, so
// the command makes a node object that says it is Ready; pods are accepted and
// never start. Specs that need running pods, images, or controllers that
// Gatehouse does not have are named in skip.yaml, each with its reason. That
// list is frozen: it was settled against a stock kube-apiserver with the same
// controllers, before Gatehouse was judged by it.
//
// What holds:
//   - A spec is planned or excluded before anything runs, and every planned
//     spec must be reported as passed. One that is missing from the report
//     counts as failed: a suite that dies half way cannot look clean.
//   - Every entry of skip.yaml excludes at least one spec, so the list cannot
//     outlive its reasons.
//   - A spec that skips itself is counted as excluded and is named.
//
// With -kubeconfig the same specs run against a server that is already there,
// such as a stock one; with -plan nothing runs and the plan is printed.
//
// Exit codes: 0 all passed; 1 a spec failed; 2 wrong usage; 4 the suite or the
// server could not be run.
package main
