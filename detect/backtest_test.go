package detect_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect"
)

// bodiless is a Reader that has bodies only for who asks for them, and notes who does.
type bodiless struct {
	audit.Memory
	scans []audit.Scan
}

func (b *bodiless) Scan(ctx context.Context, s audit.Scan) iter.Seq2[*audit.Event, error] {
	b.scans = append(b.scans, s)
	return func(yield func(*audit.Event, error) bool) {
		for e, err := range b.Memory.Scan(ctx, s) {
			if err == nil && !s.Bodies {
				bare := *e
				bare.Request, bare.Response = nil, nil
				e = &bare
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// TestBacktestIsLive: what was recorded, asked again, is what was found when it happened.
func TestBacktestIsLive(t *testing.T) {
	set := rules(t, `
burst: {match: {verbs: [get]}, key: [user], distinct: {of: event.objectRef.name, atLeast: 4, window: 30s}}
host: {match: {verbs: [create], resources: [pods]}, condition: 'has(object.spec) && has(object.spec.hostPID)'}
silent: {match: {verbs: [delete]}, key: [user], absence: {window: 5m}}
new: {key: [user], firstSeen: {of: event.objectRef.resource, learn: 10m}}
`)
	r := rand.New(rand.NewPCG(3, 3))
	reader := &bodiless{}
	live := detect.NewState(set, detect.StateOptions{})
	want := map[string]int{}
	var last time.Time
	for i := range 3000 {
		e := request(i*5+r.IntN(5), []string{"a", "b"}[r.IntN(2)], []string{"get", "create", "list", "delete"}[min(r.IntN(60)/15, 3-r.IntN(2))], []string{"pods", "jobs", fmt.Sprint("kind", r.IntN(100))}[r.IntN(3)])
		e.Name = fmt.Sprint(r.IntN(30))
		if r.IntN(2) == 0 && e.Verb == "create" {
			e.Request = []byte(`{"spec":{"hostPID":true}}`)
		}
		reader.Add(e)
		last = e.Time
		for _, c := range live.Observe(t.Context(), e) {
			if c.What == detect.New {
				want[c.Finding.Rule]++
			}
		}
	}
	b, err := detect.Run(t.Context(), reader, set, detect.BacktestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, hours := map[string]int{}, map[string]int{}
	for _, f := range b.Findings {
		got[f.Rule]++
	}
	for _, h := range b.Hours {
		hours[h.Rule] += int(h.Count)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || fmt.Sprint(hours) != fmt.Sprint(want) || b.Events != 3000 || len(got) != 4 {
		t.Errorf("got %v, by the hour %v, live %v", got, hours, want)
	}
	if len(reader.scans) != 2 || !reader.scans[0].Bodies || fmt.Sprint(reader.scans[0].Filter.Resources, reader.scans[0].Filter.Verbs) != "[pods] [create]" || reader.scans[1].Bodies {
		t.Errorf("scans %+v", reader.scans)
	}
	// A part of the time has what began in it, and what was learned before is known.
	from := last.Add(-time.Hour)
	part, err := detect.Run(t.Context(), reader, set, detect.BacktestOptions{From: from})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range b.Findings {
		if f.Rule == "new" && !f.First.Before(from) {
			n++
		}
	}
	for _, f := range part.Findings {
		if f.Last.Before(from) {
			t.Errorf("too old: %+v", f)
		}
		if f.Rule == "new" {
			n--
		}
	}
	if n != 0 {
		t.Errorf("%d findings differ", n)
	}
	if few, err := detect.Run(t.Context(), reader, set, detect.BacktestOptions{Findings: 3}); err != nil || len(few.Findings) != 3 || few.Dropped != int64(len(b.Findings)-3) {
		t.Errorf("%v, %d kept, %d dropped of %d", err, len(few.Findings), few.Dropped, len(b.Findings))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := detect.Run(ctx, reader, set, detect.BacktestOptions{}); err == nil {
		t.Error("a context that has ended is no error")
	}
}

// TestAttribute: jane's Deployment, the controllers' ReplicaSet and pod.
func TestAttribute(t *testing.T) {
	reader := &audit.Memory{}
	owned := func(kind, name string) []byte {
		group := map[string]string{"Deployment": "apps/v1", "ReplicaSet": "apps/v1"}[kind]
		text, _ := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": []any{map[string]any{"apiVersion": group, "kind": kind, "name": name, "uid": "u-" + name, "controller": true}}}})
		return text
	}
	add := func(seconds int, user, what, name string, body []byte) {
		e := request(seconds, user, "create", what)
		e.Name, e.ObjectUID, e.Request, e.Level, e.Code = name, "u-"+name, body, "Request", 201
		reader.Add(e)
	}
	add(0, "jane", "deployments.apps", "web", nil)
	add(1, "system:serviceaccount:kube-system:deployment-controller", "replicasets.apps", "web-7d4b9c6f5d", owned("Deployment", "web"))
	add(2, "system:serviceaccount:kube-system:replicaset-controller", "pods", "web-7d4b9c6f5d-x7k2p", owned("ReplicaSet", "web-7d4b9c6f5d"))
	add(3, "jane", "pods", "by-hand", nil)
	set := rules(t, `pod: {match: {resources: [pods]}, key: [event.objectRef.name]}`)
	b, err := detect.Run(t.Context(), reader, set, detect.BacktestOptions{Attribute: true})
	if err != nil || len(b.Findings) != 2 {
		t.Fatal(b, err)
	}
	if f := b.Findings[0]; f.Began == nil || f.Began.User != "jane" || f.Began.Certainty != "sure" || len(f.Began.Evidence) == 0 || !strings.Contains(f.Subject.User, "replicaset") {
		t.Errorf("got %+v, %+v", f, f.Began)
	}
	if f := b.Findings[1]; f.Began != nil {
		t.Errorf("got %+v", f.Began)
	}
}
