package scan

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Verdict is what a report says of an object and a policy.
type Verdict uint8

// The verdicts of a report, the worst first.
const (
	Fail  Verdict = iota // it would be refused
	Error                // the policy could not be evaluated
	Warn                 // it breaks a policy that does not refuse
	Skip                 // an Exception lets it through
	Pass
)

var verdicts = [...]string{Fail: "fail", Error: "error", Warn: "warn", Skip: "skip", Pass: "pass"}

func (v Verdict) String() string { return verdicts[v] }

// Finding is what one policy has to say of an object.
type Finding struct {
	Verdict Verdict
	// rule has what is the same for every object that the policy speaks of.
	rule          unique.Handle[Rule]
	message, path string
}

// Rule says whose a Finding is.
type Rule struct {
	// Policy is its name; Part that of a rule in it, empty for none.
	Policy, Part string
	// Kind is that of the object that states it; Namespace is that object's.
	Kind, Namespace string
	// Binding is the object that puts it in force, where that is another one.
	Binding string
	// Exception that lets the object through; empty for none.
	Exception string
	// Actions are what the policy asks for: deny, warn, audit.
	Actions string
}

// Rule says whose the Finding is.
func (f *Finding) Rule() Rule { return f.rule.Value() }

// Message is the policy's.
func (f *Finding) Message() string { return f.message }

// Path is the field it speaks of; empty where that is not known.
func (f *Finding) Path() string { return f.path }

// Report is what there is to say of one object. It does not change.
type Report struct {
	UID             types.UID
	Kind            schema.GroupVersionKind
	Namespace, Name string
	// ResourceVersion is that of the object that was judged.
	ResourceVersion string
	Findings        []Finding
	// Passed is how many policies were asked and said nothing.
	Passed int
	// Judged is when, and Since when there is a report of the object.
	Judged, Since time.Time
	// Version is that of the last change of the report.
	Version uint64
}

// Counts are how many findings of each verdict there are.
func (r *Report) Counts() (n [Pass + 1]int) {
	for i := range r.Findings {
		n[r.Findings[i].Verdict]++
	}
	n[Pass] = r.Passed
	return n
}

// Change is one in the Reports.
type Change struct {
	Version uint64
	// Report is the new one; of a report that went, the last one.
	Report *Report
	Gone   bool
	// First says that there was none of the object before.
	First bool
}

// mostChanges is how many changes are remembered for those who fell behind.
const mostChanges = 8192

// Reports are those of all objects that there is something to say of. They are safe
// for concurrent use.
type Reports struct {
	mu      sync.RWMutex
	of      map[types.UID]*Report
	version uint64
	counts  [Pass + 1]int // of findings; of Pass, the objects

	// log has the changes with the versions from oldest+1 on, each one more than the
	// one before it.
	log    []Change
	oldest uint64
	woken  chan struct{} // closed at the next change

	// sorted is every Report by namespace and UID; nil when a change has made it stale.
	sorted []*Report
}

// NewReports makes one without reports, whose versions come after first.
func NewReports(first uint64) *Reports {
	return &Reports{of: map[types.UID]*Report{}, version: first, oldest: first, woken: make(chan struct{})}
}

// Put makes r the report of the object with a UID. Nil, and a Report
// without findings, take the one of before away. It is for a Scanner, and for tests.
func (s *Reports) Put(uid types.UID, r *Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.of[uid]
	if r != nil && len(r.Findings) == 0 {
		r = nil
	}
	switch {
	case r == nil && before == nil:
		return
	case r != nil && before != nil && same(before, r):
		return
	}
	s.version++
	if before != nil {
		s.count(before, -1)
	}
	change := Change{Version: s.version, Report: r, First: before == nil}
	if r == nil {
		change.Report, change.Gone = before, true
		delete(s.of, uid)
	} else {
		s.count(r, 1)
		r.Version, r.Since = s.version, r.Judged
		if before != nil {
			r.Since = before.Since
		}
		s.of[uid] = r
	}
	s.sorted = nil
	if len(s.log) == mostChanges {
		// Half is dropped at once, so that this happens rarely.
		keep := slices.Clone(s.log[mostChanges/2:])
		s.oldest = keep[0].Version - 1
		s.log = append(make([]Change, 0, mostChanges), keep...)
	}
	s.log = append(s.log, change)
	close(s.woken)
	s.woken = make(chan struct{})
}

func (s *Reports) count(r *Report, by int) {
	for i := range r.Findings {
		s.counts[r.Findings[i].Verdict] += by
	}
}

// same reports whether two reports say the same of an object.
func same(a, b *Report) bool {
	return a.Passed == b.Passed && a.Kind == b.Kind && slices.Equal(a.Findings, b.Findings)
}

// Get is the report of one object; nil where there is nothing to say of it.
func (s *Reports) Get(uid types.UID) *Report {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.of[uid]
}

// Findings counts those of a verdict.
func (s *Reports) Findings(v Verdict) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.counts[v]
}

// Len is how many objects there is something to say of.
func (s *Reports) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.of)
}

// All are the reports there are, by namespace and UID, and the version they are of.
// The caller must not change them.
func (s *Reports) All() ([]*Report, uint64) {
	s.mu.RLock()
	sorted, version := s.sorted, s.version
	s.mu.RUnlock()
	if sorted != nil {
		return sorted, version
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sorted == nil {
		s.sorted = make([]*Report, 0, len(s.of))
		for _, r := range s.of {
			s.sorted = append(s.sorted, r)
		}
		slices.SortFunc(s.sorted, compareReports)
	}
	return s.sorted, s.version
}

func compareReports(a, b *Report) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(string(a.UID), string(b.UID)))
}

// In are the reports of one namespace; of what is in none where it is empty.
func (s *Reports) In(namespace string) iter.Seq[*Report] {
	return func(yield func(*Report) bool) {
		all, _ := s.All()
		at, _ := slices.BinarySearchFunc(all, namespace, func(r *Report, ns string) int { return strings.Compare(r.Namespace, ns) })
		for ; at < len(all) && all[at].Namespace == namespace; at++ {
			if !yield(all[at]) {
				return
			}
		}
	}
}

// Since are the changes after a version, in their order, and a channel that is closed
// at the next one. ok is false where the version is from another time: the caller
// must read All again.
func (s *Reports) Since(version uint64) (changes []Change, next <-chan struct{}, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if version < s.oldest || version > s.version {
		return nil, nil, false
	}
	return s.log[version-s.oldest:], s.woken, true
}

// NewFinding makes one.
func NewFinding(v Verdict, rule Rule, message, path string) Finding {
	return Finding{v, unique.Make(rule), message, path}
}
