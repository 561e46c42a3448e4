package fix_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gatehouse-io/gatehouse/check/fix"
)

const workload = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web, "team": 'front'}
spec:
  # how many there are
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      annotations:
        note: |
          a: b
          # c
    spec:
      hostNetwork: true # for now
      containers:
      # the one that counts
      - name: web
        image: nginx
        args: ["-v", "--x=y"]
        resources:
          limits:
            cpu: "1"

      - name: side
        image: busybox # small
        securityContext: {}
      volumes:
      - {name: v, emptyDir: {}}
`

// A text as people write it is changed, whatever it is that is wanted of it. What may
// be refused is a change that the fuzz test alone would think of.
func TestShareOfChanges(t *testing.T) {
	refused := map[string]int{}
	made := 0
	for seed := range uint64(2000) {
		w := want(t, "web.yaml", workload, 0, "[]")
		w.After = changed(rand.New(rand.NewPCG(seed, 2)), runtime.DeepCopyJSON(w.Before), 0).(map[string]any)
		for _, name := range []string{"apiVersion", "kind", "metadata"} {
			w.After[name] = w.Before[name]
		}
		p := fix.New(context.Background(), "web.yaml", []byte(workload), []fix.Want{w})
		if p.Refused[0] != nil {
			refused[p.Refused[0].Error()]++
			continue
		}
		made++
		if got := rebuilt(workload, p.Changes(nil)); got != string(p.Text()) {
			t.Fatalf("the changes make\n%s\nand the plan\n%s", got, p.Text())
		}
	}
	t.Logf("%d of 2000 changes are made; refused: %v", made, refused)
	if made < 1900 {
		t.Errorf("only %d of 2000 changes are made: %v", made, refused)
	}
}
