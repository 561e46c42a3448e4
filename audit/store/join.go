package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/chain"
	"github.com/gatehouse-io/gatehouse/audit/segment"
	"github.com/gatehouse-io/gatehouse/audit/store/catalog"
)

// join makes one segment of neighbours by copying their row groups, and puts together
// what the catalog knows of them. The error is segment.ErrApart where they have to be
// written anew.
func (s *Store) join(ctx context.Context, run []chain.Link) (*newSegment, error) {
	var files []*segment.Segment
	var digests []segment.Digest
	rows, groups := int64(0), 0
	for i := range run {
		opened, err := s.opened.get(run[i].Segment)
		if err != nil {
			return nil, err
		}
		defer s.opened.put(opened)
		files, digests = append(files, opened.Segment), append(digests, run[i].SHA256)
		rows, groups = rows+opened.Rows(), groups+opened.RowGroups()
	}
	if rows < int64(groups)*s.options.joinEvents {
		return nil, segment.ErrApart
	}
	summary, err := s.summaryOf(ctx, run, files)
	if err != nil {
		return nil, err
	}
	return s.write(ctx, func(ctx context.Context, to io.Writer) (segment.Info, *catalog.Summary, error) {
		info, err := segment.Join(ctx, to, files, digests)
		if changed, ok := errors.AsType[*segment.ChangedError](err); ok {
			err = fmt.Errorf("segment %s is not what was sealed; `gatehouse audit repair` sets it aside: %w", run[changed.File].Segment, err)
		}
		return info, summary, err
	})
}

// summaryOf is what is known of segments together: roll-ups of the catalog, and values of
// their dictionaries. Distinct requests are merged when it is recorded.
func (s *Store) summaryOf(ctx context.Context, run []chain.Link, files []*segment.Segment) (*catalog.Summary, error) {
	c := s.currentCatalog()
	if c == nil {
		return nil, segment.ErrApart
	}
	snapshot, err := c.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snapshot.Close()
	numbers := map[uint64]bool{}
	for i := range run {
		n := numberOf(run[i].Segment)
		if !snapshot.Has(n) {
			return nil, segment.ErrApart
		}
		numbers[n] = true
	}
	b := catalog.NewBuilder(0)
	for _, f := range files {
		if err := learn(ctx, b, f); err != nil {
			return nil, fmt.Errorf("read segment for the catalog: %w", err)
		}
	}
	summary := b.Finish()
	for n, err := range snapshot.Counts(ctx, numbers, nil, time.Time{}, time.Time{}) {
		if err != nil {
			return nil, err
		}
		summary.Counts = append(summary.Counts, n)
	}
	return summary, nil
}

// learned are the facts of the catalog that are values of one column or of two.
var learned = [...]struct {
	fact   catalog.Fact
	column string
}{
	{catalog.Users, "user_name"}, {catalog.Users, "impersonated_user"}, {catalog.Groups, "user_groups"}, {catalog.Groups, "impersonated_groups"},
	{catalog.Verbs, "verb"}, {catalog.Namespaces, "namespace"}, {catalog.Decisions, "decision"}, {catalog.Codes, "code"}, {catalog.IPs, "source_ips"},
	{catalog.UserAgents, "user_agent"}, {catalog.Stages, "stage"}, {catalog.Sources, "source"},
}

// learn adds the facts of a segment.
func learn(ctx context.Context, b *catalog.Builder, s *segment.Segment) error {
	for _, l := range learned {
		err := s.Distinct(l.column, func(value string) {
			if value != "" || l.column != "impersonated_user" { // nobody was
				b.Learn(l.fact, value)
			}
		})
		if err != nil {
			return err
		}
	}
	return s.Tally(ctx, audit.Filter{}, audit.FieldAPIGroup|audit.FieldResource|audit.FieldSubresource, func(t audit.Tallied) {
		b.Learn(catalog.Resources, catalog.ResourceFact(t.Event.APIGroup, t.Event.Resource, t.Event.Subresource))
	})
}
