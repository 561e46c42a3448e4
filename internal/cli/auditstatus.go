package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-io/gatehouse/audit/queryapi"
	"github.com/gatehouse-io/gatehouse/audit/store"
)

// auditStatus is what audit status says.
type auditStatus struct {
	Oldest *time.Time     `json:"oldest,omitempty"`
	Newest *time.Time     `json:"newest,omitempty"`
	Gaps   []queryapi.Gap `json:"gaps"`
	// Store is of a store alone.
	Store *store.Stats `json:"store,omitempty"`
}

func newAuditStatus() *cobra.Command {
	var source eventFlags
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show from when to when there are events, and when some are missing",
		Long: `Show from when to when there are events, and when some are missing.
` + eventSourceHelp + exitCodesHelp,
		Example: `  gatehouse audit status
  gatehouse audit status --store audit/ -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output, "table", "json"); err != nil {
				return err
			}
			s, err := source.open(cmd, false)
			if err != nil {
				return err
			}
			return s.done(s.status(output))
		},
	}
	source.add(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func (s *events) status(output string) error {
	ctx := s.cmd.Context()
	oldest, newest, err := s.Span(ctx)
	if err != nil {
		return err
	}
	gaps, err := s.Gaps(ctx, time.Time{}, time.Time{})
	if err != nil {
		return err
	}
	answer := auditStatus{Gaps: queryapi.GapsOf(gaps)}
	if !oldest.IsZero() {
		answer.Oldest, answer.Newest = &oldest, &newest
	}
	if r, ok := s.Reader.(*store.Reader); ok {
		stats := r.Stats()
		answer.Store = &stats
	}
	if output == "json" {
		return printObject(s.cmd.OutOrStdout(), "json", answer)
	}
	p := &printed{w: s.cmd.OutOrStdout()}
	if oldest.IsZero() {
		p.line("", "there are no events")
	} else {
		p.line("oldest    ", clockTime(oldest))
		p.line("newest    ", clockTime(newest))
	}
	if st := answer.Store; st != nil {
		p.line("events    ", countOf(st.Events, st.Pending))
		p.line("segments  ", sizeOf(st.Segments, st.Bytes))
		p.line("log       ", sizeOf(-1, st.WALBytes))
		p.line("catalog   ", sizeOf(-1, st.CatalogBytes))
		if st.Broken != "" {
			p.line("broken    ", st.Broken)
		}
	}
	for _, g := range gaps {
		p.line("gap       ", gapText(g))
	}
	return coded(exitInternal, p.err)
}

func countOf(events, pending int64) string {
	if pending == 0 {
		return fmt.Sprint(events)
	}
	return fmt.Sprintf("%d, of which %d are not in a segment yet", events, pending)
}

// sizeOf is how many files there are, where that is said, and how large they are.
func sizeOf(files int, bytes int64) string {
	size := fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	if files < 0 {
		return size
	}
	return fmt.Sprintf("%d, %s", files, size)
}
