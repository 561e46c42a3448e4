// Command serve (make bench-serve) measures "gatehouse serve" against the stock
// kube-apiserver and etcd that test/oracle pins, in one run on one machine, and
// writes the result into docs/performance.md.
//
//	go run ./test/bench/serve -gatehouse bin/gatehouse -runs 5
//	go run ./test/bench/serve -only stock -runs 1      # try it; writes no page
//
// Each run takes both sides in turn, and the side that goes first changes from
// run to run. One server is up at a time. For each side a run is:
//
//	empty directory → start → settle → idle memory → stop
//	→ start on that data → warm up → creates, gets, lists → memory → stop
//
// A number in the table is the median over the runs, with the least and the
// most beside it. A ratio is gatehouse's median over stock's.
//
// What makes the sides equal: one disk, fsync on, TLS 1.3, HTTP/2, protobuf,
// client certificates of system:masters, uncompressed bodies, the same work in
// the same order. What does not, on purpose: Gatehouse has everything on that
// is on by default (RBAC, audit, encryption at rest, its policies and
// controllers, and it makes its own certificates); stock runs with AlwaysAllow,
// no audit, no encryption, no controllers, and certificates made before the
// clock starts.
//
// The clients run on the same cores as the server, so operations a second
// understate the difference between the sides. CPU per operation counts the
// server's own processes only, and does not have that fault.
//
// Exit codes: 0 measured, whether or not the targets are met; 2 wrong usage;
// 4 a server could not be run.
package main
