// Package cli is the command line: one file a command; flags, printing and exit
// codes, and no decisions.
package cli
