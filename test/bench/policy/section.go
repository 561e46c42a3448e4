package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/gatehouse-io/gatehouse/internal/version"
	"github.com/gatehouse-io/gatehouse/test/bench/page"
)

func (o *options) heading(load string) string {
	return fmt.Sprintf("## Policies beside Gatekeeper, and through API servers\n\n"+
		"- Date: %s\n- Versions: gatehouse %s; Gatekeeper 3.23.1; Kubernetes v1.37.2; %s\n- Machine: %s; load average before the run %s\n"+
		"- Command: `make bench-policy BENCH_FLAGS=\"-rounds %d -each %d -creates %d -clients %d\"`\n\n"+
		"Medians of %d turns (3 where there are 1,000 policies), the sides one after the other in each. In process a request has an object that keeps to every policy, as most have, and is decided by one goroutine. What is measured is the first time that policies are asked about an object; again is a request that equals it in all that they read, of which they are known to have nothing to say. Time is of the clock, CPU of the whole process with its garbage collector. Others worked on the machine meanwhile, so ratios and targets are of CPU. "+
		"Ten rules are written in each language and repeated under other names. Gatekeeper's client is the library of its webhook, in a process of its own without a network.\n\n",
		time.Now().UTC().Format(time.DateOnly), version.Release, runtime.Version(), page.Machine(), load, o.rounds, o.each, o.creates, o.clients, o.rounds)
}
