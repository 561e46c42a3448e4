package queue_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/detect/alert/queue"
)

// TestMain makes the test binary a program that adds numbers to a queue, and says on its
// standard output which are there and which it has removed again.
func TestMain(m *testing.M) {
	if path := os.Getenv("GATEHOUSE_TEST_QUEUE"); path != "" {
		first, _ := strconv.Atoi(os.Getenv("GATEHOUSE_TEST_FIRST"))
		addForEver(path, first)
	}
	os.Exit(m.Run())
}

func addForEver(path string, first int) {
	q, err := queue.Open(path, queue.Options{Most: 1 << 20})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	padding := string(make([]byte, 2<<10))
	for n := first; ; n++ {
		body, _ := json.Marshal(map[string]any{"n": n, "padding": padding})
		if err := q.Add(queue.Item{Level: n % 5, Body: body}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		fmt.Println("added", n)
		if n%3 == 0 {
			items, err := q.Next(2)
			for _, it := range items {
				fmt.Println("removing", number(it))
			}
			if err == nil {
				err = q.Done(items...)
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(3)
			}
			for _, it := range items {
				fmt.Println("done", number(it))
			}
		}
	}
}

func number(it queue.Item) int {
	var body struct{ N int }
	if err := json.Unmarshal(it.Body, &body); err != nil {
		return -1
	}
	return body.N
}

// TestKilled kills the program again and again in the middle of what it does. All that it
// said it had added is there, but what it said it had removed.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q")
	said := map[string]map[int]bool{"added": {}, "removing": {}, "done": {}}
	added, done, next := said["added"], said["done"], 0
	for round := range 8 {
		program := exec.Command(os.Args[0])
		program.Env = append(os.Environ(), "GATEHOUSE_TEST_QUEUE="+path, fmt.Sprintf("GATEHOUSE_TEST_FIRST=%d", next))
		program.Stderr = os.Stderr
		out, err := program.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := program.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(150+37*round)*time.Millisecond, func() { program.Process.Kill() })
		for s := bufio.NewScanner(out); s.Scan(); {
			var what string
			var n int
			if k, _ := fmt.Sscan(s.Text(), &what, &n); k != 2 || said[what] == nil {
				continue // killed while it said so
			}
			said[what][n] = true
			next = max(next, n+1)
		}
		program.Wait()
		next++ // the one it may have been adding
	}
	if len(added) < 50 || len(done) < 10 {
		t.Fatalf("only %d added and %d done", len(added), len(done))
	}
	q, err := queue.Open(path, queue.Options{Most: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	items, err := q.Next(1 << 20)
	if err != nil || q.Dropped() != 0 {
		t.Fatalf("%v; %d are damaged", err, q.Dropped())
	}
	here := map[int]bool{}
	for _, it := range items {
		here[number(it)] = true
	}
	for n := range added {
		switch {
		case here[n] && done[n]:
			t.Errorf("%d is there, and was removed", n)
		case !here[n] && !said["removing"][n]:
			t.Errorf("%d is lost", n)
		}
	}
	t.Logf("%d added, %d done, %d there", len(added), len(done), len(here))
}
