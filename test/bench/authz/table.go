package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// result is what one benchmark of one side measured, a value a run.
type result map[string][]float64 // by unit: ns/op, B/op, allocs/op

// row is one benchmark, of both sides where upstream has one.
type row struct {
	pkg   string // authz/rbac
	name  string // without Benchmark and without the side
	sides map[string]result
}

// parse reads the lines of `go test -bench`. Rows are in the order they ran in.
func parse(output string) []row {
	var rows []row
	pkg := ""
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) == 2 && fields[0] == "pkg:" {
			pkg = strings.TrimPrefix(fields[1], "github.com/gatehouse-io/gatehouse/")
		}
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name, side := split(strings.TrimPrefix(fields[0], "Benchmark"))
		at := slices.IndexFunc(rows, func(r row) bool { return r.pkg == pkg && r.name == name })
		if at < 0 {
			at = len(rows)
			rows = append(rows, row{pkg: pkg, name: name, sides: map[string]result{}})
		}
		if rows[at].sides[side] == nil {
			rows[at].sides[side] = result{}
		}
		for i := 2; i+1 < len(fields); i += 2 {
			if value, err := strconv.ParseFloat(fields[i], 64); err == nil {
				rows[at].sides[side][fields[i+1]] = append(rows[at].sides[side][fields[i+1]], value)
			}
		}
	}
	return rows
}

// split takes the side out of a name: a part side=upstream, or upstream alone.
func split(name string) (rest, side string) {
	side = "gatehouse"
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch s := strings.TrimPrefix(part, "side="); s {
		case "gatehouse", "upstream":
			side = s
		default:
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/"), side
}

func render(rows []row) string {
	var b strings.Builder
	pkg := ""
	for i, r := range rows {
		if i == 0 || r.pkg != pkg {
			pkg = r.pkg
			fmt.Fprintf(&b, "\n### %s\n\n| benchmark | ratio | gatehouse | upstream | gatehouse's allocations | upstream's |\n|---|---|---|---|---|---|\n", pkg)
		}
		ours, theirs := r.sides["gatehouse"], r.sides["upstream"]
		ratio := ""
		if a, ok := median(ours["ns/op"]); ok {
			if u, ok := median(theirs["ns/op"]); ok {
				ratio = fmt.Sprintf("%.3g", u/a)
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", strings.ReplaceAll(r.name, "/", ", "), ratio, duration(ours), duration(theirs), memory(ours), memory(theirs))
	}
	return b.String()
}

func median(values []float64) (float64, bool) {
	if len(values) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2], true
}

func duration(r result) string {
	ns, ok := median(r["ns/op"])
	switch {
	case !ok:
		return ""
	case ns < 1e3:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 1e6:
		return fmt.Sprintf("%.3g µs", ns/1e3)
	case ns < 1e9:
		return fmt.Sprintf("%.3g ms", ns/1e6)
	}
	return fmt.Sprintf("%.3g s", ns/1e9)
}

func memory(r result) string {
	bytes, ok := median(r["B/op"])
	if !ok {
		return ""
	}
	count, _ := median(r["allocs/op"])
	text := fmt.Sprintf("%.0f, %s", count, size(bytes))
	if each, ok := median(r["heap-B/binding"]); ok {
		text += fmt.Sprintf("; %.0f B a binding stay", each)
	}
	return text
}

func size(bytes float64) string {
	switch {
	case bytes < 1<<10:
		return fmt.Sprintf("%.0f B", bytes)
	case bytes < 1<<20:
		return fmt.Sprintf("%.3g KiB", bytes/(1<<10))
	}
	return fmt.Sprintf("%.3g MiB", bytes/(1<<20))
}
