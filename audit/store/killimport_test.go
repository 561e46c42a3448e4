package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

const imported = 5000 // events of the import that is killed

// victimImport is an import: it reads everything from the beginning, each tenth event
// twice, and is done when all is sealed.
func victimImport(dir, _, crash string) error {
	options := victimOptions()
	options.Unlogged, options.joinEvents, options.crash = true, 200, dyingAt(crash)
	s, err := Open(dir, options)
	if err != nil {
		return err
	}
	b := s.Batch()
	for i := range imported {
		for range 1 + i%10/9 {
			if err := b.Add(sample(i)); err != nil {
				return err
			}
		}
		if b.Len() < 64 {
			continue
		}
		if err := b.Append(context.Background()); err != nil {
			return err
		}
		if i%7 == 0 {
			if err := s.Upkeep(context.Background()); err != nil {
				return err
			}
		}
	}
	if err := b.Append(context.Background()); err != nil {
		return err
	}
	if err := s.Seal(context.Background()); err != nil {
		return err
	}
	os.Stdout.WriteString("done\n") // and dies without Close
	return nil
}

// TestKilledImports kills an import that keeps no log, at random moments and between all
// steps, and runs it again, until one says that it is done. Then every event is there once;
// and none was ever there twice.
func TestKilledImports(t *testing.T) {
	dir := t.TempDir() + "/s"
	random := rand.New(rand.NewPCG(3, 4))
	killed, fresh := 0, true
	for run := range 100 {
		alive, kill := context.WithCancel(t.Context())
		command := exec.CommandContext(alive, os.Args[0], "-test.run=^$")
		crash := ""
		if run%2 == 1 && run < 2*len(steps) {
			crash = fmt.Sprintf("%s:%d", steps[run/2], random.IntN(3))
		}
		command.Env = append(os.Environ(), "GATEHOUSE_TEST_STORE="+dir, "GATEHOUSE_TEST_IMPORT=1", "GATEHOUSE_TEST_FROM=0", "GATEHOUSE_TEST_CRASH="+crash)
		command.Stderr = os.Stderr
		if run < 3*len(steps) {
			time.AfterFunc(time.Duration(60+random.IntN(200))*time.Millisecond, kill)
		}
		out, err := command.Output()
		kill()
		if err != nil && !strings.Contains(err.Error(), "killed") && !errors.Is(err, context.Canceled) {
			t.Fatalf("run %d: %v", run, err)
		} else if err != nil {
			killed++
		}
		r, err := OpenReader(dir)
		if err != nil && fresh {
			continue // it was killed before there was a store
		} else if err != nil {
			t.Fatal(err)
		}
		fresh = false
		once(t, r, nil)
		found := map[string]bool{}
		for e, err := range r.Scan(t.Context(), audit.Scan{}) {
			if err != nil || found[e.ID] {
				t.Fatalf("run %d: event %s is there twice, or %v", run, e.ID, err)
			}
			found[e.ID] = true
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if string(out) != "done\n" {
			continue
		}
		if len(found) != imported {
			t.Fatalf("run %d says that it is done, and %d of %d events are there", run, len(found), imported)
		}
		if run >= 3*len(steps) {
			all := map[int]bool{}
			for i := range imported {
				all[i] = true
			}
			verify(t, dir, all)
			if t.Logf("%d runs, %d of them killed", run+1, killed); killed < len(steps) {
				t.Error("too few for a test")
			}
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		fresh = true
	}
	t.Error("no import was ever done")
}

// A batch is what Append is: the same records, acknowledged and kept once.
func TestBatch(t *testing.T) {
	s := mustOpen(t, t.TempDir()+"/s", Options{})
	b := s.Batch()
	one := new(audit.Event)
	for _, e := range samples(0, 500) {
		*one = *e // which is used again for the next
		if err := b.Add(one); err != nil {
			t.Fatal(err)
		}
	}
	*one = audit.Event{ID: "large", Time: start, Stage: audit.StageComplete, Response: make([]byte, MaxEvent+1)}
	if err := b.Add(one); err == nil || b.Len() != 500 {
		t.Errorf("an event that is too large: %v, %d events", err, b.Len())
	}
	if err := b.Append(t.Context()); err != nil || b.Len() != 0 || b.Bytes() != 0 {
		t.Fatalf("%v, %d events left", err, b.Len())
	}
	mustAppend(t, s, samples(400, 600)...)
	all := map[int]bool{}
	for i := range 600 {
		all[i] = true
	}
	once(t, s, all)
	if got := s.Stats(); got.Events != 600 {
		t.Errorf("%d events", got.Events)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_ = b.Add(sample(1))
	if err := b.Append(t.Context()); err == nil || b.Len() != 0 {
		t.Errorf("a closed store takes events: %v", err)
	}
}

// Without a log, what was not sealed is lost with the process, and nothing else is; gaps
// are not.
func TestUnlogged(t *testing.T) {
	dir := t.TempDir() + "/s"
	s := mustOpen(t, dir, Options{Unlogged: true})
	mustAppend(t, s, samples(0, 100)...)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, samples(50, 150)...)
	all := map[int]bool{}
	for i := range 150 {
		all[i] = true
	}
	once(t, s, all) // those that are not sealed too
	s.AddGap(audit.Gap{Start: start, End: start.Add(time.Second), Count: 1, Reason: audit.GapUnreadable})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, Options{})
	if got := s.Stats(); got.Events != 100 {
		t.Errorf("%d events are there again, want those that were sealed", got.Events)
	}
	if gaps, err := s.Gaps(t.Context(), time.Time{}, time.Time{}); err != nil || len(gaps) != 1 {
		t.Errorf("gaps %v, %v", gaps, err)
	}
}
