package grant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	rbacinformers "k8s.io/client-go/informers/rbac/v1"
	"k8s.io/client-go/kubernetes"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// Options shape a Controller. The zero value is ready.
type Options struct {
	// Clock says when a grant has ended. Default: the system's.
	Clock clock.WithTicker
	// Name is what Events are reported by. Default: gatehouse-grants.
	Name string
}

// Controller deletes grants that have ended.
type Controller struct {
	opts     Options
	client   kubernetes.Interface
	bindings rbaclisters.RoleBindingLister
	clusters rbaclisters.ClusterRoleBindingLister
	synced   []cache.InformerSynced
	queue    workqueue.TypedRateLimitingInterface[key]
}

// key is a binding; of a ClusterRoleBinding the namespace is empty.
type key struct{ namespace, name string }

// recheck bounds how long a grant is waited for at a time, so that a clock that is
// set forward is noticed.
const recheck = time.Minute

// New makes a controller over informers, which the caller starts.
func New(client kubernetes.Interface, from rbacinformers.Interface, opts Options) (*Controller, error) {
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	if opts.Name == "" {
		opts.Name = "gatehouse-grants"
	}
	c := &Controller{
		opts: opts, client: client, bindings: from.RoleBindings().Lister(), clusters: from.ClusterRoleBindings().Lister(),
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(workqueue.DefaultTypedControllerRateLimiter[key](),
			workqueue.TypedRateLimitingQueueConfig[key]{Clock: opts.Clock}),
	}
	for _, informer := range []cache.SharedIndexInformer{from.RoleBindings().Informer(), from.ClusterRoleBindings().Informer()} {
		registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    c.look,
			UpdateFunc: func(_, object any) { c.look(object) },
		})
		if err != nil {
			return nil, fmt.Errorf("watch bindings: %w", err)
		}
		c.synced = append(c.synced, registration.HasSynced)
	}
	return c, nil
}

func (c *Controller) look(object any) {
	o, ok := object.(metav1.Object)
	if !ok {
		return
	}
	if _, ends := o.GetAnnotations()[v1alpha1.AnnotationExpiresAt]; ends {
		c.queue.Add(key{o.GetNamespace(), o.GetName()})
	}
}

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	defer utilruntime.HandleCrashWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), c.synced...) {
		return
	}
	go func() {
		<-ctx.Done()
		c.queue.ShutDown()
	}()
	for {
		k, done := c.queue.Get()
		if done {
			return
		}
		after, err := c.judge(ctx, k)
		switch {
		case err != nil && ctx.Err() == nil:
			utilruntime.HandleErrorWithContext(ctx, err, "an ended grant is not taken away yet", "namespace", k.namespace, "name", k.name)
			c.queue.AddRateLimited(k)
		default:
			c.queue.Forget(k)
			if after > 0 {
				c.queue.AddAfter(k, min(after, recheck))
			}
		}
		c.queue.Done(k)
	}
}

// judge deletes a binding that has ended, or says how long it has still to go.
func (c *Controller) judge(ctx context.Context, k key) (after time.Duration, err error) {
	meta, kind, err := c.find(k)
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	text, ends := meta.Annotations[v1alpha1.AnnotationExpiresAt]
	if !ends {
		return 0, nil
	}
	end, err := time.Parse(time.RFC3339, text)
	if err != nil {
		c.tell(ctx, meta, kind, corev1.EventTypeWarning, "GrantUnreadable",
			fmt.Sprintf("annotation %s is no RFC 3339 time, such as 2026-01-31T12:00:00Z: the binding counts for nothing where Gatehouse decides, and for good where it does not", v1alpha1.AnnotationExpiresAt))
		return 0, nil
	}
	if after = end.Sub(c.opts.Clock.Now()); after > 0 {
		return after, nil
	}
	judged := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &meta.UID, ResourceVersion: &meta.ResourceVersion}}
	if k.namespace == "" {
		err = c.client.RbacV1().ClusterRoleBindings().Delete(ctx, k.name, judged)
	} else {
		err = c.client.RbacV1().RoleBindings(k.namespace).Delete(ctx, k.name, judged)
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return 0, nil // gone, or newer: then the informer tells
	}
	if err != nil {
		return 0, fmt.Errorf("delete %s: %w", kind, err)
	}
	note := fmt.Sprintf("the grant ended at %s and is taken away", end.UTC().Format(time.RFC3339))
	if reason := meta.Annotations[v1alpha1.AnnotationReason]; reason != "" {
		note += "; it was for: " + reason
	}
	c.tell(ctx, meta, kind, corev1.EventTypeNormal, "GrantExpired", note)
	return 0, nil
}

func (c *Controller) find(k key) (*metav1.ObjectMeta, string, error) {
	if k.namespace == "" {
		b, err := c.clusters.Get(k.name)
		if err != nil {
			return nil, "", err
		}
		return &b.ObjectMeta, "ClusterRoleBinding", nil
	}
	b, err := c.bindings.RoleBindings(k.namespace).Get(k.name)
	if err != nil {
		return nil, "", err
	}
	return &b.ObjectMeta, "RoleBinding", nil
}

// mostNote is how much of a note upstream's validation allows.
const mostNote = 1024

// tell writes an Event about a binding. One that is lost loses no access and gives
// none.
func (c *Controller) tell(ctx context.Context, meta *metav1.ObjectMeta, kind, level, reason, note string) {
	if len(note) > mostNote {
		note = strings.ToValidUTF8(note[:mostNote], "")
	}
	namespace := meta.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	now := c.opts.Clock.Now()
	event := &eventsv1.Event{
		// The version is in the name, so that each is reported once.
		ObjectMeta:          metav1.ObjectMeta{Name: fmt.Sprintf("grant.%s.%s", meta.UID, meta.ResourceVersion), Namespace: namespace},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: "gatehouse.io/grant-controller", ReportingInstance: c.opts.Name,
		Action: "Expire", Reason: reason, Type: level, Note: note,
		Regarding: corev1.ObjectReference{
			APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: kind,
			Namespace: meta.Namespace, Name: meta.Name, UID: meta.UID, ResourceVersion: meta.ResourceVersion,
		},
	}
	_, err := c.client.EventsV1().Events(namespace).Create(ctx, event, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) && !errors.Is(err, context.Canceled) {
		utilruntime.HandleErrorWithContext(ctx, err, "an Event about a grant is not written", "namespace", meta.Namespace, "name", meta.Name)
	}
}
