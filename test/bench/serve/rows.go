package main

import "time"

// The ratios, gatehouse over stock, that the project sets itself.
const (
	targetStart      = 0.5
	targetMemory     = 0.8
	targetThroughput = 0.95
)

// row is one line of the report: one quantity, on both sides, over all runs.
type row struct {
	// group is the table that the row stands in.
	group string
	// name says what was measured.
	name string
	// format prints a value.
	format func(float64) string
	// more says that more is better; otherwise less is.
	more bool
	// target is the ratio to reach, 0 when there is none.
	target float64
	// gatehouse and stock have one value a run, or none for a side left out.
	gatehouse, stock []float64
}

// makeRows turns the results of the runs into the lines of the report. Every
// run of either side measures the same quantities in the same order.
func makeRows(results map[string][]result) []row {
	var rows []row
	for side, runs := range results {
		for _, r := range runs {
			for n, q := range r.quantities() {
				if n == len(rows) {
					rows = append(rows, q.row)
				}
				if side == nameGatehouse {
					rows[n].gatehouse = append(rows[n].gatehouse, q.value)
				} else {
					rows[n].stock = append(rows[n].stock, q.value)
				}
			}
		}
	}
	return rows
}

// quantity is one measured value and the row it belongs in.
type quantity struct {
	row
	value float64
}

// quantities lists all that a run measured.
func (r result) quantities() []quantity {
	seconds := func(group, name string, target float64, d time.Duration) quantity {
		return quantity{row{group: group, name: name, format: formatSeconds, target: target}, d.Seconds()}
	}
	size := func(name string, target float64, n int64) quantity {
		return quantity{row{group: "Memory", name: name, format: formatMiB, target: target}, float64(n)}
	}
	all := []quantity{
		seconds("Start", "empty directory to ready", targetStart, r.cold.wall),
		seconds("Start", "restart on data to ready", targetStart, r.restart.wall),
		seconds("Start", "CPU, empty directory to ready", 0, r.cold.cpu),
		seconds("Start", "CPU, restart on data to ready", 0, r.restart.cpu),
		size("resident (RSS), ready and idle", targetMemory, r.idle.rss),
		size("proportional (PSS), ready and idle", 0, r.idle.pss),
		size("resident (RSS), after the load", 0, r.loaded.rss),
		size("proportional (PSS), after the load", 0, r.loaded.pss),
	}
	for _, p := range r.phases {
		all = append(all, quantity{row{
			group: "Throughput", name: p.verb + " " + p.resource,
			format: formatRate, more: true, target: targetThroughput,
		}, p.perSecond()})
	}
	for _, p := range r.phases {
		all = append(all,
			seconds("Latency", p.verb+" "+p.resource+", p50", 0, percentile(p.latencies, 50)),
			seconds("Latency", p.verb+" "+p.resource+", p99", 0, percentile(p.latencies, 99)))
	}
	for _, p := range r.phases {
		all = append(all, quantity{row{
			group: "Server CPU per operation", name: p.verb + " " + p.resource, format: formatSeconds,
		}, p.cpuPerOp()})
	}
	return all
}
