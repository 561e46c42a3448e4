package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

// real is the Alertmanager of Debian, and who it notifies.
type real struct {
	t       *testing.T
	url     string
	program *exec.Cmd
	start   func()

	mu sync.Mutex
	// notified are "firing ID" and "resolved ID", as they come.
	notified []string
}

func startAlertmanager(t *testing.T) *real {
	t.Helper()
	path, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		if path, err = exec.LookPath("alertmanager"); err != nil {
			t.Skip("no Alertmanager; on Debian: apt-get install prometheus-alertmanager")
		}
	}
	r := &real{t: t}
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		var m struct {
			Alerts []struct {
				Status string
				Labels map[string]string
			}
		}
		json.NewDecoder(request.Body).Decode(&m)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, a := range m.Alerts {
			r.notified = append(r.notified, a.Status+" "+a.Labels["fingerprint"])
		}
	}))
	t.Cleanup(hook.Close)
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
route: {receiver: hook, group_by: [fingerprint], group_wait: 0s, group_interval: 500ms, repeat_interval: 1h}
receivers:
- {name: hook, webhook_configs: [{url: "%s", send_resolved: true}]}
`, hook.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprint("127.0.0.1:", freePort(t))
	r.url = "http://" + address
	r.start = func() {
		r.program = exec.Command(path, "--config.file="+config, "--storage.path="+dir, "--web.listen-address="+address, "--cluster.listen-address=", "--log.level=error")
		var said bytes.Buffer
		r.program.Stderr = &said
		if err := r.program.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, 30*time.Second, func() bool {
			response, err := http.Get(r.url + "/-/ready")
			if err != nil {
				return false
			}
			response.Body.Close()
			return response.StatusCode == 200
		}, func() { t.Log(said.String()) })
	}
	r.start()
	t.Cleanup(r.kill)
	return r
}

func (r *real) kill() {
	r.program.Process.Kill()
	r.program.Wait()
}

type gettable struct {
	Labels, Annotations map[string]string
	EndsAt              time.Time
}

// active are the alerts it shows, by fingerprint.
func (r *real) active() map[string]gettable {
	r.t.Helper()
	response, err := http.Get(r.url + "/api/v2/alerts?active=true")
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	data, _ := io.ReadAll(response.Body)
	var all []gettable
	if err := json.Unmarshal(data, &all); err != nil {
		r.t.Errorf("%v: %s", err, data)
	}
	found := map[string]gettable{}
	for _, a := range all {
		if _, twice := found[a.Labels["fingerprint"]]; twice {
			r.t.Errorf("it has %s twice", a.Labels["fingerprint"])
		}
		found[a.Labels["fingerprint"]] = a
	}
	return found
}

func (r *real) told(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, s := range r.notified {
		if s == what {
			n++
		}
	}
	return n
}

// live is a Finding of now.
func live(id string, count int64) detect.Finding {
	f := told(hostile).Finding
	f.Fingerprint, f.First, f.Last, f.Count = id, time.Now().Add(-time.Second), time.Now(), count
	return f
}

func change(what detect.What, f detect.Finding) detect.Change {
	return detect.Change{What: what, Finding: f}
}

// running runs a Dispatcher for a while.
func running(t *testing.T, o alert.Options) (*alert.Dispatcher, func()) {
	t.Helper()
	o.Log = func(m string) { t.Log(m) }
	d, err := alert.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan bool)
	go func() { d.Run(ctx); close(done) }()
	return d, sync.OnceFunc(func() {
		cancel()
		<-done
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestRealAlertmanager is the life of findings in an Alertmanager that nobody here wrote.
func TestRealAlertmanager(t *testing.T) {
	r := startAlertmanager(t)
	s := &alertmanager{settings: v1alpha1.AlertmanagerSink{URL: r.url}, client: &client{}, clock: clock.RealClock{}, resend: time.Second}
	o := alert.Options{Dir: t.TempDir(), Sinks: []alert.Sink{s}, GroupInterval: time.Second, Cluster: "test"}
	d, stop := running(t, o)
	defer stop()

	began := time.Now()
	first := live("first", 1)
	d.Tell(change(detect.New, first))
	eventually(t, 2*time.Second, func() bool { _, ok := r.active()["first"]; return ok })
	t.Logf("from Tell to Alertmanager: %v", time.Since(began))
	eventually(t, 2*time.Second, func() bool { return r.told("firing first") == 1 })
	t.Logf("and to who it notifies: %v", time.Since(began))

	// More of it is the same alert, and nobody is notified again. It lasts longer than
	// Alertmanager believes one message.
	ends := r.active()["first"].EndsAt
	first.Count = 7
	d.Tell(change(detect.Again, first))
	eventually(t, 5*time.Second, func() bool { return r.active()["first"].Annotations["count"] == "7" })
	time.Sleep(s.lasts() + time.Second)
	if a := r.active(); len(a) != 1 || !a["first"].EndsAt.After(ends.Add(s.lasts()/2)) || r.told("firing first") != 1 || r.told("resolved first") != 0 {
		t.Errorf("got %v; notified %d and %d times", a, r.told("firing first"), r.told("resolved first"))
	}

	d.Tell(change(detect.Over, first))
	eventually(t, 5*time.Second, func() bool { return len(r.active()) == 0 && r.told("resolved first") == 1 })

	// It is killed. What it had is in its memory alone, and what comes meanwhile waits.
	before, gone := live("before", 1), live("gone", 1)
	d.Tell(change(detect.New, before), change(detect.New, gone))
	eventually(t, 5*time.Second, func() bool { return len(r.active()) == 2 })
	r.kill()
	var want []string
	for n := range 150 {
		id := fmt.Sprint("while-", n)
		want = append(want, id)
		d.Tell(change(detect.New, live(id, 1)))
	}
	d.Tell(change(detect.Over, gone))
	short := live("short", 1)
	d.Tell(change(detect.New, short), change(detect.Over, short))
	time.Sleep(2 * time.Second)
	if d.Stats().Failed["alertmanager"] == 0 {
		t.Error("that it is down is not noticed")
	}
	r.start()
	began = time.Now()
	eventually(t, 30*time.Second, func() bool {
		active := r.active()
		return active["before"].Labels != nil && active["gone"].Labels == nil && !slices.ContainsFunc(want, func(id string) bool { return active[id].Labels == nil })
	})
	t.Logf("all is there again %v after it is", time.Since(began))
	eventually(t, 10*time.Second, func() bool {
		return r.told("firing short") >= 1 && !slices.ContainsFunc(want, func(id string) bool { return r.told("firing "+id) == 0 })
	})
	for name, text := range r.active()["before"].Annotations {
		harmless(t, name, text)
	}
	if stats := d.Stats(); stats.Waiting["alertmanager"] != 0 || stats.Refused["alertmanager"] != 0 || stats.Dropped["alertmanager"] != 0 {
		t.Errorf("got %+v", stats)
	}

	// Another process knows what is open, and what is not any more.
	stop()
	d, stop = running(t, o)
	defer stop()
	d.Reconcile([]detect.Finding{before}, time.Now())
	eventually(t, 10*time.Second, func() bool { a := r.active(); return len(a) == 1 && a["before"].Labels != nil })
	if n := r.told("firing before"); n > 2 {
		t.Errorf("notified %d times of one finding", n)
	}
}
