package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// idleLoad is a load whose clients are never used and whose server costs a
// second of CPU a look.
func idleLoad(clients int) load {
	var used time.Duration
	return load{
		clients: make([]*rest.RESTClient, clients),
		cpu: func() (time.Duration, error) {
			used += time.Second
			return used, nil
		},
	}
}

func TestMeasureMakesEachRequestOnce(t *testing.T) {
	var (
		mu   sync.Mutex
		seen []int
	)
	p, err := idleLoad(4).measure(t.Context(), 100, func(_ context.Context, _ *rest.RESTClient, n int) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, n)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(seen)
	for n := range 100 {
		if len(seen) != 100 || seen[n] != n {
			t.Fatalf("requests made: %v", seen)
		}
	}
	if p.ops != 100 || len(p.latencies) != 100 || !slices.IsSorted(p.latencies) || p.cpu != time.Second {
		t.Errorf("got %d ops, %d latencies, cpu %v", p.ops, len(p.latencies), p.cpu)
	}
}

func TestMeasureEndsAtTheFirstError(t *testing.T) {
	refused := errors.New("refused")
	_, err := idleLoad(4).measure(t.Context(), 1000, func(_ context.Context, _ *rest.RESTClient, n int) error {
		if n == 10 {
			return refused
		}
		return nil
	})
	if !errors.Is(err, refused) || !strings.Contains(err.Error(), "request 10") {
		t.Errorf("got %v, want refused at request 10", err)
	}
}

func TestPhaseRates(t *testing.T) {
	p := phase{ops: 200, elapsed: 4 * time.Second, cpu: 2 * time.Second}
	if p.perSecond() != 50 || p.cpuPerOp() != 0.01 {
		t.Errorf("got %v ops/s and %v s an op, want 50 and 0.01", p.perSecond(), p.cpuPerOp())
	}
}
