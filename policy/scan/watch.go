package scan

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// watchLimit is how long one watch lasts.
const watchLimit = 8 * time.Minute

// watch judges what changes, and what triggers pull, until a watch from a version ends.
// It returns the version to watch from next.
func (k *kind) watch(kindCtx context.Context, version string) (string, error) {
	ctx, cancel := context.WithCancel(kindCtx)
	began := k.opts.Clock.Now()
	seconds := int64(watchLimit.Seconds()) + rand.Int64N(int64(watchLimit.Seconds()))
	w, err := k.opts.Source.Watch(ctx, k.resource, metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true, TimeoutSeconds: &seconds})
	if err != nil {
		cancel()
		return version, fmt.Errorf("watch: %w", err)
	}
	told := k.read(ctx, w, version)
	defer func() { <-told.done }()
	defer w.Stop()
	defer cancel()
	var rested <-chan time.Time // nil: nobody rests
	for {
		k.forgetGone()
		if rested == nil {
			if rested, err = k.judgeChanged(ctx); err != nil {
				return version, err
			}
		}
		k.total.Store(int64(len(k.objects)))
		select {
		case <-ctx.Done():
			return version, nil
		case <-rested:
			rested = nil
		case <-k.changed.wake:
		case <-k.wake:
			if err := k.answer(ctx); err != nil {
				return version, err
			}
		case <-told.done:
			if k.patient = told.armed; told.burst {
				cancel()
				w.Stop()
				return told.version, k.pause(kindCtx)
			}
			if told.err == nil && told.version == version && k.opts.Clock.Since(began) < time.Second {
				// What ends at once is not asked for again at once.
				_ = k.sleep(ctx, time.Second)
			}
			return told.version, told.err
		}
	}
}

// A kind of which more than burst objects change in a second is in one: requests make them
// that need the processor more, and to be told of each is most of what the scan costs. Its
// watch ends there, and goes on from there when the store sees fewer changes, checked every
// checkPause, or after longestPause; then all that comes is read until it gets calm.
const (
	burst        = 100
	checkPause   = 500 * time.Millisecond
	longestPause = 10 * time.Second
)

// stream is what a watch has told; done is closed when it has ended, and nobody reads the
// rest before.
type stream struct {
	done    chan struct{}
	version string // that of the last event
	err     error

	// waits says that it may end where a burst begins, armed that it does, once it has
	// been calm, and burst that it has.
	waits, armed, burst bool
	// Since when so many changes have come that are no older than the watch.
	since   time.Time
	changes int
}

// count notes a change.
func (s *stream) count(now time.Time) {
	if now.Sub(s.since) >= time.Second {
		s.armed = s.armed || s.waits && s.changes <= burst
		s.since, s.changes = now, 0
	}
	s.changes++
	s.burst = s.armed && s.changes > burst
}

// read notes what a watch tells, as it comes: a server ends a watch that is not read.
func (k *kind) read(ctx context.Context, w watch.Interface, version string) *stream {
	_, versioned := k.opts.Source.(Versioned)
	told := &stream{done: make(chan struct{}), version: version, waits: versioned, armed: k.patient, since: k.opts.Clock.Now()}
	go func() {
		defer close(told.done)
		for {
			select {
			case <-ctx.Done():
				return
			case event, ok := <-w.ResultChan():
				if !ok {
					return
				}
				if told.err = k.note(event, told); told.err != nil || told.burst {
					return
				}
			}
		}
	}()
	return told
}

func (k *kind) note(event watch.Event, told *stream) error {
	if event.Type == watch.Error {
		return apierrors.FromObject(event.Object)
	}
	o, ok := event.Object.(Item)
	if !ok {
		return fmt.Errorf("watch: it tells of a %T", event.Object)
	}
	fell, now := false, k.opts.Clock.Now()
	switch event.Type {
	case watch.Added, watch.Modified:
		fell = k.changed.put(o, now)
	case watch.Deleted:
		fell = k.changed.drop(o.GetUID(), now)
	}
	if fell {
		k.overflows.Add(1)
		k.unsettle()
	}
	told.version = o.GetResourceVersion()
	// What comes at once after a pause is no burst.
	if version, err := strconv.ParseUint(told.version, 10, 64); err == nil && version > k.paused && event.Type != watch.Bookmark {
		told.count(now)
	}
	return nil
}

// pause waits for the end of a burst. What triggers pull is judged meanwhile.
func (k *kind) pause(ctx context.Context) error {
	source := k.opts.Source.(Versioned) // the patient have one
	latest := k.opts.Clock.Now().Add(longestPause)
	var before uint64
	for first := true; ctx.Err() == nil; first = false {
		version, ok, err := source.Version(ctx, k.resource)
		if err != nil {
			return fmt.Errorf("ask how far the store is: %w", err)
		}
		calm := !first && version-before <= burst*uint64(checkPause)/uint64(time.Second)
		if over := !k.opts.Clock.Now().Before(latest); !ok || calm || over {
			k.paused, k.patient = version, calm
			return nil
		}
		before = version
		for check := k.opts.Clock.After(checkPause); check != nil; {
			select {
			case <-ctx.Done():
				return nil
			case <-check:
				check = nil
			case <-k.wake:
				if err := k.answer(ctx); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (k *kind) forgetGone() {
	for _, uid := range k.changed.takeGone() {
		k.forget(uid)
	}
}

// judgeChanged judges what has changed, until nothing waits or it is time to rest, and
// returns a channel that tells when the rest is over: nil where nothing waits.
func (k *kind) judgeChanged(ctx context.Context) (rested <-chan time.Time, err error) {
	for {
		now := k.opts.Clock.Now()
		if left, behind := k.changed.fallenBehind(now); behind {
			if left > 0 {
				return k.opts.Clock.After(left), nil
			}
			if err := k.catchUp(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if k.changed.len() == 0 {
			return nil, nil
		}
		if left := k.rests.left(now); left > 0 {
			return k.opts.Clock.After(left), nil
		}
		if o := k.changed.take(); o != nil {
			if err := k.look(ctx, o, nil, changedShare); err != nil {
				return nil, err
			}
		}
		k.forgetGone()
	}
}

// catchUp lists what there is, after changes that nobody has looked at.
func (k *kind) catchUp(ctx context.Context) error {
	taken := k.take()
	if _, err := k.list(ctx, "", taken); err != nil {
		k.giveBack(taken)
		return err
	}
	return nil
}
