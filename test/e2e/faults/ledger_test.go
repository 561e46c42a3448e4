package faults

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// ledger is what writers were told is stored. Each object has one writer.
type ledger struct {
	mu sync.Mutex
	// told is the payload of each object as last acknowledged; "" is a deletion.
	told map[string]string
	// asked is the payload of a write without an answer: it may be stored or not.
	asked map[string]string
	// writes counts acknowledgements by verb and object, audited those of them
	// whose audit event has been seen.
	writes  map[string]int
	answers int
}

func newLedger() *ledger {
	return &ledger{told: map[string]string{}, asked: map[string]string{}, writes: map[string]int{}}
}

// note sends one write and keeps what comes of it.
func (l *ledger) note(verb, name, payload string, send func() error) error {
	l.mu.Lock()
	l.asked[name] = payload
	l.mu.Unlock()
	if err := send(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.asked, name)
	l.told[name] = payload
	l.writes[verb+" "+name]++
	l.answers++
	return nil
}

// work creates, updates and deletes objects of its own until a write fails:
// Secrets and ConfigMaps in turn, most of them small, some of them 20 KB.
func (l *ledger) work(ctx context.Context, client kubernetes.Interface, prefix string) error {
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
	for n := 0; ; n++ {
		size := 100
		if n%8 == 7 {
			size = 10 << 10
		}
		name := fmt.Sprintf("%s-%d", prefix, n)
		var create, update func(payload string) error
		var remove func() error
		if n%2 == 0 {
			secrets := client.CoreV1().Secrets("default")
			object := func(p string) *corev1.Secret {
				return &corev1.Secret{ObjectMeta: meta(name), Data: map[string][]byte{"p": []byte(p)}}
			}
			create = func(p string) error { _, err := secrets.Create(ctx, object(p), metav1.CreateOptions{}); return err }
			update = func(p string) error { _, err := secrets.Update(ctx, object(p), metav1.UpdateOptions{}); return err }
			remove = func() error { return secrets.Delete(ctx, name, metav1.DeleteOptions{}) }
		} else {
			maps := client.CoreV1().ConfigMaps("default")
			object := func(p string) *corev1.ConfigMap {
				return &corev1.ConfigMap{ObjectMeta: meta(name), Data: map[string]string{"p": p}}
			}
			create = func(p string) error { _, err := maps.Create(ctx, object(p), metav1.CreateOptions{}); return err }
			update = func(p string) error { _, err := maps.Update(ctx, object(p), metav1.UpdateOptions{}); return err }
			remove = func() error { return maps.Delete(ctx, name, metav1.DeleteOptions{}) }
		}
		first, second := payload(size), payload(size)
		if err := l.note("create", name, first, func() error { return create(first) }); err != nil {
			return err
		}
		if err := l.note("update", name, second, func() error { return update(second) }); err != nil {
			return err
		}
		if n%4 < 2 {
			continue
		}
		if err := l.note("delete", name, "", remove); err != nil {
			return err
		}
	}
}

func payload(size int) string {
	data := make([]byte, size)
	_, _ = rand.Read(data)
	return hex.EncodeToString(data)
}

// settle compares what a server holds with what was acknowledged: every object
// as it was told, none that was deleted, none that nobody asked for. Where a
// write had no answer either outcome is right, and is what counts from now on.
func (l *ledger) settle(t *testing.T, s *server.Server) {
	t.Helper()
	ctx := context.Background()
	held := map[string]string{}
	maps, err := s.Admin(t).CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range maps.Items {
		if p, ok := o.Data["p"]; ok {
			held[o.Name] = p
		}
	}
	secrets, err := s.Admin(t).CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range secrets.Items {
		if p, ok := o.Data["p"]; ok {
			held[o.Name] = string(p)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, asked := range l.asked {
		if held[name] == asked {
			l.told[name] = asked
		}
	}
	clear(l.asked)
	for name, told := range l.told {
		if held[name] != told {
			t.Errorf("%s was acknowledged with %.20q and holds %.20q", name, told, held[name])
		}
	}
	for name, p := range held {
		if told, ok := l.told[name]; !ok && p != "" {
			t.Errorf("%s holds %.20q and nobody asked for it (%.20q)", name, p, told)
		}
	}
}

// audited checks that each acknowledged write has its event in the audit log.
func (l *ledger) audited(t *testing.T, s *server.Server) {
	t.Helper()
	events := map[string]int{}
	for _, line := range s.AuditEvents(t, `"stage":"ResponseComplete"`, `"user":{"username":"gatehouse:admin"`) {
		var e struct {
			Verb           string
			ObjectRef      struct{ Name, Resource string }
			ResponseStatus struct{ Code int }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			continue // a line cut off by a kill
		}
		if e.ResponseStatus.Code < 300 {
			events[e.Verb+" "+e.ObjectRef.Name]++
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lost := 0
	for write, times := range l.writes {
		if events[write] < times {
			lost++
			if lost <= 5 {
				t.Errorf("%s was acknowledged %d times, and has %d audit events", write, times, events[write])
			}
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged writes have no audit event", lost, len(l.writes))
	}
}
