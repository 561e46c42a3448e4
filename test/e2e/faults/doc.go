// Package faults breaks what a server stands on (its files, its disk, its etcd,
// its own life) and asks two things: does it say so in one error line and one
// hint line, with an exit code and no stack trace; and is everything it
// acknowledged still there afterwards, and nothing else?
//
// The disks that fill up are tmpfs mounts, which need root.
package faults
