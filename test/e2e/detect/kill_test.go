package detect

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// kills is how often the server is killed.
const kills = 5

// TestKill kills the server, at any moment, while somebody attacks and while Alertmanager
// is down. Each attack that was answered is told in the end.
func TestKill(t *testing.T) {
	address := server.FreeAddress(t)
	s := start(t, fmt.Sprintf("  alerts: {alertmanagers: [{url: %q}], ratePerMinute: 6000}", "http://"+address))
	var mu sync.Mutex
	answered := map[string]bool{}
	for round := range kills {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		var attackers sync.WaitGroup
		for i, name := range people {
			client := as(t, s, name)
			attackers.Go(func() { attack(ctx, client, fmt.Sprintf("evil-%d-%d", round, i), &mu, answered) })
		}
		time.Sleep(time.Duration(50+rand.IntN(700)) * time.Millisecond)
		s.Kill()
		cancel()
		attackers.Wait()
		s = s.Restart(t)
		if round%2 == 1 { // and once before it has begun to look
			s.Kill()
			s = s.Restart(t)
		}
	}
	if len(answered) < kills {
		t.Fatalf("only %d attacks were answered", len(answered))
	}
	m := server.StartAlertmanager(t, address)
	begun := time.Now()
	server.Eventually(t, 2*time.Minute, func(ctx context.Context) error {
		all, err := m.Alerts(ctx, "cluster-admin-binding")
		if err != nil {
			return err
		}
		missing := 0
		for name := range answered {
			found := false
			for i := range all {
				found = found || mentions(&all[i], name+" ")
			}
			if !found {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d of %d are not told", missing, len(answered))
		}
		return nil
	})
	t.Logf("%d kills: %d attacks were answered, and all were told, %v after Alertmanager was there", kills, len(answered), time.Since(begun).Round(time.Millisecond))
}

// attack makes bindings until the server is gone.
func attack(ctx context.Context, client kubernetes.Interface, prefix string, mu *sync.Mutex, answered map[string]bool) {
	for i := 0; ctx.Err() == nil; i++ {
		name := fmt.Sprintf("%s-%d", prefix, i)
		if bind(ctx, client, name) != nil {
			return
		}
		mu.Lock()
		answered[name] = true
		mu.Unlock()
	}
}
