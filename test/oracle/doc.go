// Package oracle is the module that pins the programs Gatehouse is judged by
// and measured against, and builds them from source:
//
//   - the stock kube-apiserver and etcd, the other side of test/bench/serve;
//   - e2e.test, upstream's own judgement of what a Kubernetes API is, run by
//     test/oracle/conformance;
//   - kubectl, which some of its specs call, ginkgo, which runs specs in
//     parallel, and kube-controller-manager, to run the same specs against a
//     stock control plane.
//
// It is a module apart because e2e.test pulls in the whole of Kubernetes, the
// kubelet included, and none of that may reach the product's go.mod. It has no
// replace lines: go.mod requires every k8s.io staging module at its released
// version, which is all that k8s.io/kubernetes lacks when it is a dependency.
//
// Nothing here is part of the product, and nothing in the product imports it.
//
//	go -C test/oracle run ./cmd/oracle -dir /tmp/oracle kube-apiserver etcd
//	go -C test/oracle run ./conformance -gatehouse $PWD/bin/gatehouse -out /tmp/conformance
package oracle
