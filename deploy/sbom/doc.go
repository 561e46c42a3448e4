// Command sbom says what is in a binary: it reads the build information that
// the Go linker has put there and writes it as an SPDX 2.3 document in JSON.
//
//	sbom -version 0.1.0 -name gatehouse_0.1.0_linux_amd64 BINARY > FILE.spdx.json
//
// The list is of the modules that were linked, not of those that go.mod names:
// it is read from the finished file, so it cannot differ from what is shipped.
//
// Invariants:
//   - The same binary, flags and SOURCE_DATE_EPOCH give the same bytes. The
//     document's namespace ends in the SHA-256 of everything else in it.
//   - A "checksums" entry is the hash of a file one can have in one's hand. The
//     h1 sum of a module (the line in go.sum) is a hash over its file list and
//     not over its zip, so it stands in the package's comment.
//   - A package is named by its module path as it is written; its purl is lower
//     case, as the purl specification asks for the type golang.
//
// It does not find licences (NOASSERTION, but for Gatehouse itself), and knows
// nothing of C libraries: release binaries are built without cgo.
//
// Specifications: https://spdx.github.io/spdx-spec/v2.3/ and
// https://github.com/package-url/purl-spec.
package main
