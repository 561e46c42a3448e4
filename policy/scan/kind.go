package scan

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

// kind judges the objects of one resource. What is not said to be shared is its
// goroutine's alone.
type kind struct {
	*Scanner
	resource Resource
	stop     context.CancelFunc
	done     chan struct{}

	mu      sync.Mutex // over pending
	pending []trigger
	wake    chan struct{} // one element: pending has something

	objects map[types.UID]known
	pass    uint32
	// paused is the version of the store when the watch last went on after a burst, and
	// patient says that it ends at the next.
	paused  uint64
	patient bool
	// changed is what the watch has told of and what is not done yet. Shared.
	changed *queue

	// Shared: how many objects there are, how many of them the list that runs has
	// seen, and whether one has ended.
	total, seen atomic.Int64
	settled     atomic.Bool
}

// known is what is kept of an object.
type known struct {
	hash    uint64
	version uint64 // its resourceVersion; 0 where that is no number
	pass    uint32 // the list that saw it last
}

func (s *Scanner) newKind(ctx context.Context, resource Resource) *kind {
	all := ctx
	ctx, stop := context.WithCancel(ctx)
	k := &kind{Scanner: s, resource: resource, stop: stop, done: make(chan struct{}), wake: make(chan struct{}, 1), objects: map[types.UID]known{}, changed: newQueue()}
	_, k.patient = s.opts.Source.(Versioned)
	go k.run(ctx, all)
	return k
}

// pull has objects judged again.
func (k *kind) pull(t trigger) {
	k.mu.Lock()
	k.pending = append(k.pending, t)
	k.settled.Store(false)
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *kind) take() []trigger {
	k.mu.Lock()
	defer k.mu.Unlock()
	taken := k.pending
	k.pending = nil
	return taken
}

func (k *kind) giveBack(t []trigger) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pending = append(t, k.pending...)
}

// run judges until ctx ends. What it has reported goes with it, unless all ends with
// it: then nobody is told that all is well.
func (k *kind) run(ctx, all context.Context) {
	defer close(k.done)
	defer func() {
		if all.Err() != nil {
			return
		}
		for uid := range k.objects {
			k.reports.Put(uid, nil)
		}
	}()
	for failures := 0; ctx.Err() == nil; {
		err := k.listAndWatch(ctx)
		if ctx.Err() != nil {
			return
		}
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			failures = 0 // a list tells what the watch has missed
			_ = k.sleep(ctx, time.Second)
			continue
		}
		failures++
		k.failed.Add(1)
		klog.ErrorS(err, "Objects are not judged in the background yet", "resource", k.resource.GroupVersionResource.String())
		// From one second to a minute, not all kinds at once.
		pause := min(time.Minute, time.Second<<min(failures-1, 6))
		_ = k.sleep(ctx, pause/2+time.Duration(rand.Int64N(int64(pause/2))))
	}
}

func (k *kind) listAndWatch(ctx context.Context) error {
	taken := k.take()
	version, err := k.list(ctx, "", taken)
	if err != nil {
		k.giveBack(taken)
		return err
	}
	for ctx.Err() == nil {
		if version, err = k.watch(ctx, version); err != nil {
			return err
		}
	}
	return nil
}

// list judges what has changed, and what triggers pull, in one namespace or, where
// that is empty, in all; then objects that are not there any more are forgotten. It
// returns the version to watch from.
func (k *kind) list(ctx context.Context, namespace string, triggers []trigger) (string, error) {
	k.pass++
	k.seen.Store(0)
	if namespace == "" {
		k.changed.clear() // what waits is in the list, as it is now, or gone
	}
	opts := metav1.ListOptions{Limit: k.opts.PageSize}
	first, count := "", int64(0)
	for {
		page, err := k.opts.Source.List(ctx, k.resource, namespace, opts)
		if err != nil {
			// The rest of a list that took too long is there still, newer.
			if status := apierrors.APIStatus(nil); apierrors.IsResourceExpired(err) && opts.Continue != "" && errors.As(err, &status) && status.Status().Continue != "" && status.Status().Continue != opts.Continue {
				opts.Continue = status.Status().Continue
				continue
			}
			return "", fmt.Errorf("list: %w", err)
		}
		if first == "" {
			first = page.ResourceVersion
		}
		if left := page.RemainingItemCount; namespace == "" {
			n := count + int64(len(page.Items))
			if left != nil {
				n += *left
			}
			k.total.Store(n)
		}
		for _, o := range page.Items {
			if err := k.look(ctx, o, triggers, listedShare); err != nil {
				return "", err
			}
			k.seen.Add(1)
			count++
		}
		if opts.Continue = page.Continue; opts.Continue == "" {
			break
		}
		// Objects that have not changed are not rested for one by one.
		if err := k.sleep(ctx, k.rests.left(k.opts.Clock.Now())); err != nil {
			return "", err
		}
	}
	if namespace == "" {
		for uid, o := range k.objects {
			if o.pass != k.pass {
				k.forget(uid)
			}
		}
		k.total.Store(int64(len(k.objects)))
	}
	k.settle()
	return first, nil
}

// settle tells that all is judged by what is in force, unless something has come
// meanwhile that a list must settle.
func (k *kind) settle() {
	k.mu.Lock()
	_, behind := k.changed.fallenBehind(k.opts.Clock.Now())
	k.settled.Store(len(k.pending) == 0 && !behind)
	k.mu.Unlock()
	k.progressed()
}

// unsettle tells that a list must settle something.
func (k *kind) unsettle() {
	k.mu.Lock()
	k.settled.Store(false)
	k.seen.Store(0)
	k.mu.Unlock()
}

// answer lists what the triggers that have come pull.
func (k *kind) answer(ctx context.Context) error {
	taken := k.take()
	if len(taken) == 0 {
		return nil
	}
	of := map[string][]trigger{}
	for _, t := range taken {
		of[t.namespace] = append(of[t.namespace], t)
	}
	if all := of[""]; all != nil {
		of = map[string][]trigger{"": taken}
	}
	for namespace, triggers := range of {
		if _, err := k.list(ctx, namespace, triggers); err != nil {
			k.giveBack(taken)
			return err
		}
	}
	return nil
}

func (k *kind) forget(uid types.UID) {
	delete(k.objects, uid)
	k.reports.Put(uid, nil)
}

// look judges an object where it has changed, or one of triggers pulls it, at a share of
// the processor.
func (k *kind) look(ctx context.Context, o Item, triggers []trigger, share float64) error {
	began := k.opts.Clock.Now()
	uid := o.GetUID()
	version, _ := strconv.ParseUint(o.GetResourceVersion(), 10, 64)
	last, seen := k.objects[uid]
	if seen && version < last.version {
		return nil // a list has told of a later version than this one of the watch
	}
	now := known{hash: k.hashes.of(o), version: version, pass: k.pass}
	if o.GetNamespace() != "" && k.terminating(o.GetNamespace()) {
		// What is going away is judged no more: a namespace is empty when nothing is
		// reported in it.
		k.reports.Put(uid, nil)
		now.hash = 0
		k.objects[uid] = now
		return nil
	}
	reason, due := Object, !seen || last.hash != now.hash
	for i := 0; i < len(triggers) && !due; i++ {
		if k.pulls(ctx, &triggers[i], o, k.resource) {
			reason, due = triggers[i].reason, true
		}
	}
	ended := k.opts.Clock.Now()
	k.rests.pay(ended, ended.Sub(began), share)
	if due {
		if err := k.await(ctx, share); err != nil {
			return err
		}
		k.judgements[reason].Add(1)
		began = k.opts.Clock.Now()
		k.reports.Put(uid, k.judge(ctx, o, k.resource))
		ended = k.opts.Clock.Now()
		k.rests.pay(ended, ended.Sub(began), share)
		if err := ctx.Err(); err != nil {
			return err // the policies were cut off
		}
	}
	k.objects[uid] = now
	return nil
}
