package ordinary_test

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/record"
	"github.com/gatehouse-io/gatehouse/audit/redact"
	"github.com/gatehouse-io/gatehouse/audit/store"
	"github.com/gatehouse-io/gatehouse/test/attack/ordinary"
)

// workloadBodies is the rule of the built-in policy that the rules about pods need.
const workloadBodies = `- level: Request
  verbs: [create, update, patch]
  resources:
  - {group: "", resources: [pods, services, replicationcontrollers]}
  - {group: apps, resources: [deployments, daemonsets, statefulsets, replicasets]}
  - {group: batch, resources: [jobs, cronjobs]}
`

// BenchmarkBytes measures what a day takes in the audit log and in the store, with the
// bodies of workloads and without.
func BenchmarkBytes(b *testing.B) {
	with := string(audit.DefaultPolicy)
	if !strings.Contains(with, workloadBodies) {
		with = strings.Replace(with, "rules:\n", "rules:\n"+workloadBodies, 1)
	}
	for _, c := range []struct{ name, policy string }{{"without", strings.Replace(with, workloadBodies, "", 1)}, {"with", with}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				stored(b, c.policy)
			}
		})
	}
}

func stored(b *testing.B, text string) {
	policy, err := audit.NewPolicy([]byte(text))
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(b.TempDir(), "store") // is made with the mode that a store wants
	s, err := store.Open(dir, store.Options{SyncEvery: store.DefaultSyncEvery})
	if err != nil {
		b.Fatal(err)
	}
	redactor := redact.New(redact.Options{Key: []byte("a key of the installation")})
	var line []byte
	var batch []*audit.Event
	events, bodies, log := 0, 0, 0
	flush := func() {
		if err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		batch = batch[:0]
	}
	for e := range ordinary.Events(ordinary.Options{Seed: 1, From: ordinary.Monday.AddDate(0, 0, 1), Policy: policy}) {
		redactor.Event(e)
		line = record.AppendJSON(line[:0], e)
		events, log = events+1, log+len(line)+1
		if len(e.Request)+len(e.Response) > 0 {
			bodies++
		}
		if batch = append(batch, e); len(batch) == 500 {
			flush()
		}
	}
	flush()
	if err := s.Seal(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := s.Upkeep(b.Context()); err != nil {
		b.Fatal(err)
	}
	var size int64
	err = filepath.WalkDir(filepath.Join(dir, "segments"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		size += info.Size()
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(events), "events")
	b.ReportMetric(float64(bodies), "bodies")
	b.ReportMetric(float64(log)/float64(events), "log-B/event")
	b.ReportMetric(float64(size)/float64(events), "store-B/event")
	b.ReportMetric(float64(size)/1e6, "store-MB")
	b.ReportMetric(float64(log)/1e6, "log-MB")
}
