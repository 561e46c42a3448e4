// Command audit measures the audit store beside what people use without one: zstdcat and
// jq, an indexed SQLite table, and DuckDB. All are given the same events, which package
// events makes from a seed, and answer the same questions. It writes a section of
// docs/performance.md.
//
//	go run ./test/bench/audit -gatehouse bin/gatehouse
//
// Each side works in a process of its own, so that memory and CPU time are its own. The
// peers have a part of the events (-peer-events): what is told of them is with that many,
// and Gatehouse is measured with as many beside the whole.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	var o options
	flag.StringVar(&o.gatehouse, "gatehouse", "bin/gatehouse", "the program, built")
	flag.StringVar(&o.duckdb, "duckdb", "", "the program of test/oracle/duckdb, built; without it DuckDB is left out")
	flag.IntVar(&o.events, "events", 10_000_000, "events of the large run")
	flag.IntVar(&o.peerEvents, "peer-events", 1_000_000, "events of the run beside peers")
	flag.IntVar(&o.runs, "runs", 5, "how often each question is asked; the median counts")
	flag.StringVar(&o.dir, "dir", "", "folder for the data, some 3 GB (default: a temporary one)")
	flag.StringVar(&o.page, "page", "docs/performance.md", "page to write into; empty for none")
	stage := flag.String("stage", "", "of the command's own processes")
	flag.Parse()
	var err error
	if *stage != "" {
		err = runStage(*stage, flag.Args())
	} else {
		err = run(&o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
