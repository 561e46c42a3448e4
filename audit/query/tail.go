package query

import (
	"context"
	"iter"
	"time"

	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/audit"
)

// TailOptions say how new events are followed.
type TailOptions struct {
	// Since is from when on; zero is now.
	Since time.Time
	// Every is how often it is looked for new ones. Default: a second.
	Every time.Duration
	// Late is how late an event may come to the store and is still seen, since webhooks
	// batch and clocks differ. Default: 90 seconds.
	Late time.Duration
	// Clock tells the time. Default: the machine's.
	Clock clock.Clock
}

// News is an event that is new, or a gap that is.
type News struct {
	Event *audit.Event
	Gap   *audit.Gap
}

// Tail yields events as they come, each once, until the context ends, which is no error.
// Those that came together are in order. From, To, Order, Limit and After of the query
// are not asked.
func (q *Query) Tail(ctx context.Context, r audit.Reader, o TailOptions, u *Unjudged) iter.Seq2[News, error] {
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Late <= 0 {
		o.Late = 90 * time.Second
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return func(yield func(News, error) bool) {
		since := o.Since
		if since.IsZero() {
			since = o.Clock.Now()
		}
		seen := map[same]time.Time{}
		gaps := map[time.Time]bool{}
		for from := since; ; {
			begun := o.Clock.Now()
			round := Query{Filter: q.Filter, Where: q.Where, Bodies: q.Bodies}
			round.Filter.From, round.Filter.To = from, time.Time{}
			missing, err := r.Gaps(ctx, from, time.Time{})
			for i := 0; err == nil && i < len(missing); i++ {
				if g := missing[i]; !gaps[g.Start] {
					gaps[g.Start] = true
					if !yield(News{Gap: &g}, nil) {
						return
					}
				}
			}
			var this Unjudged
			if err == nil {
				for e, failed := range round.Run(ctx, r, &this) {
					if failed != nil {
						err = failed
						break
					}
					is := same{requestOf(e), e.Stage, e.Time}
					if _, before := seen[is]; before {
						continue
					}
					seen[is] = e.Time
					if !yield(News{Event: e}, nil) {
						return
					}
				}
			}
			if u != nil && this.Count > u.Count {
				*u = this // at least so many: the next look meets some of them again
			}
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(News{}, err)
				return
			}
			// What was there before since is never looked at; what is older than late
			// is not looked at again.
			if late := begun.Add(-o.Late); late.After(from) {
				from = late
			}
			for key, at := range seen {
				if at.Before(from) {
					delete(seen, key)
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-o.Clock.After(o.Every):
			}
		}
	}
}

// same tells events apart.
type same struct {
	request request
	stage   string
	time    time.Time
}
