package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// renderTables prints the rows as Markdown, one table a group, padded so that
// they read well on a terminal too. The ratio comes first.
func renderTables(rows []row) string {
	var b strings.Builder
	for len(rows) > 0 {
		n := slices.IndexFunc(rows, func(r row) bool { return r.group != rows[0].group })
		if n < 0 {
			n = len(rows)
		}
		fmt.Fprintf(&b, "### %s\n\n%s\n", rows[0].group, renderTable(rows[:n]))
		rows = rows[n:]
	}
	return b.String()
}

// renderTable prints one table. It has a target column when a row has a target.
func renderTable(rows []row) string {
	targets := slices.ContainsFunc(rows, func(r row) bool { return r.target > 0 })
	var cells [][]string
	add := func(ratio, target, name, gatehouse, stock string) {
		line := []string{ratio, target, name, gatehouse, stock}
		if !targets {
			line = slices.Delete(line, 1, 2)
		}
		cells = append(cells, line)
	}
	add("ratio", "target", "what", nameGatehouse, nameStock)
	for _, r := range rows {
		add(r.ratioText(), r.verdict(), r.name, r.side(r.gatehouse), r.side(r.stock))
	}
	return pad(cells)
}

// ratio is gatehouse's median over stock's; false when a side was left out.
func (r row) ratio() (float64, bool) {
	if len(r.gatehouse) == 0 || len(r.stock) == 0 || median(r.stock) == 0 {
		return 0, false
	}
	return median(r.gatehouse) / median(r.stock), true
}

func (r row) ratioText() string {
	ratio, ok := r.ratio()
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.2f", ratio)
}

// verdict holds the ratio against the target, and says by how much of the
// target it is met or missed.
func (r row) verdict() string {
	if r.target == 0 {
		return ""
	}
	ratio, ok := r.ratio()
	sign, gap := "≤", (r.target-ratio)/r.target
	if r.more {
		sign, gap = "≥", -gap
	}
	limit := fmt.Sprintf("%s %.2f", sign, r.target)
	switch {
	case !ok:
		return limit
	case gap >= 0:
		return fmt.Sprintf("%s, met by %.0f%%", limit, gap*100)
	default:
		return fmt.Sprintf("%s, missed by %.0f%%", limit, -gap*100)
	}
}

// side prints the median and, over several runs, the least and the most.
func (r row) side(values []float64) string {
	switch len(values) {
	case 0:
		return "-"
	case 1:
		return r.format(values[0])
	}
	return fmt.Sprintf("%s (%s to %s)", r.format(median(values)), r.format(slices.Min(values)), r.format(slices.Max(values)))
}

// pad prints cells as a Markdown table; the first line is the header.
func pad(cells [][]string) string {
	widths := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, c := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for n, line := range cells {
		for i, c := range line {
			fmt.Fprintf(&b, "| %s%s ", c, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)))
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range widths {
				fmt.Fprintf(&b, "|%s", strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

// formatSeconds prints a time in the unit that leaves three digits to read.
func formatSeconds(s float64) string {
	switch {
	case s >= 1:
		return fmt.Sprintf("%.2f s", s)
	case s >= 1e-3:
		return fmt.Sprintf("%.3g ms", s*1e3)
	default:
		return fmt.Sprintf("%.3g µs", s*1e6)
	}
}

func formatMiB(n float64) string { return fmt.Sprintf("%.0f MiB", n/(1<<20)) }

func formatRate(n float64) string { return fmt.Sprintf("%.0f/s", n) }
