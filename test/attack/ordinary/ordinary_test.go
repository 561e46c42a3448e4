package ordinary_test

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/rules"
	"github.com/gatehouse-io/gatehouse/test/attack/ordinary"
)

// Days are several, so that rules are not made for one.
var days = flag.Int("days", 3, "how many days TestOrdinaryDay plays, each with a week before it")

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

// mostFalse is how many false alerts a day may have: findings of severity high or critical,
// which are those that somebody is woken for.
const mostFalse = 3

// TestOrdinaryDay asks our rules about a day on which nothing is wrong, after a week in
// which they learned what is usual. It prints what every rule found, whatever its severity.
func TestOrdinaryDay(t *testing.T) {
	set := ourRules(t)
	for i := range *days {
		seed := uint64(i + 1)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			events, bySeverity := play(t, set, seed, 7)
			if n := bySeverity[v1alpha1.SeverityHigh] + bySeverity[v1alpha1.SeverityCritical]; n > mostFalse {
				t.Errorf("%d false alerts", n)
			}
			if events < 500_000 {
				t.Errorf("a day has %d events", events)
			}
		})
	}
}

// TestFirstDay is a day on which the rules have learned nothing yet: what accounts do every
// day is told once.
func TestFirstDay(t *testing.T) {
	set := ourRules(t)
	for seed := range uint64(2) {
		_, bySeverity := play(t, set, seed+1, 0)
		if n := bySeverity[v1alpha1.SeverityHigh] + bySeverity[v1alpha1.SeverityCritical]; n > mostFalse {
			t.Errorf("%d false alerts", n)
		}
	}
}

// play plays so many days before a day, and tells what the rules find on it.
func play(t *testing.T, set *detect.Set, seed uint64, before int) (events int, bySeverity map[v1alpha1.DetectionSeverity]int) {
	t.Helper()
	day := ordinary.Monday.AddDate(0, 0, before)
	state := detect.NewState(set, detect.StateOptions{})
	told := map[string]detect.Finding{}
	take := func(changes []detect.Change) {
		for _, c := range changes {
			if c.What != detect.Over && !c.Finding.Last.Before(day) {
				told[c.Finding.Fingerprint+c.Finding.First.String()] = c.Finding
			}
		}
	}
	for e := range ordinary.Events(ordinary.Options{Seed: seed, Days: before + 1}) {
		if !e.Time.Before(day) {
			events++
		}
		take(state.Observe(t.Context(), e))
	}
	take(state.Advance(t.Context(), day.Add(24*time.Hour)))
	byRule := map[string]int{}
	bySeverity = map[v1alpha1.DetectionSeverity]int{}
	for _, f := range told {
		byRule[string(f.Severity)+" "+f.Rule]++
		bySeverity[f.Severity]++
	}
	t.Logf("seed %d: %d events: %v", seed, events, bySeverity)
	for _, name := range slices.Sorted(maps.Keys(byRule)) {
		t.Logf("%4d %s", byRule[name], name)
	}
	for _, f := range told {
		if detect.SeverityRank(f.Severity) >= detect.SeverityRank(v1alpha1.SeverityHigh) {
			t.Logf("%s %s: %s", f.Severity, f.Rule, f.Message)
		}
	}
	for name, r := range state.Stats().Rules {
		if r.Failed > 0 || r.Evicted > 0 {
			t.Errorf("%s could not judge %d events (%s), and forgot %d keys", name, r.Failed, r.Last, r.Evicted)
		}
	}
	return events, bySeverity
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
