package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

func parent(path string) string { return filepath.Dir(path) }

// readGaps reads the file of gaps: a line of JSON each. A line that cannot be read is
// itself a gap, of which nothing more is known.
func readGaps(path string) (gaps []audit.Gap, err error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read gaps: %w", err)
	}
	for line := range bytes.Lines(data) {
		g, err := decodeGap(line)
		if err != nil {
			if !bytes.HasSuffix(line, []byte("\n")) {
				break // it was being written, and its part still has it
			}
			g = audit.Gap{End: time.Unix(0, 0).UTC(), Count: -1, Reason: audit.GapUnreadable}
		}
		gaps = append(gaps, g)
	}
	return gaps, nil
}

// keepGaps makes gaps last that no part will have any more. What is there already is not
// written again: the process may have died between this and the removal of the part.
func keepGaps(path string, have, gaps []audit.Gap) ([]audit.Gap, error) {
	var lines []byte
	for _, g := range gaps {
		if !hasGap(have, g) {
			lines = append(append(lines, encodeGap(g)...), '\n')
			have = append(have[:len(have):len(have)], g)
		}
	}
	if len(lines) == 0 {
		return have, nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write gaps: %w", err)
	}
	defer file.Close()
	size, err := wholeLines(file)
	if err == nil {
		err = file.Truncate(size)
	}
	if err == nil {
		_, err = file.WriteAt(lines, size)
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		return nil, fmt.Errorf("write gaps: %w", errors.Join(err, file.Truncate(size)))
	}
	return have, nil
}

// wholeLines is where the last whole line of a file ends.
func wholeLines(file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	for size := info.Size(); size > 0; size-- {
		var last [1]byte
		if _, err := file.ReadAt(last[:], size-1); err != nil {
			return 0, err
		}
		if last[0] == '\n' {
			return size, nil
		}
	}
	return 0, nil
}

func hasGap(all []audit.Gap, g audit.Gap) bool {
	return slices.ContainsFunc(all, func(h audit.Gap) bool {
		return h.Start.Equal(g.Start) && h.End.Equal(g.End) && h.Count == g.Count && h.Reason == g.Reason
	})
}

// settle drops announcements that are followed by their gap, ends the others, and sorts. A
// zero time leaves them without an end. Nobody knows how many events such a one lost.
func settle(gaps []audit.Gap, now time.Time) (settled []audit.Gap) {
	for _, g := range gaps {
		if !g.End.IsZero() {
			settled = append(settled, g)
			continue
		}
		followed := slices.ContainsFunc(gaps, func(whole audit.Gap) bool {
			return whole.Reason == g.Reason && !whole.Start.After(g.Start) && whole.End.After(g.Start)
		})
		if !followed {
			if g.End = now; !now.IsZero() && !g.End.After(g.Start) {
				g.End = g.Start.Add(time.Microsecond)
			}
			settled = append(settled, g)
		}
	}
	slices.SortStableFunc(settled, func(a, b audit.Gap) int { return a.Start.Compare(b.Start) })
	return joined(settled)
}

// joined makes one of gaps that follow each other within a second: of one time in which
// too much came, that was written as it went on.
func joined(gaps []audit.Gap) (all []audit.Gap) {
	for _, g := range gaps {
		if n := len(all) - 1; n >= 0 && all[n].Reason == g.Reason && all[n].Count >= 0 && g.Count >= 0 && g.Start.Sub(all[n].End) < quiet {
			all[n].Count += g.Count
			if g.End.After(all[n].End) {
				all[n].End = g.End
			}
			continue
		}
		all = append(all, g)
	}
	return all
}
