package watch

import (
	"context"
	"time"
)

const (
	// tries is how often the store is read before that is given up, and retryAfter how
	// long is waited in between.
	tries      = 5
	retryAfter = time.Second
)

// catchUp judges what was kept and not judged: since the state was saved, or of the last
// hour.
func (w *Watcher) catchUp(ctx context.Context) {
	if w.o.Reader == nil {
		return
	}
	from := w.seen.after()
	w.judging.Store(&w.began)
	defer w.judging.Store(nil)
	n, err := w.read(ctx, from, time.Time{})
	if err != nil && ctx.Err() == nil {
		w.logf("The audit events since %s cannot all be read from the store, and are not looked at: %v", from.Format(time.RFC3339), err)
	}
	if took := w.o.Clock.Since(w.began); took > 5*time.Second {
		w.logf("%d audit events since %s have been looked at, after %.0f s", n, from.Format(time.RFC3339), took.Seconds())
	}
}

// readLost judges what found no room.
func (w *Watcher) readLost(ctx context.Context, lost span) {
	if w.o.Reader == nil {
		w.meters.skipped.Add(float64(lost.count))
		w.logf("%d audit events from %s to %s are not looked at: more came than could be", lost.count, lost.from.UTC().Format(time.RFC3339), lost.to.UTC().Format(time.RFC3339))
		return
	}
	if _, err := w.read(ctx, lost.from, lost.to.Add(time.Microsecond)); err != nil && ctx.Err() == nil {
		w.meters.skipped.Add(float64(lost.count))
		w.logf("Up to %d audit events from %s to %s are not looked at: more came than could be, and they cannot be read from the store: %v",
			lost.count, lost.from.UTC().Format(time.RFC3339), lost.to.UTC().Format(time.RFC3339), err)
	}
}

// read judges the events of a time that have not been judged.
func (w *Watcher) read(ctx context.Context, from, to time.Time) (n int, err error) {
	for try := range tries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return n, ctx.Err()
			case <-w.o.Clock.After(retryAfter):
			}
		}
		err = nil
		for e, failed := range w.rules.set().Scan(ctx, w.o.Reader, from, to) {
			if failed != nil {
				err = failed
				break
			}
			w.judge(ctx, e)
			n++
		}
		if err == nil || ctx.Err() != nil {
			return n, err
		}
	}
	return n, err
}
