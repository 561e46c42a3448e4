package follow

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/policy"
)

// Reporter tells of each policy what became of it: in the condition Accepted of its
// status, and, where it does not compile, as an Event. Several may run at once: they
// write the same, and what one has written the others find written.
type Reporter struct {
	follower *Follower
	client   dynamic.Interface
	mapper   meta.RESTMapper
	changed  chan struct{}
	now      func() time.Time

	// told are the problems that an Event has told of, by object: not told again
	// while they stay the same.
	told map[string]string
}

// NewReporter makes one for a Follower that does not run yet.
func NewReporter(f *Follower, client dynamic.Interface, mapper meta.RESTMapper) *Reporter {
	r := &Reporter{follower: f, client: client, mapper: mapper, changed: make(chan struct{}, 1), now: time.Now, told: map[string]string{}}
	f.OnChange(func(*State) {
		select {
		case r.changed <- struct{}{}:
		default:
		}
	})
	return r
}

// usesEvery is how often the uses of Exceptions are written.
const usesEvery = time.Minute

// Record starts a recorder of Events, which ends with ctx.
func Record(ctx context.Context, client kubernetes.Interface) (events.EventRecorder, error) {
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		return nil, fmt.Errorf("record events: %w", err)
	}
	context.AfterFunc(ctx, broadcaster.Shutdown)
	return broadcaster.NewRecorder(runtime.NewScheme(), reporterID), nil
}

// Run works until ctx ends. Events are not written where recorder is nil.
func (r *Reporter) Run(ctx context.Context, recorder events.EventRecorder) {
	tick := time.NewTicker(usesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
		case <-tick.C:
		}
		if state := r.follower.State(); state != nil {
			if err := r.report(ctx, state, recorder); err != nil && ctx.Err() == nil {
				klog.ErrorS(err, "The status of a policy is not written yet")
			}
		}
	}
}

func (r *Reporter) report(ctx context.Context, state *State, recorder events.EventRecorder) error {
	var first error
	there := make(map[string]bool, len(state.Objects))
	for _, o := range state.Objects {
		if o.Source.File != "" {
			continue
		}
		there[keyOf(o)] = true
		var wrong *policy.Problem
		for i := range state.Problems {
			if state.Problems[i].Source.Kind == o.Source.Kind && state.Problems[i].Source.Namespace == o.Source.Namespace && state.Problems[i].Source.Name == o.Source.Name {
				wrong = &state.Problems[i]
				break
			}
		}
		if err := r.one(ctx, state, o, wrong, recorder); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && first == nil {
			first = fmt.Errorf("%s: %w", o.Source, err)
		}
	}
	for key := range r.told {
		if !there[key] {
			delete(r.told, key)
		}
	}
	return first
}

// keyOf tells objects of all kinds apart.
func keyOf(o policy.Object) string {
	return o.GroupVersionKind().GroupKind().String() + "/" + o.GetNamespace() + "/" + o.GetName()
}

func (r *Reporter) one(ctx context.Context, state *State, o policy.Object, wrong *policy.Problem, recorder events.EventRecorder) error {
	key, text := keyOf(o), ""
	if wrong != nil {
		if text = wrong.Message; wrong.Hint != "" {
			text += ". " + wrong.Hint
		}
		if wrong.InForce {
			text += ". Its last good version stays in force"
		}
	}
	if text != r.told[key] {
		r.told[key] = text
		if text != "" && recorder != nil {
			recorder.Eventf(o.Unstructured, nil, "Warning", "PolicyInvalid", "Compile", "%s", clip(text, 1024))
		}
		if text != "" {
			klog.ErrorS(nil, "A policy does not compile", "policy", o.Source.String(), "problem", text)
		}
	}
	if wrong != nil && wrong.Foreign {
		return nil
	}
	condition := metav1.Condition{Type: "Accepted", Status: metav1.ConditionTrue, Reason: v1alpha1.ExceptionInForce, Message: "in force as it is written", ObservedGeneration: o.GetGeneration()}
	var used *metav1.Time
	if wrong != nil {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, v1alpha1.ExceptionInvalid, clip(text, 32<<10)
	} else if x := exceptionOf(state, o); x != nil {
		if x.Expired(r.now()) {
			condition.Status, condition.Reason = metav1.ConditionFalse, v1alpha1.ExceptionExpired
			condition.Message = "it ended at " + x.Spec.ExpiresAt.UTC().Format(time.RFC3339) + ", and counts for nothing"
		}
		if at := x.LastUsed(); !at.IsZero() {
			minute := metav1.NewTime(at.Truncate(time.Minute).UTC())
			used = &minute
		}
	}
	// The object that was compiled has the status of that time; what is compared with,
	// and written over, is the one of now.
	current := r.follower.current(o)
	if current == nil || current.GetUID() != o.GetUID() || current.GetGeneration() != o.GetGeneration() {
		return nil // it is gone, or about to be compiled anew
	}
	status, _, _ := unstructured.NestedMap(current.Object, "status")
	if status == nil {
		status = map[string]any{}
	}
	fresh := runtime.DeepCopyJSON(status)
	if o.GroupVersionKind().Group == v1alpha1.GroupName {
		conditionInto(fresh, condition)
		fresh["observedGeneration"] = o.GetGeneration()
		if o.GetKind() == builtinKind {
			fresh["policies"] = partsOf(state, o)
		}
		if used != nil {
			if last, _ := fresh["lastUsed"].(string); last < used.UTC().Format(time.RFC3339) {
				fresh["lastUsed"] = used.UTC().Format(time.RFC3339)
			}
		}
	} else {
		byPod(fresh, o.GetGeneration(), wrong, text)
	}
	if equality.Semantic.DeepEqual(status, fresh) {
		return nil
	}
	mapping, err := r.mapper.RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
	if err != nil {
		return err
	}
	client := dynamic.ResourceInterface(r.client.Resource(mapping.Resource))
	if o.GetNamespace() != "" {
		client = r.client.Resource(mapping.Resource).Namespace(o.GetNamespace())
	}
	changed := current.DeepCopy()
	changed.Object["status"] = fresh
	_, err = client.UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	return err
}

const builtinKind = "BuiltinPolicies"

// partsOf is how many policies an object has switched on.
func partsOf(state *State, o policy.Object) int64 {
	parts := map[string]bool{}
	for _, p := range state.Policies {
		if s := p.Source(); s.Kind == o.Source.Kind && s.Name == o.Source.Name {
			parts[s.Part] = true
		}
	}
	return int64(len(parts))
}

func exceptionOf(state *State, o policy.Object) *policy.Exception {
	if o.GroupVersionKind().GroupKind() != exceptionKind {
		return nil
	}
	all := state.Exceptions.All()
	if at := slices.IndexFunc(all, func(x *policy.Exception) bool { return x.Source == o.Source }); at >= 0 {
		return all[at]
	}
	return nil
}

// conditionInto puts a condition among those of a status.
func conditionInto(status map[string]any, c metav1.Condition) {
	var typed struct {
		Conditions []metav1.Condition `json:"conditions,omitempty"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(status, &typed); err != nil {
		typed.Conditions = nil
	}
	meta.SetStatusCondition(&typed.Conditions, c)
	if content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&typed); err == nil {
		status["conditions"] = content["conditions"]
	}
}

// reporterID is by what Gatekeeper's status lists this program among its pods.
const reporterID = "gatehouse"

// byPod puts what became of a policy where Gatekeeper's kinds have it:
// status.byPod[], one entry an enforcer.
func byPod(status map[string]any, generation int64, wrong *policy.Problem, text string) {
	entry := map[string]any{"id": reporterID, "observedGeneration": generation}
	if wrong != nil {
		entry["errors"] = []any{map[string]any{"code": "invalid", "message": clip(text, 4096)}}
		entry["enforced"] = wrong.InForce
	} else {
		entry["enforced"] = true
	}
	list, _ := status["byPod"].([]any)
	at := slices.IndexFunc(list, func(e any) bool {
		m, _ := e.(map[string]any)
		return m["id"] == reporterID
	})
	if at >= 0 {
		list[at] = entry
	} else {
		list = append(list, entry)
	}
	status["byPod"] = list
}

func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && text[n]&0xC0 == 0x80 { // in the middle of a character
		n--
	}
	return text[:n]
}
