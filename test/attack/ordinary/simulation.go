package ordinary

import (
	"container/heap"
	"iter"
	"math/rand/v2"
	"time"

	"k8s.io/apiserver/pkg/audit"

	gateaudit "github.com/gatehouse-io/gatehouse/audit"
)

// Options of Events. Seed and From have to be set for two runs to be the same.
type Options struct {
	// Seed decides everything that is left to chance.
	Seed uint64
	// From is when it begins, at midnight of the people in it. Default: Monday, 2026-03-02.
	From time.Time
	// Days is how long it lasts. Default: 1.
	Days int
	// Policy is what is recorded. Default: the built-in audit policy.
	Policy audit.PolicyRuleEvaluator
}

// Monday is a day to begin with.
var Monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// Events are what the cluster records.
func Events(o Options) iter.Seq[*gateaudit.Event] {
	if o.From.IsZero() {
		o.From = Monday
	}
	if o.Days <= 0 {
		o.Days = 1
	}
	return func(yield func(*gateaudit.Event) bool) {
		if o.Policy == nil {
			policy, err := gateaudit.NewPolicy(gateaudit.DefaultPolicy)
			if err != nil {
				panic(err) // it is a part of the program
			}
			o.Policy = policy
		}
		s := &simulation{
			rand: rand.New(rand.NewPCG(o.Seed, 0x6f7264696e617279)), bodies: rand.New(rand.NewPCG(o.Seed, 2)), now: o.From, begin: o.From, end: o.From.AddDate(0, 0, o.Days),
			recorder: recorder{policy: o.Policy, yield: yield, decided: map[decision]verdict{}},
		}
		newCluster(s).start()
		for len(s.queue) > 0 && !s.recorder.stopped {
			next := heap.Pop(&s.queue).(planned)
			if !next.at.Before(s.end) {
				return
			}
			s.now = next.at
			next.do()
		}
	}
}

// simulation is the time and what is going to happen. It is used by one goroutine.
type simulation struct {
	rand *rand.Rand
	// bodies is for what bodies alone say.
	bodies *rand.Rand
	queue  queue
	// now never goes back.
	now, begin, end time.Time
	planned         int
	recorder        recorder
}

// planned is something that is going to happen. Of two at one time, the one that was
// planned first happens first.
type planned struct {
	at     time.Time
	number int
	do     func()
}

type queue []planned

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].number < q[j].number
	}
	return q[i].at.Before(q[j].at)
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(planned)) }
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = planned{}
	*q = old[:len(old)-1]
	return last
}

// after plans something.
func (s *simulation) after(d time.Duration, do func()) {
	s.planned++
	heap.Push(&s.queue, planned{s.now.Add(d), s.planned, do})
}

// every does something again and again, about as often as it says, beginning somewhere in
// the first interval.
func (s *simulation) every(d time.Duration, do func()) {
	var again func()
	again = func() {
		do()
		s.after(d+s.spread(d/50), again)
	}
	s.after(s.upTo(d), again)
}

// daily does something at about a time of each day.
func (s *simulation) daily(at, give time.Duration, do func(day int)) {
	for day := 0; s.begin.AddDate(0, 0, day).Before(s.end); day++ {
		s.after(s.begin.AddDate(0, 0, day).Add(at+s.upTo(give)).Sub(s.now), func() { do(day) })
	}
}

// workday reports whether people are at work on the day that it is.
func (s *simulation) workday() bool {
	d := s.now.Weekday()
	return d != time.Saturday && d != time.Sunday
}

// upTo is some time below d.
func (s *simulation) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(s.rand.Int64N(int64(d)))
}

// between is some time from a to b.
func (s *simulation) between(a, b time.Duration) time.Duration { return a + s.upTo(b-a) }

// spread is some time from -d to d.
func (s *simulation) spread(d time.Duration) time.Duration { return s.upTo(2*d+1) - d }

func (s *simulation) chance(percent int) bool { return s.rand.IntN(100) < percent }

// letters is what generateName puts behind a name.
func (s *simulation) letters(n int) string {
	const of = "bcdfghjklmnpqrstvwxz2456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = of[s.rand.IntN(len(of))]
	}
	return string(b)
}

func pick[T any](s *simulation, of []T) T { return of[s.rand.IntN(len(of))] }
