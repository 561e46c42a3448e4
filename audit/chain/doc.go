// Package chain keeps audit segments honest: each is sealed by a Link that holds its hash
// and the hash of the link before, signed with the key of the installation.
//
//	link, err := key.Seal(chain.Link{Sequence: 8, Segment: "00000008.parquet", Info: ...}, previous)
//	head, err := key.SealHead(chain.Head{Sequence: 8, Link: link.Digest()})
//
//	report, err := chain.Verify(ctx, source, chain.VerifyOptions{})
//	// report.Fault: segment 5 (00000005.parquet) was changed: …
package chain
