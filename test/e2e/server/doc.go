// Package server starts real Gatehouse servers for tests: the program itself,
// as a process of its own, on a free port and a fresh data directory.
//
//	s := server.Start(t, server.Options{Config: "admission: {enable: [AlwaysPullImages]}"})
//	pods := s.Admin(t).CoreV1().Pods("default")
//
// Upstream keeps process-global state, so a test that needs another
// configuration starts another process. The program is built once a test run
// from this tree (or taken from GATEHOUSE_BIN), with the race detector where the
// tests run under it. A server that is still running when its test ends is
// stopped, and what it said is shown when the test has failed.
package server
