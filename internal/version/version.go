// Package version says which Gatehouse this is, and makes the Kubernetes
// libraries linked into it say so too.
//
// Linked as a library, k8s.io/component-base/version answers
// "v0.0.0-master+$Format:%H$", which real clients fail to parse. Upstream's
// binaries are stamped by the linker; a plain `go build` or `go install` gives
// no such flags, so this package sets the same variables as the program starts.
//
// Go initialises packages in order of import path as soon as their own imports
// are ready (Go 1.21 release notes). This package imports nothing, and its path
// sorts before k8s.io, so the stamp is in place before any k8s.io package reads
// it; an import added here breaks that. A test in internal/cli holds it.
package version

import _ "unsafe" // for go:linkname

// Release is Gatehouse's own version, without the leading "v".
const Release = "0.1.0"

// Kubernetes is the release of Kubernetes that is linked in.
const Kubernetes = "v1.37.2"

// GitVersion is what /version answers as gitVersion: the Kubernetes release
// with Gatehouse's own build metadata (semver 2.0, section 10).
const GitVersion = Kubernetes + "+gatehouse." + Release

// commit and date are set by the linker in release builds
// (-X github.com/gatehouse-io/gatehouse/internal/version.commit=…) and are read
// from the build information otherwise.
var commit, date, treeState string

//go:linkname upstreamGitMajor k8s.io/component-base/version.gitMajor
var upstreamGitMajor string

//go:linkname upstreamGitMinor k8s.io/component-base/version.gitMinor
var upstreamGitMinor string

//go:linkname upstreamGitVersion k8s.io/component-base/version.gitVersion
var upstreamGitVersion string

//go:linkname upstreamGitCommit k8s.io/component-base/version.gitCommit
var upstreamGitCommit string

//go:linkname upstreamGitTreeState k8s.io/component-base/version.gitTreeState
var upstreamGitTreeState string

//go:linkname upstreamBuildDate k8s.io/component-base/version.buildDate
var upstreamBuildDate string

func init() {
	upstreamGitMajor, upstreamGitMinor = "1", "37"
	upstreamGitVersion = GitVersion
	upstreamGitTreeState = "clean"
	Stamp(commit, date, treeState)
}

// Stamp says which source the binary was built from, where the linker has not
// said so: the revision, when it was made (RFC 3339), and clean or dirty.
func Stamp(revision, made, state string) {
	if commit == "" {
		commit, date, treeState = revision, made, state
	}
	if commit != "" {
		upstreamGitCommit, upstreamGitTreeState = commit, treeState
	} else {
		upstreamGitCommit = "unknown"
	}
	if date != "" {
		upstreamBuildDate = date
	}
}

// Commit is the source revision this binary was built from, or "unknown".
func Commit() string { return upstreamGitCommit }
