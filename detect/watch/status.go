package watch

import (
	"context"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// reporter writes into the status of each object what became of it. Several processes may
// do so: conditions are the same for all, times go forward only, and counts are added up.
type reporter struct {
	w *Watcher
	// rules and mutes are what the informers hold; nil where there are none.
	rules, mutes cache.Store
	// counted is how many changes kept quiet by a Mute have been written.
	counted map[string]int64
	// due says that something could not be written.
	due bool
}

func newReporter(w *Watcher) *reporter { return &reporter{w: w, counted: map[string]int64{}} }

func (r *reporter) report(ctx context.Context) {
	if r.rules == nil {
		return
	}
	r.due = false
	for _, object := range r.rules.List() {
		rule, u := typed[v1alpha1.DetectionRule](object)
		if u == nil {
			continue
		}
		status := v1alpha1.DetectionRuleStatus{}
		if rule != nil {
			status = rule.Status
		}
		r.write(ctx, ruleResource, u, status, r.ruleStatus(u, *status.DeepCopy()))
	}
	muted := r.w.state.Stats().Muted
	for _, object := range r.mutes.List() {
		mute, u := typed[v1alpha1.Mute](object)
		if u == nil {
			continue
		}
		if mute == nil {
			mute = &v1alpha1.Mute{}
		}
		name := u.GetName()
		if r.write(ctx, muteResource, u, mute.Status, r.muteStatus(u, mute, max(0, muted[name]-r.counted[name]))) {
			r.counted[name] = muted[name]
		}
	}
}

func (r *reporter) ruleStatus(u *unstructured.Unstructured, status v1alpha1.DetectionRuleStatus) v1alpha1.DetectionRuleStatus {
	b := r.w.rules
	b.mu.Lock()
	one := b.rules[u.GetName()]
	b.mu.Unlock()
	if one == nil || one.generation != 0 && one.generation != u.GetGeneration() {
		return status // it is about to be compiled
	}
	status.ObservedGeneration = u.GetGeneration()
	accepted := metav1.Condition{Type: v1alpha1.DetectionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.DetectionInForce, Message: "in force as it is written"}
	if one.problem != "" {
		accepted.Status, accepted.Reason, accepted.Message = metav1.ConditionFalse, v1alpha1.DetectionInvalid, one.problem
	}
	set(&status.Conditions, accepted, u.GetGeneration())
	sighted := metav1.Condition{
		Type: v1alpha1.DetectionSighted, Status: metav1.ConditionUnknown, Reason: "PolicyUnknown",
		Message: "the audit policy is that of another server: gatehouse detect coverage --audit-policy FILE tells",
	}
	if c, known := b.sightOf(u.GetName()); known {
		sighted.Status, sighted.Reason, sighted.Message = metav1.ConditionFalse, "", ""
		if sighted.Reason, sighted.Message = c.Condition(); sighted.Reason == v1alpha1.DetectionSees {
			sighted.Status = metav1.ConditionTrue
		}
	} else if b.o.Policy != nil {
		sighted.Reason, sighted.Message = "NotInForce", "only of a rule in force is it known what it sees"
	}
	set(&status.Conditions, sighted, u.GetGeneration())
	if at := r.w.lastFired(u.GetName()); !at.IsZero() {
		status.LastFired = later(status.LastFired, at)
	}
	return status
}

func (r *reporter) muteStatus(u *unstructured.Unstructured, mute *v1alpha1.Mute, more int64) v1alpha1.MuteStatus {
	status := *mute.Status.DeepCopy()
	b := r.w.rules
	b.mu.Lock()
	one := b.mute[u.GetName()]
	b.mu.Unlock()
	if one == nil {
		return status
	}
	status.ObservedGeneration = u.GetGeneration()
	c := metav1.Condition{Type: v1alpha1.MuteAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.MuteInForce, Message: "in force as it is written"}
	now := r.w.o.Clock.Now()
	switch end := mute.Spec.ExpiresAt.Time; {
	case one.problem != "":
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.MuteInvalid, one.problem
	case !now.Before(end):
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.MuteExpired, "it ended at "+end.UTC().Format(time.RFC3339)+", and counts for nothing"
	}
	set(&status.Conditions, c, u.GetGeneration())
	if more > 0 {
		status.Muted += more
		status.LastUsed = later(status.LastUsed, now)
	}
	return status
}

// maxMessage is how long the message of a condition may be.
const maxMessage = 32768

func set(to *[]metav1.Condition, c metav1.Condition, generation int64) {
	c.ObservedGeneration = generation
	c.Message = strings.ToValidUTF8(c.Message, "\uFFFD")
	c.Message = strings.ToValidUTF8(c.Message[:min(len(c.Message), maxMessage)], "")
	meta.SetStatusCondition(to, c)
}

// later is the later of two times, to the minute.
func later(before *metav1.Time, at time.Time) *metav1.Time {
	minute := metav1.NewTime(at.UTC().Truncate(time.Minute))
	if before != nil && !minute.After(before.Time) {
		return before
	}
	return &minute
}

// write writes a status where it is another, and reports whether it stands written.
func (r *reporter) write(ctx context.Context, resource schema.GroupVersionResource, u *unstructured.Unstructured, before, after any) bool {
	if equality.Semantic.DeepEqual(before, after) {
		return true
	}
	status, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&struct {
		Status any `json:"status"`
	}{after})
	if err == nil {
		changed := u.DeepCopy()
		changed.Object["status"] = status["status"]
		_, err = r.w.o.Objects.Resource(resource).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	}
	switch {
	case err == nil:
		return true
	case apierrors.IsNotFound(err) || ctx.Err() != nil:
		return false
	}
	r.due = true // another has written it, or the server is away
	if !apierrors.IsConflict(err) {
		r.w.logf("The status of %s %s is not written yet: %v", resource.Resource, u.GetName(), err)
	}
	return false
}
