package guard

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/internal/kindwatch"
)

// Reporter writes into the status of each Guard what the authorizer made of it.
// Several may run at once: they write the same.
type Reporter struct {
	authorizer *Authorizer
	client     dynamic.ResourceInterface
	queue      workqueue.TypedRateLimitingInterface[string]
}

// NewReporter makes a reporter over the informer that the authorizer follows.
func NewReporter(a *Authorizer, client dynamic.ResourceInterface, informer kindwatch.Informer) (*Reporter, error) {
	r := &Reporter{a, client, workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())}
	look := func(object any) {
		if m, err := meta.Accessor(object); err == nil {
			// The authorizer's own handler may not have heard of it yet.
			r.queue.AddAfter(m.GetName(), 100*time.Millisecond)
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: look, UpdateFunc: func(_, object any) { look(object) }})
	if err != nil {
		return nil, fmt.Errorf("report on Guards: %w", err)
	}
	return r, nil
}

// Run works until ctx ends.
func (r *Reporter) Run(ctx context.Context) {
	defer utilruntime.HandleCrashWithContext(ctx)
	go func() {
		<-ctx.Done()
		r.queue.ShutDown()
	}()
	for {
		name, done := r.queue.Get()
		if done {
			return
		}
		if err := r.report(ctx, name); err != nil && ctx.Err() == nil {
			if !apierrors.IsConflict(err) {
				utilruntime.HandleErrorWithContext(ctx, err, "the status of a Guard is not written yet", "guard", name)
			}
			r.queue.AddRateLimited(name)
		} else {
			r.queue.Forget(name)
		}
		r.queue.Done(name)
	}
}

func (r *Reporter) report(ctx context.Context, name string) error {
	found, err := r.client.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	g := &v1alpha1.Guard{}
	wrong := runtime.DefaultUnstructuredConverter.FromUnstructured(found.Object, g)
	if wrong == nil {
		wrong = r.authorizer.Check(g)
	}
	status := *g.Status.DeepCopy()
	status.ObservedGeneration = found.GetGeneration()
	meta.SetStatusCondition(&status.Conditions, accepted(wrong, found.GetGeneration()))
	if equality.Semantic.DeepEqual(status, g.Status) {
		return nil
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&v1alpha1.Guard{Status: status})
	if err != nil {
		return err
	}
	changed := found.DeepCopy()
	if err := unstructured.SetNestedField(changed.Object, object["status"], "status"); err != nil {
		return err
	}
	_, err = r.client.UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	return err
}

// mostMessage is how long a condition's message may be.
const mostMessage = 32768

func accepted(wrong error, generation int64) metav1.Condition {
	c := metav1.Condition{
		Type: v1alpha1.GuardAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.GuardInForce,
		Message: "in force as it is written", ObservedGeneration: generation,
	}
	if wrong != nil {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.GuardInvalid, strings.ToValidUTF8(wrong.Error(), "\uFFFD")
		c.Message = strings.ToValidUTF8(c.Message[:min(len(c.Message), mostMessage)], "")
	}
	return c
}
