package scan

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// watchLimit is how long one watch lasts.
const watchLimit = 8 * time.Minute

// watch judges what changes, and what triggers pull, until a watch from a version ends.
// It returns the version to watch from next.
func (k *kind) watch(ctx context.Context, version string) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
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
			if told.err == nil && told.version == version && k.opts.Clock.Since(began) < time.Second {
				// What ends at once is not asked for again at once.
				_ = k.sleep(ctx, time.Second)
			}
			return told.version, told.err
		}
	}
}

// stream is what a watch has told; done is closed when it has ended, and nobody reads the
// rest before.
type stream struct {
	done    chan struct{}
	version string // that of the last event
	err     error
}

// read notes what a watch tells, as it comes: a server ends a watch that is not read.
func (k *kind) read(ctx context.Context, w watch.Interface, version string) *stream {
	told := &stream{done: make(chan struct{}), version: version}
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
				if told.err = k.note(event, told); told.err != nil {
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
	fell := false
	switch event.Type {
	case watch.Added, watch.Modified:
		fell = k.changed.put(o, k.opts.Clock.Now())
	case watch.Deleted:
		fell = k.changed.drop(o.GetUID(), k.opts.Clock.Now())
	}
	if fell {
		k.overflows.Add(1)
		k.unsettle()
	}
	told.version = o.GetResourceVersion()
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
