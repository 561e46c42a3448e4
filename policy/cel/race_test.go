//go:build race

package cel_test

// The race detector slows upstream's side down tenfold.
const worlds = atOnce
