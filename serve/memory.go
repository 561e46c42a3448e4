package serve

import (
	"context"
	"runtime/debug"
	"time"

	"k8s.io/klog/v2"
)

const (
	// startGCPercent is the garbage collector's target until the server is ready.
	startGCPercent = 400
	// gcPercent is its target from then on, unless the variable GOGC names one: what the
	// heap grows by is given back when nothing is asked.
	gcPercent = 150
	// settleTime is how long controllers read what they watch, and rules are compiled.
	settleTime = 8 * time.Second
	// idleInterval is how often memory is given back while nobody asks anything.
	idleInterval = time.Minute
	// idleShare is the share of one core below which the server counts as idle: it
	// takes some hundredths for its own leases and watches.
	idleShare = 0.1
)

// keepMemoryLow gives back to the system what only the start needed, about half of the
// memory held then (the OpenAPI documents of every API, in several forms), once the
// controllers have read what they watch; and then what the collector lets the heap grow
// by, while there is nothing to do. Under load it does nothing. collect is the
// collector's target from here on.
func keepMemoryLow(ctx context.Context, collect int, used func() time.Duration) {
	debug.SetGCPercent(collect)
	select {
	case <-ctx.Done():
		return
	case <-time.After(settleTime):
	}
	debug.FreeOSMemory()
	if err := dropProgramPages(); err != nil {
		klog.V(2).Infof("pages of the program stay mapped: %v", err)
	}
	tick := time.NewTicker(idleInterval)
	defer tick.Stop()
	for before := used(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := used()
		if idle(now - before) {
			debug.FreeOSMemory()
		}
		before = used()
	}
}

// idle reports whether so much processor time in an interval is that of a server that
// has nothing to do.
func idle(used time.Duration) bool { return used < time.Duration(idleShare*float64(idleInterval)) }
