package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/chain"
)

// TestMain is the test, or the process that is killed by it.
func TestMain(m *testing.M) {
	if dir := os.Getenv("GATEHOUSE_TEST_STORE"); dir != "" {
		die := victim
		if os.Getenv("GATEHOUSE_TEST_IMPORT") != "" {
			die = victimImport
		}
		if err := die(dir, os.Getenv("GATEHOUSE_TEST_FROM"), os.Getenv("GATEHOUSE_TEST_CRASH")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// victimOptions seal, compact and retain all the time.
func victimOptions() Options {
	return Options{
		SyncEvery: 20 * time.Millisecond, SegmentEvents: 300, CompactEvents: 3000, MaxNames: 20,
	}
}

// victim appends samples from several callers until it is killed, and says on stdout which
// were acknowledged. Each tenth batch is appended twice, as a webhook does that got no
// answer. Where a step is named it kills itself there.
func victim(dir, from, crash string) error {
	first, err := strconv.Atoi(from)
	if err != nil {
		return err
	}
	options := victimOptions()
	if first%2 == 1 {
		options.joinEvents = 200 // segments are joined as they are
	}
	options.crash = dyingAt(crash)
	s, err := Open(dir, options)
	if err != nil {
		return err
	}
	const callers, batch = 4, 7
	failed := make(chan error)
	for c := range callers {
		go func() {
			for n := 0; ; n++ {
				at := first + (n*callers+c)*batch
				for range 1 + n%10/9 {
					if err := s.Append(context.Background(), samples(at, at+batch)); err != nil {
						failed <- err
						return
					}
				}
				os.Stdout.WriteString(fmt.Sprintf("%d %d\n", at, at+batch)) // one write, whole
			}
		}()
	}
	go func() {
		for {
			time.Sleep(30 * time.Millisecond)
			if err := s.Upkeep(context.Background()); err != nil {
				failed <- err
				return
			}
		}
	}()
	return <-failed
}

// dyingAt kills the process at a step, STEP:TIMES, after so many times.
func dyingAt(crash string) func(step string) {
	step, after, _ := strings.Cut(crash, ":")
	count, _ := strconv.Atoi(after)
	var mu sync.Mutex
	return func(at string) {
		mu.Lock()
		defer mu.Unlock()
		if at == step {
			if count--; count < 0 {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
	}
}

// steps are where a process dies in the second half of the kills, between one action and
// the next.
var steps = []string{"written", "renamed", "linked", "manifest", "committed", "recorded", "removed"}

// TestKill kills a process at random moments and between all steps, again and again on one
// store, and looks after each that every acknowledged event is there once.
func TestKill(t *testing.T) {
	dir := t.TempDir() + "/s"
	kills := 34
	acknowledged := map[int]bool{}
	next := 0
	random := rand.New(rand.NewPCG(1, 2))
	for kill := range kills {
		command := exec.Command(os.Args[0], "-test.run=^$")
		crash := ""
		if kill%2 == 1 {
			crash = fmt.Sprintf("%s:%d", steps[kill/2%len(steps)], random.IntN(3))
		}
		command.Env = append(os.Environ(), "GATEHOUSE_TEST_STORE="+dir, fmt.Sprint("GATEHOUSE_TEST_FROM=", next), "GATEHOUSE_TEST_CRASH="+crash)
		command.Stderr = os.Stderr
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(120+random.IntN(350))*time.Millisecond, func() { command.Process.Kill() })
		highest := next
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var from, to int
			if n, _ := fmt.Sscanf(lines.Text(), "%d %d", &from, &to); n != 2 {
				continue // the line it was killed in
			}
			for i := from; i < to; i++ {
				acknowledged[i] = true
			}
			highest = max(highest, to)
		}
		if err := command.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("kill %d: the process ended by itself: %v", kill, err)
		}
		next = highest + 4*7*2 + kill%3 // what was written and not acknowledged may be there
		if kill%4 == 3 || kill == kills-1 {
			verify(t, dir, acknowledged)
		}
	}
	t.Logf("%d kills, %d events acknowledged", kills, len(acknowledged))
	if len(acknowledged) < 10*kills {
		t.Errorf("only %d events were acknowledged", len(acknowledged))
	}
}

// verify opens a store as another process would, and as the next process does.
func verify(t *testing.T, dir string, acknowledged map[int]bool) {
	t.Helper()
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	once(t, r, acknowledged)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	s, err := Open(dir, victimOptions())
	if err != nil {
		t.Fatal(err)
	}
	once(t, s, acknowledged)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	once(t, s, acknowledged)
	gaps, err := s.Gaps(t.Context(), time.Time{}, time.Time{})
	if err != nil || len(gaps) > 0 {
		t.Fatalf("gaps without a loss: %v %v", gaps, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	intact(t, dir)
}

func once(t *testing.T, r audit.Reader, acknowledged map[int]bool) {
	t.Helper()
	found := map[int]int{}
	for e, err := range r.Scan(t.Context(), audit.Scan{}) {
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(e.ID[24:])
		if err != nil {
			t.Fatal(err)
		}
		found[n]++
	}
	for n := range acknowledged {
		if found[n] != 1 {
			t.Fatalf("event %d was acknowledged and is there %d times", n, found[n])
		}
	}
	counted := int64(0)
	for q, err := range r.Requests(t.Context(), time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		counted += q.Count
	}
	for n, times := range found {
		if times != 1 {
			t.Fatalf("event %d is there %d times", n, times)
		}
	}
	if counted != int64(len(found)) {
		t.Fatalf("%d events were counted in distinct requests, and there are %d", counted, len(found))
	}
}

// intact verifies the chain.
func intact(t *testing.T, dir string) {
	t.Helper()
	key, err := chain.ReadPublicKey(layout(dir).key() + chain.PublicSuffix)
	if err != nil {
		t.Fatal(err)
	}
	report, err := chain.Verify(t.Context(), chain.Dir{FS: os.DirFS(layout(dir).segments())}, chain.VerifyOptions{Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	if report.Fault != nil || report.Ahead > 0 || report.Replaced > 0 {
		t.Fatalf("the chain: %+v", report)
	}
}
