package ordinary_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/rules"
	"github.com/gatehouse-io/gatehouse/test/attack/ordinary"
)

// seeds are several, so that rules are not made for one.
var seeds = []uint64{1, 2, 3}

func ourRules(t testing.TB) *detect.Set {
	t.Helper()
	files, err := rules.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set, problems := detect.Compile(files.Rules, detect.Options{Untested: true})
	if err := files.Locate(problems); err != nil {
		t.Fatal(err)
	}
	return set
}

// TestOrdinaryDay asks our rules about a day on which nothing is wrong, after a week in
// which they learned what is usual: they may tell of three things at most.
func TestOrdinaryDay(t *testing.T) {
	set := ourRules(t)
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			day := ordinary.Monday.AddDate(0, 0, 7)
			state := detect.NewState(set, detect.StateOptions{})
			events, told := 0, map[string]detect.Finding{}
			take := func(changes []detect.Change) {
				for _, c := range changes {
					if c.What != detect.Over && !c.Finding.Last.Before(day) {
						told[c.Finding.Fingerprint+c.Finding.First.String()] = c.Finding
					}
				}
			}
			for e := range ordinary.Events(ordinary.Options{Seed: seed, Days: 8}) {
				if !e.Time.Before(day) {
					events++
				}
				take(state.Observe(t.Context(), e))
			}
			take(state.Advance(t.Context(), day.Add(24*time.Hour)))
			byRule, bySeverity := map[string]int{}, map[v1alpha1.DetectionSeverity]int{}
			for _, f := range told {
				byRule[string(f.Severity)+" "+f.Rule]++
				bySeverity[f.Severity]++
			}
			t.Logf("%d events: %v", events, bySeverity)
			for _, name := range slices.Sorted(maps.Keys(byRule)) {
				t.Logf("%4d %s", byRule[name], name)
			}
			for _, f := range told {
				if detect.SeverityRank(f.Severity) >= detect.SeverityRank(v1alpha1.SeverityMedium) {
					t.Logf("%s %s: %s", f.Severity, f.Rule, f.Message)
				}
			}
			for name, r := range state.Stats().Rules {
				if r.Failed > 0 || r.Evicted > 0 {
					t.Errorf("%s could not judge %d events (%s), and forgot %d keys", name, r.Failed, r.Last, r.Evicted)
				}
			}
			if n := bySeverity[v1alpha1.SeverityHigh] + bySeverity[v1alpha1.SeverityCritical]; n > 3 {
				t.Errorf("%d false alerts", n)
			}
			if events < 500_000 {
				t.Errorf("a day has %d events", events)
			}
		})
	}
}

// TestSameSeed: a seed gives the same events, another seed others, in the order of time.
func TestSameSeed(t *testing.T) {
	digest := func(seed uint64) (sum []string) {
		var last time.Time
		for e := range ordinary.Events(ordinary.Options{Seed: seed}) {
			if e.Time.Before(last) {
				t.Fatalf("an event of %v comes after one of %v", e.Time, last)
			}
			last = e.Time
			if sum = append(sum, fmt.Sprint(*e)); len(sum) == 20_000 {
				break
			}
		}
		return sum
	}
	one := digest(1)
	if !slices.Equal(one, digest(1)) {
		t.Error("one seed gives two days")
	}
	if slices.Equal(one, digest(2)) {
		t.Error("two seeds give one day")
	}
}

var _ = audit.StageComplete
