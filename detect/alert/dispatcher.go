package alert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/alert/queue"
)

// Dispatcher tells sinks of Findings. It is safe for concurrent use.
type Dispatcher struct {
	o       Options
	lock    *os.File
	outlets []*outlet

	// disk is held by whoever writes what was told, before mu.
	disk    sync.Mutex
	journal *queue.Journal

	// mu guards what is below.
	mu sync.Mutex
	// entries are the Findings that are open and not muted, by fingerprint.
	entries map[string]*entry
	// ending are those that are so no more, and whose end was not told yet.
	ending []*entry
	// ended is when, by the clock, a Finding ended that may be in a list of open ones
	// that was made before.
	ended map[string]time.Time
	// nextID is the number of the next entry in the journal.
	nextID uint64
	// next is when the next entry is due; zero for never.
	next time.Time
	// poke wakes who tells.
	poke chan struct{}
}

// Open opens the queues in Options.Dir, with what was not sent yet.
func Open(o Options) (*Dispatcher, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open alerts: %w", err)
	}
	d := &Dispatcher{o: o, entries: map[string]*entry{}, ended: map[string]time.Time{}, nextID: 1, poke: make(chan struct{}, 1)}
	if err := d.open(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Dispatcher) open() (err error) {
	if d.lock, err = os.OpenFile(filepath.Join(d.o.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return fmt.Errorf("open alerts: %w", err)
	}
	if err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("open alerts: another process uses %s", d.o.Dir)
	}
	if err := d.load(); err != nil {
		return err
	}
	names := map[string]bool{}
	for _, s := range d.o.Sinks {
		t := s.Traits()
		name := fileName(t)
		if names[name] {
			return fmt.Errorf("open alerts: two sinks are %s %s", t.Type, t.Name)
		}
		names[name] = true
		q, err := queue.Open(filepath.Join(d.o.Dir, name), queue.Options{Most: d.o.QueueSize})
		if err != nil {
			return fmt.Errorf("open alerts: %w", err)
		}
		d.outlets = append(d.outlets, newOutlet(d, s, q))
	}
	d.orphans(names)
	return nil
}

// fileName is that of a sink's queue. What a sink is called may be anything.
func fileName(t Traits) string {
	sum := sha256.Sum256([]byte(t.Type + "\x00" + t.Name))
	return t.Type + "-" + hex.EncodeToString(sum[:6]) + ".jsonl"
}

// orphans tells of queues whose sink is not in the settings any more.
func (d *Dispatcher) orphans(names map[string]bool) {
	files, _ := filepath.Glob(filepath.Join(d.o.Dir, "*.jsonl"))
	for _, file := range files {
		if name := filepath.Base(file); name != toldFile && !names[name] {
			d.o.Log(fmt.Sprintf("what waits in %s is for a sink that the settings do not name any more; remove the file, or put the sink back", file))
		}
	}
}

// Run enriches, queues and sends until ctx ends. It is called once.
func (d *Dispatcher) Run(ctx context.Context) {
	var all wait.Group
	for _, out := range d.outlets {
		all.StartWithContext(ctx, out.run)
	}
	d.tellAll(ctx)
	all.Wait()
}

// Close writes what Flush would, and closes the queues. It is called when Run has
// returned, or was never called.
func (d *Dispatcher) Close() error {
	var errs []error
	if d.journal != nil {
		errs = append(errs, d.save(), d.journal.Close())
	}
	for _, out := range d.outlets {
		errs = append(errs, out.queue.Close())
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}

// idOf is that of a telling: the same where the same was about to be told before.
func idOf(f *detect.Finding, cause Cause, before time.Time) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%d\n%s\n%d\n%d\n", f.Fingerprint, f.First.UnixNano(), cause, f.Count, before.UnixMicro())
	return hex.EncodeToString(h.Sum(nil)[:16])
}
