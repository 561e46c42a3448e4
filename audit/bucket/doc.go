// Package bucket is audit segments in object storage, where engines that read Parquet
// query them as they lie.
//
//	b, err := drivers.Open(ctx, "s3://acme-audit/prod?region=eu-central-1")
//
//	p, err := bucket.NewPublisher(b, store, bucket.PublisherOptions{Cluster: "prod", Replica: "gh-0", Key: key})
//	go p.Run(ctx)
//
//	r, err := bucket.NewReader(b, bucket.ReaderOptions{Cluster: "prod"})
//	for event, err := range r.Scan(ctx, audit.Scan{...}) { ... }
//
// The layout is that of Hive:
//
//	cluster=prod/day=2026-03-02/gh-0-0000000017.parquet
//	_gatehouse/cluster=prod/gh-0/state.json             the head of the chain, and how far it is
//	_gatehouse/cluster=prod/gh-0/links/gh-0-0000000017.parquet.link.json
//	_gatehouse/cluster=prod/gh-0/gaps.json
//	_gatehouse/cluster=prod/gh-0/key.pub
//
// Engines pass over folders that begin with an underscore. A day is that of
// stage_timestamp in UTC, and a partition holds nothing of another day: a segment of the
// store that spans midnight becomes a file for each of its days, named
// gh-0-0000000017.1.parquet, gh-0-0000000017.2.parquet and so on.
//
// Any number of replicas write without knowing of each other, each under its own name and
// with a chain of its own (audit/chain). Two that use one name are found by their keys,
// and the second is refused. What a replica writes is decided by what it publishes, so
// that one that was killed does what it did not finish once more, over itself.
//
// Invariants:
//   - A file is whole or not there; its link comes after it, and the state after that.
//   - Nothing is deleted. Expiry is the bucket's (a lifecycle rule on cluster=…/day=…).
//   - The store is told that a segment is published when all of it is in the bucket.
//   - A Reader merges replicas, and tells what two of them have once.
package bucket
