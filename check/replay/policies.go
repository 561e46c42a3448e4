package replay

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/authz/review"
	"github.com/gatehouse-io/gatehouse/check"
	"github.com/gatehouse-io/gatehouse/policy"
)

// PolicyOptions are a change of policies.
type PolicyOptions struct {
	// Current asks the policies that are in force, and Proposed those that would be.
	Current, Proposed *check.Judge
	// Workers is how many goroutines judge. Default: as many as there are processors.
	Workers int
	// MaxFlips is how many flips are listed. Default: 10,000.
	MaxFlips int
	// Locate adds to a source the place that the caller knows. Default: it stays.
	Locate func(*v1alpha1.TraceSource)
}

// PolicyReport is what a change of policies would do to the objects that were written.
type PolicyReport struct {
	// Seen are the requests to write or delete that authorization let pass, and Judged
	// those whose objects are recorded.
	Seen   int64 `json:"seen"`
	Judged int64 `json:"judged"`
	// Refused would be refused and are not now; Allowed the other way round.
	Refused int64        `json:"refused"`
	Allowed int64        `json:"allowed"`
	Flips   []PolicyFlip `json:"flips"`
	// More is how many flips Flips has no room for.
	More     int64            `json:"more"`
	Unjudged []PolicyUnjudged `json:"unjudged,omitempty"`
	// SameOld are updates whose object before is not recorded: they were judged as if it
	// had been the same.
	SameOld int64 `json:"sameOld"`
	// Assumed are the namespaces that were taken to have no labels but their name.
	Assumed []string `json:"assumed,omitempty"`
}

// PolicyUnjudged counts requests that no policy could be asked about.
type PolicyUnjudged struct {
	Cause    string `json:"cause"`
	Requests int64  `json:"requests"`
}

// Causes of objects that could not be judged.
const (
	NoBody         = "the audit level has no body"
	OfPatch        = "a patch: the object is not recorded"
	OfDeletion     = "a deletion: the object is not recorded"
	CutBody        = "the body was cut"
	UnreadableBody = "the body is no object"
	FailedJudge    = "the policies could not be asked"
)

// PolicyFlip is a set of writes that a change of policies decides otherwise.
type PolicyFlip struct {
	// Change is refuse or allow.
	Change      string   `json:"change"`
	User        string   `json:"user"`
	Verb        string   `json:"verb"`
	APIGroup    string   `json:"apiGroup,omitempty"`
	Resource    string   `json:"resource"`
	Subresource string   `json:"subresource,omitempty"`
	Namespace   string   `json:"namespace,omitempty"`
	Names       []string `json:"names,omitempty"`
	Requests    int64    `json:"requests"`
	// First and Last are when it was written; Event is the audit ID of the last.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Event string    `json:"event"`
	// Says is what the policies say that refuse, or refuse it now, of the last.
	Says []PolicySaid `json:"says"`
}

// PolicySaid is a policy and its sentence.
type PolicySaid struct {
	Policy  v1alpha1.TraceSource `json:"policy"`
	Message string               `json:"message"`
}

// WriteFilter means the events that Judge looks at.
func WriteFilter(from, to time.Time) audit.Filter {
	return audit.Filter{From: from, To: to, Stages: []string{audit.StageComplete}, Verbs: []string{"create", "update", "patch", "delete", "deletecollection"}}
}

// Judge puts the recorded objects of events before the current and the proposed
// policies, and tells of those that are decided differently. Events are those of a Scan
// with Bodies, the oldest first; others than WriteFilter means are passed over.
func Judge(ctx context.Context, events iter.Seq2[*audit.Event, error], opts PolicyOptions) (*PolicyReport, error) {
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	if opts.MaxFlips <= 0 {
		opts.MaxFlips = defaultFlips
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	judges := make([]*policyWorker, opts.Workers)
	work := make(chan written, 4*opts.Workers)
	var running sync.WaitGroup
	for i := range judges {
		judges[i] = &policyWorker{opts: &opts, flips: map[string]*PolicyFlip{}, unjudged: map[string]int64{}}
		running.Go(func() {
			for w := range work {
				judges[i].take(ctx, w)
			}
		})
	}
	filter, known := WriteFilter(time.Time{}, time.Time{}), remembered{}
	var failed error
	for e, err := range events {
		if failed = err; err != nil {
			break
		}
		if !filter.Matches(e) || e.Resource == "" || e.Decision() == recordedForbid {
			continue
		}
		work <- written{e, known.take(e)}
	}
	close(work)
	running.Wait()
	if failed == nil {
		failed = ctx.Err()
	}
	if failed != nil {
		return nil, failed
	}
	for _, w := range judges[1:] {
		judges[0].merge(w)
	}
	return judges[0].finish(), nil
}

// written is a write, and the object that was there before as far as that is recorded.
type written struct {
	event *audit.Event
	old   []byte
}

// remembered are the objects that responses had, by what they are, so that an update is
// judged beside what it changed. It is bounded: it forgets everything when it is full.
type remembered map[[4]string][]byte

const (
	mostRemembered  = 20_000
	largestRemember = 64 << 10
)

// take returns what was there before an event, and remembers what is after it.
func (m remembered) take(e *audit.Event) []byte {
	key := [4]string{e.APIGroup, e.Resource, e.Namespace, e.Name}
	old := m[key]
	switch {
	case e.Subresource != "" || e.Name == "" || e.Code >= 300:
	case e.Verb == "delete" || len(e.Response) == 0 || len(e.Response) > largestRemember || e.Truncated:
		delete(m, key) // what is there now is not known
	default:
		if len(m) >= mostRemembered {
			clear(m)
		}
		m[key] = e.Response
	}
	return old
}

type policyWorker struct {
	opts     *PolicyOptions
	report   PolicyReport
	flips    map[string]*PolicyFlip
	unjudged map[string]int64
}

func (w *policyWorker) take(ctx context.Context, of written) {
	e := of.event
	w.report.Seen++
	q, cause := questionOf(e, of.old)
	if cause != "" {
		w.unjudged[cause]++
		return
	}
	if q.Operation == admission.Update && len(of.old) == 0 {
		w.report.SameOld++
	}
	before, err := w.opts.Current.Judge(ctx, q, false)
	if err != nil {
		w.unjudged[FailedJudge]++
		return
	}
	after, err := w.opts.Proposed.Judge(ctx, q, false)
	if err != nil {
		w.unjudged[FailedJudge]++
		return
	}
	w.report.Judged++
	if before.Denied() == after.Denied() {
		return
	}
	flip := PolicyFlip{Change: WouldRefuse, User: q.User.GetName(), Verb: e.Verb, APIGroup: e.APIGroup, Resource: e.Resource, Subresource: e.Subresource,
		Namespace: e.Namespace, Requests: 1, First: e.Time, Last: e.Time, Event: e.ID, Names: firstNames(nil, cmp.Or(q.Name, q.Object.GetGenerateName()))}
	decisive := after
	if before.Denied() {
		flip.Change, decisive = WouldAllow, before
		w.report.Allowed++
	} else {
		w.report.Refused++
	}
	flip.Says = w.says(decisive)
	key := keyOfFlip(&flip)
	if have := w.flips[key]; have != nil {
		have.merge(&flip)
	} else if len(w.flips) < mostKeys {
		w.flips[key] = &flip
	} else {
		w.report.More++
	}
}

// questionOf is what admission was asked of a write, or why that is not known.
func questionOf(e *audit.Event, old []byte) (q check.Question, cause string) {
	switch {
	case e.Verb == "patch":
		return q, OfPatch
	case e.Verb == "delete", e.Verb == "deletecollection":
		return q, OfDeletion
	case e.Truncated:
		return q, CutBody
	case len(e.Request) == 0:
		return q, NoBody
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(e.Request); err != nil {
		return q, UnreadableBody
	}
	name, groups, extra := e.Actor()
	q = check.Question{
		Operation: admission.Create, Kind: object.GroupVersionKind(),
		Resource:    schema.GroupVersionResource{Group: e.APIGroup, Version: e.APIVersion, Resource: e.Resource},
		Subresource: e.Subresource, Namespace: e.Namespace, Name: cmp.Or(e.Name, object.GetName()), Object: object,
		User: &user.DefaultInfo{Name: name, Groups: groups, Extra: extra},
	}
	if q.Kind == (schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}) {
		q.Namespace = q.Name
	}
	if e.Verb == "update" {
		q.Operation = admission.Update
		before := &unstructured.Unstructured{}
		if err := before.UnmarshalJSON(old); err == nil && before.GroupVersionKind() == q.Kind {
			q.OldObject = before
		} else {
			q.OldObject = object
		}
	}
	return q, ""
}

// says are the denials of a verdict.
func (w *policyWorker) says(v *check.Verdict) (all []PolicySaid) {
	for _, outcome := range []*policy.Outcome{v.Mutated, v.Validated} {
		for i := range outcome.Denials {
			d := &outcome.Denials[i]
			source := d.By.Source()
			if len(d.Sources) > 0 {
				source = d.Sources[0]
			}
			said := PolicySaid{Policy: review.Source(source), Message: d.Message}
			if said.Message == "" && d.Err != nil {
				said.Message = "it could not be evaluated: " + d.Err.Error()
			}
			if w.opts.Locate != nil {
				w.opts.Locate(&said.Policy)
			}
			all = append(all, said)
		}
	}
	return all
}

func keyOfFlip(f *PolicyFlip) string {
	parts := []string{f.Change, f.User, f.Verb, f.APIGroup, f.Resource, f.Subresource, f.Namespace}
	for i := range f.Says {
		p := &f.Says[i].Policy
		parts = append(parts, p.Kind, p.Namespace, p.Name, p.Part)
	}
	return fmt.Sprintf("%q", parts)
}

func (f *PolicyFlip) merge(other *PolicyFlip) {
	f.Requests += other.Requests
	if other.First.Before(f.First) {
		f.First = other.First
	}
	if cmp.Or(other.Last.Compare(f.Last), cmp.Compare(other.Event, f.Event)) > 0 {
		f.Last, f.Event, f.Says = other.Last, other.Event, other.Says
	}
	for _, name := range other.Names {
		f.Names = firstNames(f.Names, name)
	}
}

func (w *policyWorker) merge(other *policyWorker) {
	a, b := &w.report, &other.report
	a.Seen, a.Judged, a.Refused, a.Allowed = a.Seen+b.Seen, a.Judged+b.Judged, a.Refused+b.Refused, a.Allowed+b.Allowed
	a.SameOld, a.More = a.SameOld+b.SameOld, a.More+b.More
	for cause, n := range other.unjudged {
		w.unjudged[cause] += n
	}
	for key, f := range other.flips {
		if have := w.flips[key]; have != nil {
			have.merge(f)
		} else {
			w.flips[key] = f
		}
	}
}

func (w *policyWorker) finish() *PolicyReport {
	r := &w.report
	for _, cause := range slices.Sorted(maps.Keys(w.unjudged)) {
		r.Unjudged = append(r.Unjudged, PolicyUnjudged{cause, w.unjudged[cause]})
	}
	r.Flips = []PolicyFlip{}
	for _, key := range slices.SortedFunc(maps.Keys(w.flips), func(a, b string) int {
		return cmp.Or(-strings.Compare(w.flips[a].Change, w.flips[b].Change), strings.Compare(a, b))
	}) {
		if len(r.Flips) == w.opts.MaxFlips {
			r.More += w.flips[key].Requests
			continue
		}
		r.Flips = append(r.Flips, *w.flips[key])
	}
	assumed := append(w.opts.Current.Assumed(), w.opts.Proposed.Assumed()...)
	slices.Sort(assumed)
	r.Assumed = slices.Compact(assumed)
	return r
}
