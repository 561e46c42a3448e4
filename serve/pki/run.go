package pki

import (
	"context"
	"time"
)

const (
	// pollInterval is how often the extra client CA file is looked at.
	pollInterval = time.Minute
	// passInterval is the longest time between two passes: what was deleted or
	// damaged under the server comes back within it.
	passInterval = time.Hour
	// retryInterval is the time to the next pass after one that failed.
	retryInterval = 5 * time.Minute
)

// Run renews until ctx is done. It calls onRenew with the name of each thing
// written, and onError with what failed and its mend in one text; either may be
// nil. A failure of the extra client CA file, which is looked at each minute, is
// reported when it begins and then with each pass.
//
// It asks the clock at each tick, instead of sleeping until something is due,
// so a machine that was suspended renews within a minute of waking.
func (p *PKI) Run(ctx context.Context, onRenew func(name string), onError func(error)) {
	if onRenew == nil {
		onRenew = func(string) {}
	}
	if onError == nil {
		onError = func(error) {}
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()

	var at time.Time // when the next pass is to be
	var said string  // the failure of the bundle that was last reported
	for {
		if now := p.now(); !now.Before(at) || at.After(now.Add(passInterval)) {
			renewed, next, err := p.Renew(now)
			for _, name := range renewed {
				onRenew(name)
			}
			at = now.Add(passInterval)
			if !next.IsZero() && next.Before(at) {
				at = next
			}
			if err != nil {
				onError(inOneLine(err))
				at = now.Add(retryInterval)
			}
		} else if changed, err := p.refresh(); err != nil {
			if said != err.Error() {
				onError(inOneLine(err))
			}
			said = err.Error()
		} else {
			said = ""
			if changed {
				onRenew(bundleName)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// refresh looks at the extra client CA file between passes.
func (p *PKI) refresh() (changed bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return refreshBundle(p.Paths.ClientCABundle, p.clusterCA, p.opts.ExtraClientCAFile)
}
