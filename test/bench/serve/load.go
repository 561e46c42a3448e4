package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// workload is how much one side does in one run, for each resource.
type workload struct {
	// clients is how many requests are under way at a time.
	clients int
	// creates, gets and lists are how many of each are measured.
	creates, gets, lists int
}

// defaultWorkload takes about a minute a side on two cores.
var defaultWorkload = workload{clients: 16, creates: 4000, gets: 8000, lists: 400}

const (
	// listSize is how many objects a measured list returns.
	listSize = 500
	// workNamespace receives the creates and answers the gets; listNamespace
	// holds listSize objects of each resource and nothing is added to it.
	workNamespace, listNamespace = "bench-work", "bench-list"
)

// phase is what one kind of request measured.
type phase struct {
	// resource and verb say what was asked: secrets, create.
	resource, verb string
	// ops is how many requests were made, all of them answered well.
	ops int
	// elapsed is the time from the first request to the last answer.
	elapsed time.Duration
	// latencies has one entry a request, sorted.
	latencies []time.Duration
	// cpu is what the server's processes used meanwhile.
	cpu time.Duration
}

// perSecond is the throughput.
func (p phase) perSecond() float64 { return float64(p.ops) / p.elapsed.Seconds() }

// cpuPerOp is the server's CPU time for one request, in seconds.
func (p phase) cpuPerOp() float64 { return p.cpu.Seconds() / float64(p.ops) }

// load drives one instance.
type load struct {
	work    workload
	clients []*rest.RESTClient
	cpu     func() (time.Duration, error)
}

// run makes the fixtures, which warm the server up, and measures every phase.
func (l load) run(ctx context.Context) ([]phase, error) {
	var phases []phase
	for _, res := range resources {
		if err := l.warmUp(ctx, res); err != nil {
			return nil, fmt.Errorf("warm up %s: %w", res.name, err)
		}
		for _, step := range []struct {
			verb string
			ops  int
			do   operation
		}{
			{"create", l.work.creates, create(res, workNamespace, "item")},
			{"get", l.work.gets, get(res, workNamespace, "item", l.work.creates)},
			{"list", l.work.lists, list(res, listNamespace)},
		} {
			p, err := l.measure(ctx, step.ops, step.do)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", step.verb, res.name, err)
			}
			p.resource, p.verb = res.name, step.verb
			phases = append(phases, p)
		}
	}
	return phases, nil
}

// warmUp fills the list namespace and asks each question a few times.
func (l load) warmUp(ctx context.Context, res resourceKind) error {
	for _, step := range []struct {
		ops int
		do  operation
	}{
		{listSize, create(res, listNamespace, "item")},
		{2 * listSize, get(res, listNamespace, "item", listSize)},
		{2 * l.work.clients, list(res, listNamespace)},
	} {
		if _, err := l.measure(ctx, step.ops, step.do); err != nil {
			return err
		}
	}
	return nil
}

// operation makes request number n with a client.
type operation func(ctx context.Context, c *rest.RESTClient, n int) error

// create makes the object called prefix-n.
func create(res resourceKind, namespace, prefix string) operation {
	return func(ctx context.Context, c *rest.RESTClient, n int) error {
		object := res.make(fmt.Sprintf("%s-%d", prefix, n))
		return c.Post().Namespace(namespace).Resource(res.name).Body(object).Do(ctx).Error()
	}
}

// get reads one of the first count objects. Which one follows from n alone, so
// both sides read the same objects in the same order.
func get(res resourceKind, namespace, prefix string, count int) operation {
	return func(ctx context.Context, c *rest.RESTClient, n int) error {
		pick := rand.New(rand.NewPCG(1, uint64(n))).IntN(count)
		_, err := c.Get().Namespace(namespace).Resource(res.name).Name(fmt.Sprintf("%s-%d", prefix, pick)).DoRaw(ctx)
		return err
	}
}

// list reads the whole namespace. The body is read and not decoded: decoding
// is the client's cost and would hide the server's.
func list(res resourceKind, namespace string) operation {
	return func(ctx context.Context, c *rest.RESTClient, _ int) error {
		_, err := c.Get().Namespace(namespace).Resource(res.name).DoRaw(ctx)
		return err
	}
}

// measure makes ops requests, shared out among the clients as they get free.
// The first error ends it: a request that failed is no operation.
func (l load) measure(ctx context.Context, ops int, do operation) (phase, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	before, err := l.cpu()
	if err != nil {
		return phase{}, err
	}
	var (
		next      atomic.Int64
		wg        sync.WaitGroup
		latencies = make([]time.Duration, ops)
		began     = time.Now()
	)
	for _, c := range l.clients {
		wg.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= ops || ctx.Err() != nil {
					return
				}
				start := time.Now()
				if err := do(ctx, c, n); err != nil {
					cancel(fmt.Errorf("request %d: %w", n, err))
					return
				}
				latencies[n] = time.Since(start)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	if ctx.Err() != nil {
		return phase{}, context.Cause(ctx)
	}
	after, err := l.cpu()
	if err != nil {
		return phase{}, err
	}
	slices.Sort(latencies)
	return phase{ops: ops, elapsed: elapsed, latencies: latencies, cpu: after - before}, nil
}

// resourceKind is a kind of object to ask about.
type resourceKind struct {
	// name is the resource in the URL.
	name string
	// make returns an object to create.
	make func(name string) runtime.Object
}
