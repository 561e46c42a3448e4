package bucket

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/chain"
)

// state is how far a replica is. It is one object, so that the head of its chain and
// which segments of the store are published change together.
type state struct {
	// Published is the newest segment of the store that is in the bucket.
	Published uint64     `json:"published"`
	Head      chain.Head `json:"head"`
}

func readState(ctx context.Context, b *blob.Bucket, cluster, replica string) (s state, found bool, err error) {
	data, err := b.ReadAll(ctx, stateKey(cluster, replica))
	if gcerrors.Code(err) == gcerrors.NotFound {
		return state{}, false, nil
	}
	if err != nil {
		return state{}, false, fmt.Errorf("read state of replica %s: %w", replica, err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return state{}, false, fmt.Errorf("read state of replica %s: %w", replica, err)
	}
	return s, true, nil
}

func writeJSON(ctx context.Context, b *blob.Bucket, key string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	if err := b.WriteAll(ctx, key, append(data, '\n'), &blob.WriterOptions{ContentType: "application/json"}); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// gap is an audit.Gap as gaps.json has it.
type gap struct {
	Start  time.Time  `json:"start"`
	End    *time.Time `json:"end,omitempty"`
	Count  int64      `json:"count"`
	Reason string     `json:"reason"`
}

func gapsOf(all []audit.Gap) []gap {
	out := make([]gap, 0, len(all))
	for _, g := range all {
		o := gap{Start: g.Start.UTC(), Count: g.Count, Reason: g.Reason}
		if !g.End.IsZero() {
			end := g.End.UTC()
			o.End = &end
		}
		out = append(out, o)
	}
	return out
}

func (g gap) audit() audit.Gap {
	o := audit.Gap{Start: g.Start, Count: g.Count, Reason: g.Reason}
	if g.End != nil {
		o.End = *g.End
	}
	return o
}
