package pki

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// running is Run in a bubble, and what it has reported.
type running struct {
	p    *PKI
	stop func()

	// mu guards all below, which Run's goroutine writes.
	mu            sync.Mutex
	renewed, errs []string
}

// startRun goes by the bubble's clock, which starts in the year 2000.
func startRun(t *testing.T, f *fixture) *running {
	f.opts.Clock = nil
	r := &running{p: f.ensure()}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.p.Run(ctx, r.onRenew, r.onError)
	}()
	r.stop = func() { cancel(); <-done }
	return r
}

func (r *running) onRenew(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.renewed = append(r.renewed, name)
}

func (r *running) onError(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err.Error())
}

// after lets time pass and takes what was reported in it.
func (r *running) after(d time.Duration) (renewed, errs []string) {
	time.Sleep(d)
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	renewed, errs = r.renewed, r.errs
	r.renewed, r.errs = nil, nil
	return renewed, errs
}

func TestRunRenews(t *testing.T) {
	f := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		r := startRun(t, f)
		defer r.stop()
		if renewed, errs := r.after(AdminLifetime*2/3 - time.Minute); len(renewed)+len(errs) > 0 {
			t.Errorf("early: renewed %q, errors %q", renewed, errs)
		}
		if renewed, errs := r.after(2 * time.Minute); !slices.Equal(renewed, []string{"admin-kubeconfig"}) || len(errs) > 0 {
			t.Errorf("admin: renewed %q, errors %q", renewed, errs)
		}
		renewed, errs := r.after(LeafLifetime * 2 / 3)
		if !slices.Contains(renewed, "serving") || !slices.Contains(renewed, "etcd-client") || len(errs) > 0 {
			t.Errorf("leaves: renewed %q, errors %q", renewed, errs)
		}
		f.remove(r.p.Paths.KubeletClient.Cert)
		if renewed, _ := r.after(passInterval + time.Minute); !slices.Equal(renewed, []string{"kubelet-client"}) {
			t.Errorf("lost file: renewed %q", renewed)
		}
	})
}

func TestRunReportsErrors(t *testing.T) {
	f := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		r := startRun(t, f)
		defer r.stop()
		r.after(time.Second)
		if err := os.Chmod(r.p.Paths.ClusterCA.Key, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, errs := r.after(passInterval + time.Minute); len(errs) != 1 || !strings.Contains(errs[0], "chmod 600") {
			t.Errorf("errors %q", errs)
		}
		if err := os.Chmod(r.p.Paths.ClusterCA.Key, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, errs := r.after(2 * retryInterval); len(errs) > 0 {
			t.Errorf("errors %q", errs)
		}
	})
}

func TestRunFollowsExtraClientCA(t *testing.T) {
	f, other := newFixture(t), newFixture(t)
	q := other.ensure()
	extra := filepath.Join(f.data, "extra.pem")
	one, _ := os.ReadFile(q.Paths.ClusterCA.Cert)
	two, _ := os.ReadFile(q.Paths.EtcdCA.Cert)
	f.write(extra, string(one))
	f.opts.ExtraClientCAFile = extra
	synctest.Test(t, func(t *testing.T) {
		r := startRun(t, f)
		defer r.stop()
		r.after(time.Second)
		f.write(extra, string(one)+string(two))
		if renewed, errs := r.after(pollInterval); !slices.Equal(renewed, []string{"client-ca-bundle"}) || len(errs) > 0 {
			t.Errorf("renewed %q, errors %q", renewed, errs)
		}
		if got, _ := os.ReadFile(r.p.Paths.ClientCABundle); !strings.HasSuffix(string(got), string(one)+string(two)) {
			t.Errorf("bundle is %s", got)
		}
		// A file that stays bad for a while is reported once.
		f.write(extra, "nothing")
		if renewed, errs := r.after(5 * pollInterval); len(renewed) > 0 || len(errs) != 1 {
			t.Errorf("renewed %q, errors %q", renewed, errs)
		}
	})
}
