package respond

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
)

// Options of New. Settings is needed, and Objects in mode Enforce.
type Options struct {
	// Settings with their defaults.
	Settings v1alpha1.ResponseOptions
	// Objects is a client that may create, get, list, update and delete Revocations and
	// Guards.
	Objects dynamic.Interface
	// Own are names that this program has to the API server; see Responder.Own.
	Own []string
	// Clock. Default: the machine's.
	Clock clock.WithTicker
	// Log takes a line for each response. Default: nobody does.
	Log func(message string)
}

const (
	// mostWaiting is how many Findings wait for a response, and mostObjects how many
	// objects there are at a time.
	mostWaiting = 256
	mostObjects = 100
	// sweepEvery is how often it is looked for what has ended.
	sweepEvery = 15 * time.Second
	// callLimit bounds what is asked of the API server for one response.
	callLimit = 10 * time.Second
	// remembered is how long it is remembered what was done.
	remembered = time.Hour
)

// Responder does something about Findings. It is safe for concurrent use.
type Responder struct {
	o      Options
	create map[string]string // by rule
	jobs   chan job
	meters *meters

	mu sync.Mutex
	// done is what was done, by fingerprint.
	done map[string]*response
}

type job struct {
	finding detect.Finding
	create  string
	answer  *response
}

// response is what was done about a Finding. said may be read once known is closed.
type response struct {
	known chan struct{}
	said  string
	until time.Time
}

var resources = map[string]schema.GroupVersionResource{
	v1alpha1.RespondRevocation: v1alpha1.SchemeGroupVersion.WithResource("revocations"),
	v1alpha1.RespondGuard:      v1alpha1.SchemeGroupVersion.WithResource("guards"),
}

// New makes a Responder; nil where the settings say Off.
func New(o Options) (*Responder, error) {
	if o.Settings.Mode == "" || o.Settings.Mode == v1alpha1.ResponseOff {
		return nil, nil
	}
	if o.Objects == nil && o.Settings.Mode == v1alpha1.ResponseEnforce {
		return nil, errors.New("respond to findings: there is no client to make objects with")
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	r := &Responder{o: o, create: map[string]string{}, jobs: make(chan job, mostWaiting), done: map[string]*response{}, meters: newMeters()}
	for _, rule := range o.Settings.Rules {
		r.create[rule.Rule] = rule.Create
	}
	return r, nil
}

// Own adds a name that this program has to the API server. It is called before Run.
func (r *Responder) Own(name string) { r.o.Own = append(r.o.Own, name) }

// Respond does what the settings say about a Finding, unless that has been done and
// lasts. It never waits.
func (r *Responder) Respond(f *detect.Finding) {
	create, ok := r.create[f.Rule]
	if !ok {
		return
	}
	now := r.o.Clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if before := r.done[f.Fingerprint]; before != nil && now.Before(before.until) {
		return
	}
	for fingerprint, old := range r.done {
		if now.Sub(old.until) > remembered {
			delete(r.done, fingerprint)
		}
	}
	one := job{*f, create, &response{known: make(chan struct{}), until: now.Add(r.o.Settings.Duration.Duration)}}
	select {
	case r.jobs <- one:
		r.done[f.Fingerprint] = one.answer
	default:
		r.meters.count(create, resultFailed)
		r.o.Log(fmt.Sprintf("Response to finding %s of rule %s: left out, since too many wait", f.Fingerprint, f.Rule))
	}
}

// Of is what was done about a Finding, in a sentence, and empty where nothing was to be
// done. It waits until that is known, or ctx ends.
func (r *Responder) Of(ctx context.Context, fingerprint string) (said string, known bool) {
	r.mu.Lock()
	one := r.done[fingerprint]
	r.mu.Unlock()
	if one == nil {
		return "", true
	}
	select {
	case <-one.known:
		return one.said, true
	case <-ctx.Done():
		return "A response is under way.", false
	}
}

// Run responds, and deletes what has ended, until ctx ends.
func (r *Responder) Run(ctx context.Context) {
	sweep := r.o.Clock.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case one := <-r.jobs:
			said, result := r.do(ctx, one)
			r.meters.count(one.create, result)
			if result == resultFailed {
				r.mu.Lock()
				one.answer.until = r.o.Clock.Now().Add(time.Minute) // then it is tried again
				r.mu.Unlock()
			}
			one.answer.said = said
			close(one.answer.known)
			r.o.Log(fmt.Sprintf("Response to finding %s of rule %s: %s", one.finding.Fingerprint, one.finding.Rule, said))
		case <-sweep.C():
			if r.o.Settings.Mode == v1alpha1.ResponseEnforce {
				r.sweep(ctx)
			}
		}
	}
}

// do responds to one Finding, and says in a sentence what was done.
func (r *Responder) do(ctx context.Context, one job) (said, result string) {
	f, now := &one.finding, r.o.Clock.Now()
	who := clip(f.Subject.User, 256)
	if why := nobodyToStop(&f.Subject, r.o.Own, r.o.Settings.Privileged); why != "" {
		return "Nothing is done: " + clip(why, 300) + ".", resultProtected
	}
	if age := now.Sub(f.Last); age > r.o.Settings.Duration.Duration {
		return fmt.Sprintf("Nothing is done: it was %s ago.", age.Truncate(time.Second)), resultProtected
	}
	until := now.Add(r.o.Settings.Duration.Duration)
	object := plan(f, one.create, until)
	what := fmt.Sprintf("%s detect-%s, which stops %s until %s", one.create, f.Fingerprint, who, until.UTC().Format(time.RFC3339))
	if r.o.Settings.Mode == v1alpha1.ResponseDryRun {
		return "Dry run: it would have made " + what + ".", resultDryRun
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	made, err := r.put(ctx, one.create, object)
	switch {
	case err != nil:
		return fmt.Sprintf("It could not make %s: %s.", what, clip(err.Error(), 500)), resultFailed
	case made:
		return "It made " + what + ".", resultMade
	}
	return fmt.Sprintf("%s detect-%s is in force already.", one.create, f.Fingerprint), resultKept
}

// put puts an object in force; false says that it is already, by another replica or
// before a restart.
func (r *Responder) put(ctx context.Context, create string, object runtime.Object) (made bool, err error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return false, err
	}
	want, client := &unstructured.Unstructured{Object: content}, r.o.Objects.Resource(resources[create])
	unstructured.RemoveNestedField(want.Object, "status")
	have, err := client.Get(ctx, want.GetName(), metav1.GetOptions{})
	if err == nil {
		if have.GetLabels()[LabelManagedBy] != ManagedBy {
			return false, errors.New("somebody else's object has that name")
		}
		if end, known := expiry(have); known && r.o.Clock.Now().Before(end) {
			return false, nil
		}
		want.SetResourceVersion(have.GetResourceVersion())
		_, err = client.Update(ctx, want, metav1.UpdateOptions{})
		return err == nil, err
	}
	if !apierrors.IsNotFound(err) {
		return false, err
	}
	if n, err := r.objects(ctx, client); err != nil || n >= mostObjects {
		if err == nil {
			err = fmt.Errorf("there are %d already", n)
		}
		return false, err
	}
	_, err = client.Create(ctx, want, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return false, nil // another replica was first
	}
	return err == nil, err
}

func selector() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: LabelManagedBy + "=" + ManagedBy}
}

func (r *Responder) objects(ctx context.Context, client dynamic.ResourceInterface) (int, error) {
	list, err := client.List(ctx, selector())
	if err != nil {
		return 0, err
	}
	return len(list.Items), nil
}

// expiry is when an object that was made here ends.
func expiry(u *unstructured.Unstructured) (time.Time, bool) {
	end, err := time.Parse(time.RFC3339, u.GetAnnotations()[v1alpha1.AnnotationExpiresAt])
	return end, err == nil
}

// sweep deletes what has ended.
func (r *Responder) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	for create, resource := range resources {
		client := r.o.Objects.Resource(resource)
		list, err := client.List(ctx, selector())
		if err != nil {
			if ctx.Err() == nil {
				r.o.Log(fmt.Sprintf("What was made in response to findings is not deleted yet: %v", err))
			}
			continue
		}
		for i := range list.Items {
			one := &list.Items[i]
			end, known := expiry(one)
			if !known || r.o.Clock.Now().Before(end) || !strings.HasPrefix(one.GetName(), "detect-") {
				continue
			}
			uid, version := one.GetUID(), one.GetResourceVersion()
			err := client.Delete(ctx, one.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
			switch {
			case err == nil:
				r.o.Log(fmt.Sprintf("%s %s has ended and is deleted", create, one.GetName()))
			case !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && ctx.Err() == nil:
				r.o.Log(fmt.Sprintf("%s %s has ended and is not deleted yet: %v", create, one.GetName(), err))
			}
		}
	}
}
