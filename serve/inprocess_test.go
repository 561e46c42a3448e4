package serve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

// What a client in process says is what one over a socket says.
func TestInProcessAnswersAsASocket(t *testing.T) {
	e := startTestEtcd(t)
	t.Cleanup(e.Close)
	ctx := t.Context()
	in := newInProcess(e.Server)
	near := in.client()
	defer in.release(near)
	far, err := kubernetes.New(clientv3.Config{Endpoints: []string{e.Config().ListenClientUrls[0].String()}, DialTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()

	const keys = 1234 // more than one chunk, and not a multiple of any
	for i := range keys {
		if _, err := near.OptimisticPut(ctx, fmt.Sprintf("/a/%04d", i), fmt.Appendf(nil, "value %d", i), 0, kubernetes.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	questions := map[string]func(*kubernetes.Client) (string, error){
		"get": func(c *kubernetes.Client) (string, error) {
			r, err := c.Kubernetes.Get(ctx, "/a/0007", kubernetes.GetOptions{})
			return fmt.Sprint(r.Revision, " ", r.KV), err
		},
		"list": func(c *kubernetes.Client) (string, error) {
			r, err := c.List(ctx, "/a/", kubernetes.ListOptions{Limit: 11})
			return fmt.Sprint(r.Revision, " ", r.Count, " ", r.Kvs), err
		},
		"old revision": func(c *kubernetes.Client) (string, error) {
			r, err := c.List(ctx, "/a/", kubernetes.ListOptions{Revision: 9})
			return fmt.Sprint(r.Revision, " ", r.Count, " ", r.Kvs), err
		},
		"revision to come": func(c *kubernetes.Client) (string, error) {
			_, err := c.List(ctx, "/a/", kubernetes.ListOptions{Revision: 1 << 40})
			if !errors.Is(err, rpctypes.ErrFutureRev) {
				return "", fmt.Errorf("want %v, have %w", rpctypes.ErrFutureRev, err)
			}
			return err.Error(), nil
		},
		"conflict": func(c *kubernetes.Client) (string, error) {
			r, err := c.OptimisticPut(ctx, "/a/0007", []byte("again"), 1, kubernetes.PutOptions{GetOnFailure: true})
			return fmt.Sprint(r.Succeeded, " ", r.Revision, " ", r.KV), err
		},
		"too large": func(c *kubernetes.Client) (string, error) {
			_, err := c.Put(ctx, "/large", strings.Repeat("x", 1900<<10))
			if !errors.Is(err, rpctypes.ErrRequestTooLarge) {
				return "", fmt.Errorf("want %v, have %w", rpctypes.ErrRequestTooLarge, err)
			}
			return err.Error(), nil
		},
		"stream": func(c *kubernetes.Client) (string, error) {
			answers, err := c.GetStream(ctx, "/a/", clientv3.WithRange(clientv3.GetPrefixRangeEnd("/a/")), clientv3.WithLimit(keys-3))
			if err != nil {
				return "", err
			}
			var all strings.Builder
			chunks := 0
			for r := range answers {
				if r.Err() != nil {
					return "", r.Err()
				}
				chunks++
				fmt.Fprint(&all, r.RangeResponse.Kvs, r.RangeResponse.Count, r.RangeResponse.More)
			}
			return fmt.Sprint(chunks > 1, " ", all.String()), nil
		},
		"watch": func(c *kubernetes.Client) (string, error) {
			watching, stop := context.WithCancel(clientv3.WithRequireLeader(ctx))
			defer stop()
			var all strings.Builder
			seen := 0
			for r := range c.Watch(watching, "/a/", clientv3.WithPrefix(), clientv3.WithRev(5), clientv3.WithPrevKV()) {
				if r.Err() != nil {
					return "", r.Err()
				}
				for _, event := range r.Events {
					seen++
					fmt.Fprintln(&all, event.Type, event.Kv, event.PrevKv)
				}
				if seen >= keys-3 {
					return all.String(), nil
				}
			}
			return "", errors.New("watch has ended")
		},
	}
	for name, ask := range questions {
		t.Run(name, func(t *testing.T) {
			want, err := ask(far)
			if err != nil {
				t.Fatal(err)
			}
			have, err := ask(near)
			if err != nil {
				t.Fatal(err)
			}
			if have != want {
				t.Errorf("in process:\n%.2000s\nover a socket:\n%.2000s", have, want)
			}
		})
	}
}

// A stream that nobody reads to its end is over with its caller.
func TestInProcessStreamEndsWithItsReader(t *testing.T) {
	e := startTestEtcd(t)
	t.Cleanup(e.Close)
	in := newInProcess(e.Server)
	c := in.client()
	for i := range 100 {
		if _, err := c.Put(t.Context(), fmt.Sprintf("/a/%04d", i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.GetStream(ctx, "/a/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	cancel()
	ended := make(chan struct{})
	go func() { in.shut(time.Hour); close(ended) }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the stream holds the store open after its caller has gone")
	}
}

// etcd ends the process when it is read after it has closed its files: calls that come
// while it closes are refused.
func TestInProcessShutsUnderLoad(t *testing.T) {
	e := startTestEtcd(t)
	in := newInProcess(e.Server)
	ctx := context.Background()
	var done sync.WaitGroup
	var calls, refused atomic.Int64
	for worker := range 8 {
		c := in.client()
		watched := c.Watch(ctx, "/a/", clientv3.WithPrefix())
		done.Go(func() {
			for range watched {
			}
		})
		done.Go(func() {
			for i := 0; ; i++ {
				_, err := c.Put(ctx, fmt.Sprintf("/a/%d", worker), fmt.Sprint(i))
				if err == nil {
					_, err = c.KV.Get(ctx, "/a/", clientv3.WithPrefix())
				}
				if err == nil {
					calls.Add(1)
					continue
				}
				if !errors.Is(err, rpctypes.ErrStopped) {
					t.Errorf("want %v, have %v", rpctypes.ErrStopped, err)
				}
				refused.Add(1)
				return
			}
		})
	}
	for calls.Load() < 200 {
		time.Sleep(time.Millisecond)
	}
	in.shut(time.Minute)
	e.Close()
	done.Wait()
	if refused.Load() != 8 {
		t.Errorf("%d of 8 callers were refused", refused.Load())
	}
	if _, err := in.client().KV.Get(ctx, "/a/0"); !errors.Is(err, rpctypes.ErrStopped) {
		t.Errorf("a client made after the end: %v", err)
	}
}
