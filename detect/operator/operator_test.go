package operator

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var begun = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// sight is one observation of a test, under a key.
type sight struct {
	key string
	Observation
}

// sights are n observations in the order of time, some at the same, of few keys and values.
func sights(r *rand.Rand, n int, step time.Duration) []sight {
	all := make([]sight, n)
	at := begun
	for i := range all {
		at = at.Add(time.Duration(r.Int64N(int64(step))) / time.Duration(1+r.IntN(3)*r.IntN(3)))
		all[i] = sight{string(rune('a' + r.IntN(2))), Observation{
			At: at.Truncate(time.Microsecond), ID: fmt.Sprint(i), Value: string(rune('p' + r.IntN(8))), Weight: float64(r.IntN(5)), Steps: uint16(r.IntN(8)),
		}}
	}
	return all
}

// naive answers for the last of some observations of one key by looking at all of them.
type naive func(all []Observation) bool

func within1(window time.Duration, o, last Observation) bool {
	return o.At.After(last.At.Add(-window))
}

var cases = []struct {
	name  string
	op    Operator
	step  time.Duration
	naive naive
}{
	{"count", Count{4, time.Minute}, 30 * time.Second, func(all []Observation) bool {
		n := 0
		for _, o := range all {
			if within1(time.Minute, o, all[len(all)-1]) {
				n++
			}
		}
		return n >= 4
	}},
	{"distinct", Distinct{AtLeast: 4, Window: time.Minute}, 20 * time.Second, func(all []Observation) bool {
		values := map[string]bool{}
		for _, o := range all {
			if within1(time.Minute, o, all[len(all)-1]) {
				values[o.Value] = true
			}
		}
		return len(values) >= 4
	}},
	{"new ones", Distinct{AtLeast: 3, Window: time.Minute, Unseen: 5 * time.Minute}, 20 * time.Second, func(all []Observation) bool {
		began, last := map[string]time.Time{}, map[string]time.Time{}
		for _, o := range all {
			if t, known := last[o.Value]; !known || o.At.Sub(t) > 5*time.Minute {
				began[o.Value] = o.At
			}
			last[o.Value] = o.At
		}
		now, n := all[len(all)-1], 0
		for _, t := range began {
			if t.After(now.At.Add(-time.Minute)) {
				n++
			}
		}
		return n >= 3 && began[now.Value].After(now.At.Add(-time.Minute))
	}},
	{"rate", Rate{AtLeast: 10, Window: time.Minute}, 20 * time.Second, func(all []Observation) bool {
		sum, last := 0.0, all[len(all)-1].At.UnixMicro()/2e6
		for _, o := range all {
			if n := o.At.UnixMicro() / 2e6; n > last-30 {
				sum += o.Weight
			}
		}
		return sum >= 10
	}},
	{"baseline", Rate{AtLeast: 5, Window: time.Minute, Factor: 3, Before: 24 * time.Minute}, 20 * time.Second, func(all []Observation) bool {
		sum, before, last := 0.0, 0.0, all[len(all)-1].At.UnixMicro()
		for _, o := range all {
			if n := o.At.UnixMicro() / 2e6; n > last/2e6-30 {
				sum += o.Weight
			}
			if n := o.At.UnixMicro() / 60e6; n > last/60e6-24 {
				before += o.Weight
			}
		}
		return sum >= 5 && sum >= 3*max(before-sum, 0)/24
	}},
	{"first seen", FirstSeen{Learn: time.Minute, Forget: 2 * time.Minute, Values: 100}, 30 * time.Second, func(all []Observation) bool {
		last := all[len(all)-1]
		for _, o := range all[:len(all)-1] {
			if o.Value == last.Value && last.At.Sub(o.At) <= 2*time.Minute {
				return false
			}
		}
		return last.At.Sub(all[0].At) >= time.Minute
	}},
	{"sequence", Sequence{Steps: 3, Window: time.Minute}, 25 * time.Second, func(all []Observation) bool {
		last := all[len(all)-1]
		if last.Steps&4 == 0 {
			return false
		}
		for j, second := range all[:len(all)-1] {
			for _, first := range all[:j] {
				if first.Steps&1 != 0 && second.Steps&2 != 0 && last.At.Sub(first.At) <= time.Minute {
					return true
				}
			}
		}
		return false
	}},
}

// TestAgainstNaive holds every operator against one that looks at everything again.
func TestAgainstNaive(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fired, silent := 0, 0
			for seed := range uint64(60) {
				r := rand.New(rand.NewPCG(seed, 1))
				m := NewMemory(c.op, Limits{})
				before := map[string][]Observation{}
				for i, s := range sights(r, 200, c.step) {
					before[s.key] = append(before[s.key], s.Observation)
					want := c.naive(before[s.key])
					if fire, got := m.Observe(s.key, s.Observation); got != want {
						t.Fatalf("seed %d, event %d: %v (%+v), want %v", seed, i, got, fire, want)
					} else if got && (fire.At != s.At || fire.Since.After(s.At) || fire.Count < 1 || !slices.Contains(fire.IDs, s.ID) && c.name != "distinct" && c.name != "new ones") {
						t.Fatalf("seed %d, event %d: %+v", seed, i, fire)
					}
					if want {
						fired++
					} else {
						silent++
					}
				}
			}
			if fired < 100 || silent < 100 {
				t.Errorf("%d fired, %d did not: the test says little", fired, silent)
			}
		})
	}
}

// TestLateHidesNothing brings events late: whatever fires in order fires too, if perhaps at
// another event of the key within the time that one may be late.
func TestLateHidesNothing(t *testing.T) {
	const late = 10 * time.Second
	for _, c := range cases {
		if c.name == "first seen" || c.name == "baseline" || c.name == "new ones" {
			continue // what is new or usual depends on what came before, by their definition
		}
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(60) {
				r := rand.New(rand.NewPCG(seed, 2))
				// A sum can be reached only once: what fires is then one key, once or never.
				all := sights(r, 12, c.step)
				inOrder := map[string]bool{}
				m := NewMemory(c.op, Limits{Late: late})
				for _, s := range all {
					if _, yes := m.Observe(s.key, s.Observation); yes {
						inOrder[s.key] = true
					}
				}
				arrives := map[string]time.Time{}
				for _, s := range all {
					arrives[s.ID] = s.At.Add(time.Duration(r.Int64N(int64(late))))
				}
				slices.SortStableFunc(all, func(a, b sight) int { return arrives[a.ID].Compare(arrives[b.ID]) })
				shuffled := map[string]bool{}
				m = NewMemory(c.op, Limits{Late: late})
				for _, s := range all {
					if _, yes := m.Observe(s.key, s.Observation); yes {
						shuffled[s.key] = true
					}
				}
				for key := range inOrder {
					if !shuffled[key] {
						t.Fatalf("seed %d: %s fires in order, and not where events are late", seed, key)
					}
				}
			}
		})
	}
}

// TestOneWrongClock brings one event of the far future, and then what should fire.
func TestOneWrongClock(t *testing.T) {
	for _, c := range cases {
		if c.name == "baseline" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(30) {
				r := rand.New(rand.NewPCG(seed, 3))
				all := sights(r, 300, c.step)
				count := func(wrong bool) (n int) {
					m := NewMemory(c.op, Limits{})
					for i, s := range all {
						if wrong && i == 50 {
							s.At = s.At.Add(1000 * time.Hour)
						}
						if _, yes := m.Observe(s.key, s.Observation); yes {
							n++
						}
					}
					return n
				}
				if right, wrong := count(false), count(true); right > 10 && wrong < right/2 {
					t.Fatalf("seed %d: %d findings, and %d with one clock that was wrong", seed, right, wrong)
				}
			}
		})
	}
}

func TestAbsence(t *testing.T) {
	at := func(seconds int) time.Time { return begun.Add(time.Duration(seconds) * time.Second) }
	const comes, after = 1, 2
	type step struct {
		at    int
		steps uint16 // 0 advances
		fires bool
	}
	for name, c := range map[string]struct {
		op    Absence
		steps []step
	}{
		"does not come again": {Absence{Window: time.Minute}, []step{{0, comes, false}, {50, comes, false}, {111, 0, false}, {171, 0, true}, {500, 0, false}}},
		"comes again later":   {Absence{Window: time.Minute}, []step{{0, comes, false}, {62, comes, true}, {63, comes, false}, {190, 0, true}}},
		"never came":          {Absence{Window: time.Minute}, []step{{0, 0, false}, {1000, 0, false}}},
		"comes after":         {Absence{time.Minute, true}, []step{{0, after, false}, {30, comes, false}, {500, 0, false}}},
		"does not come after": {Absence{time.Minute, true}, []step{{0, comes, false}, {10, after, false}, {131, 0, true}, {500, 0, false}}},
		"comes too late":      {Absence{time.Minute, true}, []step{{0, after, false}, {61, comes, true}, {500, 0, false}}},
		"read the other way":  {Absence{time.Minute, true}, []step{{10, comes, false}, {9, after, false}, {500, 0, false}}},
		"came before":         {Absence{time.Minute, true}, []step{{10, after, false}, {9, comes, false}, {500, 0, true}}},
		"a second one":        {Absence{time.Minute, true}, []step{{0, after, false}, {30, after, false}, {125, 0, true}}},
		"late again":          {Absence{Window: time.Minute}, []step{{50, comes, false}, {40, comes, false}, {165, 0, false}, {171, 0, true}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMemory(c.op, Limits{})
			for i, s := range c.steps {
				var yes bool
				if s.steps == 0 {
					fires := m.Advance(at(s.at))
					if yes = len(fires) > 0; yes && (fires[0].Key != "k" || fires[0].At.After(at(s.at))) {
						t.Errorf("step %d: %+v", i, fires)
					}
				} else {
					_, yes = m.Observe("k", Observation{At: at(s.at), Steps: s.steps, ID: fmt.Sprint(i)})
				}
				if yes != s.fires {
					t.Errorf("step %d fires: %v", i, yes)
				}
			}
		})
	}
}

// TestWrittenAndRead stops in the middle, and goes on with what was written.
func TestWrittenAndRead(t *testing.T) {
	all := append(slices.Clone(cases), cases[0])
	all[len(all)-1].name, all[len(all)-1].op = "absence", Absence{Window: 40 * time.Second}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(20) {
				r := rand.New(rand.NewPCG(seed, 4))
				m := NewMemory(c.op, Limits{Keys: 5})
				for i, s := range sights(r, 200, c.step) {
					s.key = fmt.Sprint(r.IntN(8))
					if i%40 == 20 {
						again := NewMemory(c.op, Limits{Keys: 5})
						if err := m.Each(again.Put); err != nil {
							t.Fatal(err)
						}
						if again.Len() != m.Len() || again.Size() != m.Size() {
							t.Fatalf("%d keys of %d, %d of %d", again.Len(), m.Len(), again.Size(), m.Size())
						}
						f1, y1 := m.Observe(s.key, s.Observation)
						f2, y2 := again.Observe(s.key, s.Observation)
						if y1 != y2 || fmt.Sprint(f1) != fmt.Sprint(f2) {
							t.Fatalf("seed %d, event %d: %v %+v, and read again %v %+v", seed, i, y1, f1, y2, f2)
						}
						m = again
						continue
					}
					m.Observe(s.key, s.Observation)
				}
			}
		})
	}
}

// TestBounded floods a Memory with keys, values and times.
func TestBounded(t *testing.T) {
	ops := []Operator{
		Count{10, time.Hour}, Distinct{AtLeast: 10, Window: time.Hour}, Rate{AtLeast: 10, Window: time.Hour, Factor: 2, Before: 24 * time.Hour},
		FirstSeen{Learn: time.Hour, Forget: time.Hour, Values: 50}, Sequence{3, time.Hour}, Absence{Window: time.Hour},
	}
	for _, op := range ops {
		m := NewMemory(op, Limits{Keys: 10})
		for i := range 20000 {
			m.Observe(fmt.Sprint(i/100%100), Observation{At: begun.Add(time.Duration(i) * time.Second), ID: fmt.Sprint(i), Value: fmt.Sprint(i), Weight: 1, Steps: uint16(i)})
		}
		if m.Len() != 10 || m.Evicted() != 190 || m.Size() > 10*800 {
			t.Errorf("%T: %d keys of %d numbers, %d evicted", op, m.Len(), m.Size(), m.Evicted())
		}
		for m.Evict() {
		}
		if m.Len() != 0 || m.Size() != 0 {
			t.Errorf("%T: %d keys of %d numbers are left", op, m.Len(), m.Size())
		}
	}
}

// TestUsual: what comes every day fires once, and again after it has stayed away.
func TestUsual(t *testing.T) {
	m := NewMemory(Distinct{AtLeast: 5, Window: 10 * time.Minute, Unseen: 7 * 24 * time.Hour}, Limits{})
	fires := func(day int, names string, n int) (fired int) {
		for i := range n {
			if _, yes := m.Observe("k", Observation{At: begun.AddDate(0, 0, day).Add(time.Duration(i) * time.Second), Value: fmt.Sprint(names, i)}); yes {
				fired++
			}
		}
		return fired
	}
	for _, c := range []struct {
		day   int
		names string
		n     int
		want  int
	}{{0, "a", 8, 4}, {1, "a", 8, 0}, {2, "a", 9, 0}, {3, "b", 6, 2}, {4, "b", 6, 0}, {12, "a", 8, 4}} {
		if got := fires(c.day, c.names, c.n); got != c.want {
			t.Errorf("day %d, %d of %s: %d fires, want %d", c.day, c.n, c.names, got, c.want)
		}
	}
	for i := range 20000 {
		m.Observe("k", Observation{At: begun.AddDate(0, 0, 20).Add(time.Duration(i) * time.Second), Value: fmt.Sprint("c", i)})
	}
	if m.Size() > 10*maxUsual {
		t.Errorf("%d numbers are remembered", m.Size())
	}
}

func FuzzPut(f *testing.F) {
	ops := []Operator{Count{2, time.Hour}, Distinct{AtLeast: 2, Window: time.Hour, Unseen: 2 * time.Hour}, Rate{AtLeast: 2, Window: time.Hour, Factor: 2, Before: 24 * time.Hour},
		FirstSeen{Learn: time.Hour, Forget: time.Hour, Values: 5}, Sequence{2, time.Hour}, Absence{Window: time.Hour, After: true}}
	for i, op := range ops {
		m := NewMemory(op, Limits{})
		for n := range 6 {
			m.Observe("k", Observation{At: begun.Add(time.Duration(n) * time.Minute), ID: fmt.Sprint(n), Value: fmt.Sprint(n), Weight: 1, Steps: uint16(n)})
		}
		_ = m.Each(func(_ string, state json.RawMessage) error { f.Add(i, []byte(state)); return nil })
	}
	f.Fuzz(func(t *testing.T, which int, state []byte) {
		if which < 0 || which >= len(ops) {
			return
		}
		m := NewMemory(ops[which], Limits{})
		if m.Put("k", state) != nil {
			return
		}
		for n := range 10 {
			m.Observe("k", Observation{At: begun.Add(time.Duration(n) * time.Minute), ID: fmt.Sprint(n), Value: fmt.Sprint(n), Weight: 1, Steps: uint16(n)})
		}
		m.Advance(begun.Add(100 * time.Hour))
	})
}
