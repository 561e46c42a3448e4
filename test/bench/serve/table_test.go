package main

import (
	"strings"
	"testing"
)

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name             string
		gatehouse, stock float64
		more             bool
		target           float64
		want             string
	}{
		{"less is better, met", 2, 5, false, 0.5, "≤ 0.50, met by 20%"},
		{"less is better, exactly", 1, 2, false, 0.5, "≤ 0.50, met by 0%"},
		{"less is better, missed", 3, 5, false, 0.5, "≤ 0.50, missed by 20%"},
		{"more is better, met", 114, 100, true, 0.95, "≥ 0.95, met by 20%"},
		{"more is better, missed", 76, 100, true, 0.95, "≥ 0.95, missed by 20%"},
		{"no target", 1, 1, false, 0, ""},
	} {
		r := row{more: c.more, target: c.target, gatehouse: []float64{c.gatehouse}, stock: []float64{c.stock}}
		if got := r.verdict(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestRenderTables(t *testing.T) {
	rows := []row{
		{group: "Start", name: "cold", format: formatSeconds, target: 0.5, gatehouse: []float64{3, 1, 2}, stock: []float64{4, 4, 4}},
		{group: "Start", name: "CPU", format: formatSeconds, gatehouse: []float64{2}, stock: []float64{4}},
		{group: "CPU", name: "get", format: formatSeconds, stock: []float64{0.000125}},
	}
	want := `
### Start

| ratio | target             | what | gatehouse                  | stock                      |
|-------|--------------------|------|----------------------------|----------------------------|
| 0.50  | ≤ 0.50, met by 0%  | cold | 2.00 s (1.00 s to 3.00 s)  | 4.00 s (4.00 s to 4.00 s)  |
| 0.50  |                    | CPU  | 2.00 s                     | 4.00 s                     |

### CPU

| ratio | what | gatehouse | stock  |
|-------|------|-----------|--------|
| -     | get  | -         | 125 µs |
`
	squeeze := func(s string) string {
		for strings.Contains(s, "  ") {
			s = strings.ReplaceAll(s, "  ", " ")
		}
		for strings.Contains(s, "--") {
			s = strings.ReplaceAll(s, "--", "-")
		}
		return strings.TrimSpace(s)
	}
	got := renderTables(rows)
	if squeeze(got) != squeeze(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	for _, table := range strings.Split(strings.TrimSpace(got), "\n\n") {
		if !strings.HasPrefix(table, "|") {
			continue
		}
		lines := strings.Split(table, "\n")
		for _, l := range lines {
			if len([]rune(l)) != len([]rune(lines[0])) {
				t.Errorf("columns do not line up:\n%s", table)
			}
		}
	}
}

func TestMakeRows(t *testing.T) {
	r := result{phases: []phase{{resource: "pods", verb: "get", ops: 1, elapsed: 1, latencies: sorted(1)}}}
	rows := makeRows(map[string][]result{nameGatehouse: {r, r, r}, nameStock: {r, r}})
	if len(rows) != len(r.quantities()) {
		t.Fatalf("%d rows, want %d", len(rows), len(r.quantities()))
	}
	for _, row := range rows {
		if len(row.gatehouse) != 3 || len(row.stock) != 2 {
			t.Errorf("%s, %s: %d and %d values, want 3 and 2", row.group, row.name, len(row.gatehouse), len(row.stock))
		}
	}
}

func TestFormats(t *testing.T) {
	for want, got := range map[string]string{
		"12.35 s": formatSeconds(12.345),
		"1.00 s":  formatSeconds(1),
		"850 ms":  formatSeconds(0.85),
		"1.5 ms":  formatSeconds(0.0015),
		"125 µs":  formatSeconds(0.000125),
		"304 MiB": formatMiB(304 << 20),
		"1235/s":  formatRate(1234.5678),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
