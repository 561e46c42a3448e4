package sink

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

// TestMain makes the test binary a program that tells findings, numbered from a first one
// on, and says on its standard output which are on the disk. Without a first one it sends
// what waits, and ends.
func TestMain(m *testing.M) {
	if dir := os.Getenv("GATEHOUSE_TEST_ALERTS"); dir != "" {
		if err := tellForEver(dir, os.Getenv("GATEHOUSE_TEST_URL"), os.Getenv("GATEHOUSE_TEST_KEY"), os.Getenv("GATEHOUSE_TEST_FIRST")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func tellForEver(dir, url, key, first string) error {
	sinks, err := New(Options{Alerts: v1alpha1.AlertOptions{Webhooks: []v1alpha1.WebhookSink{{URL: url, SecretFile: key}}}})
	if err != nil {
		return err
	}
	d, err := alert.Open(alert.Options{Dir: dir, Sinks: sinks, PerMinute: 60000, Backoff: 5 * time.Millisecond, LongestBackoff: 50 * time.Millisecond, SendTimeout: time.Second})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go d.Run(ctx)
	if first == "" {
		// What was noted is put into the queue at once; nothing waits for a while after.
		for quiet := 0; quiet < 100; quiet++ {
			if d.Stats().Waiting["webhook"] > 0 {
				quiet = 0
			}
			time.Sleep(10 * time.Millisecond)
		}
		return nil
	}
	n, err := strconv.Atoi(first)
	for ; err == nil; n++ {
		d.Tell(change(detect.New, live(strconv.Itoa(n), 1)))
		if n%4 == 0 {
			d.Tell(change(detect.Over, live(strconv.Itoa(n), 2)))
		}
		if err = d.Flush(ctx); err == nil {
			fmt.Println(n)
		}
	}
	return err
}

// TestKilledWhileTelling kills the program again and again, while the receiver fails,
// hangs up and answers late. Each finding that it said to be on the disk is received, and
// its end after its beginning; what is received twice has one id.
func TestKilledWhileTelling(t *testing.T) {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(5, 6))
	got, broken := map[string][]alert.Alert{}, true
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		mu.Lock()
		defer mu.Unlock()
		fate := random.IntN(6)
		if broken && fate < 2 {
			w.WriteHeader(503)
			return
		}
		var m Message
		if json.Unmarshal(body, &m) != nil {
			w.WriteHeader(500)
			return
		}
		for _, a := range m.Alerts {
			got[a.Finding.Fingerprint] = append(got[a.Finding.Fingerprint], a)
		}
		if broken && fate == 2 { // it has them, and nobody learns of it
			w.WriteHeader(500)
		}
	}))
	defer receiver.Close()
	dir, file := t.TempDir(), write(t, "key", key)
	program := func(first string) *exec.Cmd {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), "GATEHOUSE_TEST_ALERTS="+dir, "GATEHOUSE_TEST_URL="+receiver.URL, "GATEHOUSE_TEST_KEY="+file, "GATEHOUSE_TEST_FIRST="+first)
		c.Stderr = os.Stderr
		return c
	}
	next := 0
	var said []int
	for round := range 6 {
		c := program(strconv.Itoa(next))
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(400+61*round)*time.Millisecond, func() { c.Process.Kill() })
		for s := bufio.NewScanner(out); s.Scan(); {
			if n, err := strconv.Atoi(s.Text()); err == nil && n == next {
				said = append(said, n)
				next = n + 1
			}
		}
		c.Wait()
		next++ // the one it may have been telling
	}
	mu.Lock()
	broken = false
	mu.Unlock()
	if out, err := program("").Output(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(said) < 50 {
		t.Fatalf("only %d findings were told", len(said))
	}
	twice := 0
	for _, n := range said {
		all := got[strconv.Itoa(n)]
		if len(all) == 0 {
			t.Errorf("%d is lost", n)
			continue
		}
		ids, over := map[string]alert.Cause{}, false
		for _, a := range all {
			if ids[a.ID] != "" {
				twice++
			}
			ids[a.ID] = a.Cause
			over = over || a.Status == alert.Resolved
		}
		want := 1
		if n%4 == 0 {
			want = 2
		}
		if all[0].Status != alert.Firing || over != (n%4 == 0) || len(ids) != want {
			t.Errorf("%d is told %d times as %v", n, len(all), ids)
		}
	}
	t.Logf("%d told, %d tellings received more than once", len(said), twice)
}
