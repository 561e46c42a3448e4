package detect

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect/condition"
	"github.com/gatehouse-io/gatehouse/detect/operator"
)

// StateOptions of NewState. The zero value is usable.
type StateOptions struct {
	// Late is how late an event may come, by its time, behind others. Default: one minute.
	Late time.Duration
	// Findings is how many are kept that are not over. Default: 10000.
	Findings int
	// Numbers is about how many numbers of eight bytes the rules remember together. Default:
	// 8 million.
	Numbers int
	// Clock bounds what events say the time is, for a live State: one event from the
	// future would else end everything that is waited for. Default: events are believed.
	Clock func() time.Time
}

// State is a Set with what it has seen. It is safe for concurrent use.
type State struct {
	opts StateOptions

	mu        sync.Mutex
	set       *Set
	evaluator *Evaluator
	// memories are those of rules that remember; the same for as long as the rule is.
	memories map[*Rule]*operator.Memory
	absences []*Rule // those of them that fire when time goes by
	size     int     // the sum of the memories' sizes
	ledger   ledger
	mutes    mutes
	// now is the latest time that an event or a caller said.
	now time.Time
	// started are requests that a rule matched when they began; the oldest goes.
	started     map[uint64]bool
	startedIDs  map[string]int // how many of them have an auditID
	startedRing []startedRequest
	startedHead int
	hits        map[*Rule]int64
	again       int64
	// failed and evicted are those of evaluators and memories that are gone.
	failed, evicted int64
}

// startedRequest is a request that a rule matched when it began.
type startedRequest struct {
	Hash uint64 `json:"h"`
	ID   string `json:"i"`
}

// maxStarted is how many requests that go on are remembered.
const maxStarted = 8192

// NewState makes a State that has seen nothing.
func NewState(set *Set, o StateOptions) *State {
	if o.Late <= 0 {
		o.Late = time.Minute
	}
	if o.Findings <= 0 {
		o.Findings = 10000
	}
	if o.Numbers <= 0 {
		o.Numbers = 8 << 20
	}
	s := &State{opts: o, started: map[uint64]bool{}, startedIDs: map[string]int{}, ledger: ledger{most: o.Findings, open: map[string]*Finding{}}}
	s.replace(set)
	return s
}

// Replace puts other rules in force. What is remembered for rules that look for the same
// as before stays.
func (s *State) Replace(set *Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replace(set)
}

func (s *State) replace(set *Set) {
	before := map[string]*operator.Memory{}
	for r, m := range s.memories {
		before[r.Name+between+r.identity] = m
		s.evicted += m.Evicted()
	}
	if s.evaluator != nil {
		s.failed += s.evaluator.failures()
	}
	s.set, s.evaluator = set, set.NewEvaluator()
	s.memories, s.absences, s.size = map[*Rule]*operator.Memory{}, nil, 0
	s.hits = map[*Rule]int64{}
	for _, r := range set.rules {
		if r.operator == nil {
			continue
		}
		m := before[r.Name+between+r.identity]
		if m == nil {
			m = operator.NewMemory(r.operator, operator.Limits{Keys: int(r.Spec.Keys), Late: s.opts.Late})
		}
		s.evicted -= m.Evicted() // it goes on counting
		s.memories[r] = m
		s.size += m.Size()
		if r.Operator() == "absence" {
			s.absences = append(s.absences, r)
		}
	}
}

// SetMutes puts Mutes in force, instead of those before, and tells which Findings that are
// not over are quiet by that, or are not any more.
func (s *State) SetMutes(all []*v1alpha1.Mute) []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mutes.set(all)
	return s.mutes.again(s.now, &s.ledger)
}

// Resume says that nothing was recorded up to now. What was waited for is waited for
// anew: that it did not come says nothing.
func (s *State) Resume(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.absences {
		s.memories[r].Postpone(now)
	}
}

// Observe takes one event, and tells what changed by it: Findings that are new or happened
// again, and what is over by the time of the event. It allocates nothing where there is
// nothing to tell and no rule matches.
func (s *State) Observe(ctx context.Context, e *audit.Event) []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := e.Time
	if s.opts.Clock != nil {
		if most := s.opts.Clock().Add(s.opts.Late); now.After(most) {
			now = most
		}
	}
	changes := s.advance(ctx, now)
	for _, hit := range s.evaluator.Evaluate(ctx, e) {
		changes = s.hit(ctx, e, hit, changes)
	}
	return changes
}

// Advance says that it is later now, for when no events come.
func (s *State) Advance(ctx context.Context, now time.Time) []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.advance(ctx, now)
}

func (s *State) advance(ctx context.Context, now time.Time) (changes []Change) {
	if !now.After(s.now) {
		return nil
	}
	s.now = now
	for _, r := range s.absences {
		m := s.memories[r]
		before := m.Size()
		for _, fire := range m.Advance(now) {
			changes = append(changes, s.fire(ctx, r, fire.Key, fire, &audit.Event{Time: fire.At}))
		}
		s.size += m.Size() - before
	}
	changes = append(changes, s.mutes.expired(now, &s.ledger)...)
	return append(changes, s.ledger.advance(now)...)
}

// hit is what becomes of an event that a rule matches.
func (s *State) hit(ctx context.Context, e *audit.Event, h Hit, changes []Change) []Change {
	r := h.Rule
	if s.before(r, e) {
		s.again++
		return changes
	}
	s.hits[r]++
	in := &s.evaluator.in
	key, err := r.keyOf(ctx, in)
	if err != nil {
		s.evaluator.fail(r, err)
		return changes
	}
	if r.operator == nil {
		return append(changes, s.fire(ctx, r, key, operator.Fire{At: e.Time, Since: e.Time, Count: 1, IDs: []string{bounded(e.ID)}}, e))
	}
	o := operator.Observation{At: e.Time, ID: e.ID, Weight: 1, Steps: h.steps}
	if r.of != nil {
		if _, weighs := r.operator.(operator.Rate); weighs {
			o.Weight, err = r.of.Number(ctx, in)
		} else {
			o.Value, err = r.of.Text(ctx, in)
		}
		if err != nil {
			s.evaluator.fail(r, err)
			return changes
		}
	}
	m := s.memories[r]
	before := m.Size()
	fire, yes := m.Observe(key, o)
	s.size += m.Size() - before
	if s.size > s.opts.Numbers {
		s.forget()
	}
	if yes {
		changes = append(changes, s.fire(ctx, r, key, fire, e))
	}
	return changes
}

// before reports whether the rule has matched the request of an event already, at its
// beginning. The time at which it was received is the server's, so that a client who
// gives two requests one auditID hides neither.
func (s *State) before(r *Rule, e *audit.Event) bool {
	if e.Stage == audit.StageReceived {
		return false
	}
	if e.Stage != audit.StageStarted && s.startedIDs[e.ID] == 0 {
		return false
	}
	sum := sha256.Sum256([]byte(r.Name + between + e.ID + between + e.User + between + e.Verb + between + e.URI + between + e.Received.UTC().Format(time.RFC3339Nano)))
	id := binary.LittleEndian.Uint64(sum[:])
	if s.started[id] {
		return true
	}
	if e.Stage == audit.StageStarted {
		s.remember(startedRequest{id, e.ID})
	}
	return false
}

func (s *State) remember(r startedRequest) {
	if len(s.startedRing) < maxStarted {
		s.startedRing = append(s.startedRing, r)
	} else {
		old := s.startedRing[s.startedHead]
		delete(s.started, old.Hash)
		if s.startedIDs[old.ID]--; s.startedIDs[old.ID] <= 0 {
			delete(s.startedIDs, old.ID)
		}
		s.startedRing[s.startedHead] = r
		s.startedHead = (s.startedHead + 1) % maxStarted
	}
	s.started[r.Hash] = true
	s.startedIDs[r.ID]++
}

// forget lets keys go of the rules that remember most, until there is room again.
func (s *State) forget() {
	for s.size > s.opts.Numbers {
		var largest *operator.Memory
		for _, r := range s.set.rules {
			if m := s.memories[r]; m != nil && (largest == nil || m.Size() > largest.Size()) {
				largest = m
			}
		}
		before := largest.Size()
		// A tenth at once, so that it is not looked for at every event.
		for range largest.Len()/10 + 1 {
			if !largest.Evict() {
				return
			}
		}
		s.size += largest.Size() - before
	}
}

// fire makes or continues a Finding.
func (s *State) fire(ctx context.Context, r *Rule, key string, f operator.Fire, e *audit.Event) Change {
	sum := true
	switch r.operator.(type) {
	case operator.Distinct, operator.Rate:
		sum = false
	}
	parts := strings.Split(key, between)
	change := s.ledger.add(fingerprint(r.Name, key), f.At, f.Since, f.Count, sum, f.IDs, func(finding *Finding) {
		finding.Rule, finding.Title, finding.Severity, finding.Attack, finding.Runbook = r.Name, r.Spec.Title, r.Spec.Severity, r.Spec.Attack, r.Spec.Runbook
		finding.Key, finding.Quiet = parts, r.quiet
		if r.Operator() == "absence" {
			var in condition.Input // what did not come has no event
			in.Set(e)
			in.Count, in.Values = finding.Count, parts
			finding.Message = r.message.Text(ctx, &in)
			return
		}
		in := &s.evaluator.in
		in.Count, in.Values = max(f.Count, finding.Count), f.Values
		if !sum {
			in.Count = f.Count
		}
		finding.Message = r.message.Text(ctx, in)
		finding.Subject, finding.Object = subjectOf(e), objectOf(e)
	})
	s.mutes.apply(&change.Finding, s.ledger.open[change.Finding.Fingerprint])
	return change
}

// Findings are those that are not over, the oldest first.
func (s *State) Findings() []Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Finding
	for _, f := range s.ledger.open {
		all = append(all, f.copied())
	}
	slices.SortFunc(all, func(a, b Finding) int { return compareFindings(&a, &b) })
	return all
}

// RuleStats are what became of one rule since the State was made or its rules replaced.
type RuleStats struct {
	// Hits are requests that met match and condition. Failed is how often an expression
	// could not be evaluated, and Last why the last time.
	Hits, Failed int64
	Last         string
	// Keys are how many are remembered; Evicted how many had to be forgotten.
	Keys    int
	Evicted int64
}

// Stats are what a State counts.
type Stats struct {
	Rules map[string]RuleStats
	// Findings are those that are not over; FindingsEvicted had to be forgotten before.
	Findings        int
	FindingsEvicted int64
	// Again counts events of requests that had been judged when they began.
	Again int64
	// Numbers is about how many the rules remember.
	Numbers int
	// Muted counts changes kept quiet, by the name of the Mute.
	Muted map[string]int64
	// Failed and Evicted are those of all rules, of those that are gone too.
	Failed, Evicted int64
}

// Stats are what the State has counted.
func (s *State) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{Rules: map[string]RuleStats{}, Findings: len(s.ledger.open), FindingsEvicted: s.ledger.evicted, Again: s.again, Numbers: s.size, Muted: s.mutes.counts(), Failed: s.failed + s.evaluator.failures(), Evicted: s.evicted}
	for _, r := range s.set.rules {
		failed := s.evaluator.failed[r]
		one := RuleStats{Hits: s.hits[r], Failed: failed.times, Last: failed.last}
		if m := s.memories[r]; m != nil {
			one.Keys, one.Evicted = m.Len(), m.Evicted()
			stats.Evicted += one.Evicted
		}
		stats.Rules[r.Name] = one
	}
	return stats
}
