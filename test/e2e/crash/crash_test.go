// Package crash ends servers in every way a server ends, and asks what is left.
package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// kills is how often the server is killed under load. $GATEHOUSE_KILLS asks for
// another number.
const kills = 20

// ledger is what writers were told is stored.
type ledger struct {
	mu sync.Mutex
	// acknowledged is the newest value each object was acknowledged with.
	acknowledged map[string]int
	// tried is the newest value a write was sent with: after a crash the object
	// may hold it though nobody was told.
	tried map[string]int
}

func (l *ledger) note(m map[string]int, name string, value int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m[name] = value
}

// Every write that was acknowledged before a kill -9 is there after it.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	times := kills
	if testing.Short() {
		times = 3
	}
	if n, err := strconv.Atoi(os.Getenv("GATEHOUSE_KILLS")); err == nil {
		times = n
	}
	s := server.Start(t, server.Options{})
	book := &ledger{acknowledged: map[string]int{}, tried: map[string]int{}}
	for i := range times {
		load(t, s, book, i)
		s = s.Restart(t)
		check(t, s, book)
		if t.Failed() {
			t.Fatalf("after kill %d", i+1)
		}
	}
	t.Logf("%d kills, %d objects acknowledged, each as it was", times, len(book.acknowledged))
}

// load writes with eight writers and kills the server in the middle of it.
func load(t *testing.T, s *server.Server, book *ledger, round int) {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	var writers sync.WaitGroup
	for w := range 8 {
		client := s.Admin(t)
		writers.Go(func() { write(ctx, client, book, fmt.Sprintf("w%d", w), round*1000) })
	}
	// The moment differs from round to round: in the middle of a batch, of a
	// sync, or of a snapshot.
	time.Sleep(time.Duration(300+37*(round%20)) * time.Millisecond)
	s.Kill()
	stop()
	writers.Wait()
}

// write creates an object of its own and one more each turn, and counts up in
// the first, until the server is gone.
func write(ctx context.Context, client kubernetes.Interface, book *ledger, name string, from int) {
	maps := client.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	put := func(name string, value int) bool {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"n": strconv.Itoa(value)}}
		book.note(book.tried, name, value)
		_, err := maps.Update(ctx, object, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			_, err = maps.Create(ctx, object, metav1.CreateOptions{})
		}
		if err == nil {
			book.note(book.acknowledged, name, value)
		}
		return err == nil
	}
	for n := from; put(name, n) && put(fmt.Sprintf("%s-%d", name, n), n); n++ {
	}
}

// check compares what is stored with what was acknowledged.
func check(t *testing.T, s *server.Server, book *ledger) {
	t.Helper()
	list, err := s.Admin(t).CoreV1().ConfigMaps(metav1.NamespaceDefault).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]int{}
	for _, o := range list.Items {
		if n, err := strconv.Atoi(o.Data["n"]); err == nil {
			stored[o.Name] = n
		}
	}
	for name, want := range book.acknowledged {
		got, there := stored[name]
		switch {
		case !there:
			t.Errorf("%s was acknowledged with %d and is gone", name, want)
		case got != want && got != book.tried[name]:
			t.Errorf("%s was acknowledged with %d and holds %d", name, want, got)
		case got != want:
			book.acknowledged[name] = got // stored, and the answer was lost in the crash
		}
	}
}

// A stop drains what is under way within ten seconds, an open watch included,
// and the address and directory are free for the next server at once.
func TestStopDrains(t *testing.T) {
	s := server.Start(t, server.Options{})
	watch, err := s.Admin(t).CoreV1().ConfigMaps("").Watch(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	begun := time.Now()
	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code %d, want 0:\n%s", code, s.Log())
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the stop took %v, more than 10 s", took)
	}
	again := s.Restart(t)
	if _, err := again.Admin(t).CoreV1().Namespaces().Get(context.Background(), "kube-system", metav1.GetOptions{}); err != nil {
		t.Error(errors.Join(errors.New("after the restart"), err))
	}
}
