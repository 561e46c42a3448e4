package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/test/bench/page"
)

// circumstances is what a reader needs to judge the numbers or repeat them.
type circumstances struct {
	// date is the day of the run.
	date string
	// versions says what was measured, in one line.
	versions string
	// machine says on what, in one line.
	machine string
	// load is the load average over the minute before the first run. Well above
	// zero, other work was taking the cores, and times are longer than they
	// need be; ratios suffer less.
	load string
	// command is the command line that made the section.
	command string
	// runs and work say how much was measured.
	runs int
	work workload
	// settle is the pause before idle memory was read.
	settle time.Duration
}

// describe collects the circumstances of the run that just ended.
func describe(results map[string][]result, o options, load string) circumstances {
	c := circumstances{
		date:    time.Now().UTC().Format(time.DateOnly),
		machine: page.Machine(),
		command: "go run ./test/bench/serve " + strings.Join(os.Args[1:], " "),
		load:    load,
		runs:    o.runs,
		work:    o.work,
		settle:  o.settle,
	}
	var versions []string
	for _, name := range []string{nameGatehouse, nameStock} {
		if runs := results[name]; len(runs) > 0 {
			versions = append(versions, name+" "+runs[0].version)
		}
	}
	c.versions = strings.Join(versions, "; ") + "; " + runtime.Version()
	return c
}

// renderSection prints what goes between the marks.
func renderSection(c circumstances, tables string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## gatehouse serve beside stock kube-apiserver and etcd\n\n")
	fmt.Fprintf(&b, "- Date: %s\n- Versions: %s\n- Machine: %s; load average before the run %s\n- Command: `%s`\n\n",
		c.date, c.versions, c.machine, c.load, strings.TrimSpace(c.command))
	fmt.Fprintf(&b, "Medians of %d runs, both sides in turn, the least and the most in brackets. "+
		"The ratio is gatehouse over stock. Start is from exec to /readyz answering 200; "+
		"stock's etcd and kube-apiserver are executed at the same moment and counted together, here and everywhere. "+
		"Idle memory is read %s after ready.\n\n", c.runs, c.settle)
	fmt.Fprintf(&b, "Load: %d clients with a connection each, TLS and protobuf; %d creates, %d gets and %d lists of %d objects of each resource. "+
		"The clients run on the same machine. Gatehouse runs with its defaults, all gates on; "+
		"stock runs with AlwaysAllow, without audit, encryption or controllers.\n\n",
		c.work.clients, c.work.creates, c.work.gets, c.work.lists, listSize)
	b.WriteString(tables)
	return b.String()
}
