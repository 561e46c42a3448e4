package follow

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// Lookups keeps at hand what policies look up: a *cluster.Watched.
type Lookups interface {
	Keep(ctx, wait context.Context, kinds []schema.GroupVersionKind) error
}

// Options shape a Follower.
type Options struct {
	// Client reads the policies. Needed.
	Client dynamic.Interface
	// Engines compile them. Needed; the Follower has them to itself.
	Engines []policy.Engine
	// Lookups is told which kinds policies need. Default: nobody.
	Lookups Lookups
	// Served are kinds of policies that the API serves without a definition.
	Served []schema.GroupVersionResource
	// Policies are in force beside those of the cluster: those of files.
	Policies []policy.Object
	// Set shapes the Set; its Exceptions are those of the cluster.
	Set policy.Options
	// Settle is how long changes are awaited after one, to compile several at once.
	// Default: 50 ms.
	Settle time.Duration
}

// Follower keeps a Set equal to a cluster's policies.
type Follower struct {
	opts    Options
	changed chan struct{}
	state   atomic.Pointer[State]

	mu    sync.Mutex
	kinds map[schema.GroupVersionResource]*followed
	crds  cache.SharedIndexInformer

	told []func(*State) // called after each build, by its goroutine
}

// State is what became of the policies at one instant. It does not change.
type State struct {
	Set *policy.Set
	// Policies and Problems are those of all engines; Exceptions that do not compile
	// are among the Problems.
	Policies   []policy.Policy
	Problems   []policy.Problem
	Exceptions *policy.Exceptions
	// Objects are all that were read.
	Objects []policy.Object
}

type followed struct {
	informer cache.SharedIndexInformer
	synced   cache.InformerSynced
	stop     context.CancelFunc
}

var (
	definitions   = apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")
	exceptionKind = v1alpha1.SchemeGroupVersion.WithKind("Exception").GroupKind()
)

// New makes a Follower that has read nothing.
func New(opts Options) *Follower {
	if opts.Settle <= 0 {
		opts.Settle = 50 * time.Millisecond
	}
	return &Follower{opts: opts, changed: make(chan struct{}, 1), kinds: map[schema.GroupVersionResource]*followed{}}
}

// Set is the policies in force; nil until they have been read.
func (f *Follower) Set() *policy.Set {
	if s := f.state.Load(); s != nil {
		return s.Set
	}
	return nil
}

// State is what became of the policies; nil until they have been read.
func (f *Follower) State() *State { return f.state.Load() }

// HasSynced reports whether the policies have been read.
func (f *Follower) HasSynced() bool { return f.state.Load() != nil }

// OnChange has a function told of each new State. It is called before Run.
func (f *Follower) OnChange(tell func(*State)) { f.told = append(f.told, tell) }

// Run follows the cluster until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	f.crds = f.informer(definitions)
	if err := f.crds.SetTransform(outline); err != nil {
		klog.ErrorS(err, "Policies cannot be followed")
		return
	}
	registration, err := f.crds.AddEventHandler(f.signals())
	if err != nil {
		klog.ErrorS(err, "Policies cannot be followed")
		return
	}
	go f.crds.RunWithContext(ctx)
	for _, resource := range f.opts.Served {
		f.follow(ctx, resource)
	}
	if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return
	}
	f.signal()
	var unread time.Time // since when something that is followed has not been read
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.changed:
		}
		f.followDefined(ctx)
		pause := f.opts.Settle
		switch synced := f.synced(); {
		case synced:
			unread = time.Time{}
			f.build(ctx)
		case unread.IsZero():
			unread = time.Now()
			fallthrough
		default:
			// A kind is served a moment after its definition says so. What is in force
			// stays meanwhile; a kind that never comes holds the others up no longer.
			if f.HasSynced() && time.Since(unread) > mostUnread {
				f.build(ctx)
			} else {
				pause = min(pause, 10*time.Millisecond)
			}
			f.signal()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// mostUnread is how long a kind that cannot be read keeps changes of others waiting.
const mostUnread = 10 * time.Second

func (f *Follower) informer(resource schema.GroupVersionResource) cache.SharedIndexInformer {
	return dynamicinformer.NewFilteredDynamicInformer(f.opts.Client, resource, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
}

func (f *Follower) signal() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *Follower) signals() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { f.signal() }, DeleteFunc: func(any) { f.signal() },
		UpdateFunc: func(before, after any) {
			// A status that was written changes nothing.
			a, b := before.(*unstructured.Unstructured), after.(*unstructured.Unstructured)
			if a.GetGeneration() == 0 || a.GetGeneration() != b.GetGeneration() || a.GetUID() != b.GetUID() || a.GetKind() == "CustomResourceDefinition" ||
				!maps.Equal(a.GetAnnotations(), b.GetAnnotations()) || !maps.Equal(a.GetLabels(), b.GetLabels()) {
				f.signal()
			}
		},
	}
}

// outline keeps of a definition what says which kind it is, and whether it stands.
func outline(object any) (any, error) {
	u, ok := object.(*unstructured.Unstructured)
	if !ok || u.Object["kindDefined"] != nil {
		return object, nil // an informer may transform an object more than once
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, crd); err != nil {
		return nil, err
	}
	version := ""
	for _, v := range crd.Spec.Versions {
		if v.Served && (version == "" || v.Storage) {
			version = v.Name
		}
	}
	established := slices.ContainsFunc(crd.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
		return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
	})
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(),
		"metadata": map[string]any{"name": crd.Name, "uid": string(crd.UID), "resourceVersion": crd.ResourceVersion},
		"group":    crd.Spec.Group, "kindDefined": crd.Spec.Names.Kind, "plural": crd.Spec.Names.Plural,
		"version": version, "established": established,
	}}, nil
}

// followDefined follows exactly those of the defined kinds that an engine reads.
func (f *Follower) followDefined(ctx context.Context) {
	wanted := slices.Clone(f.opts.Served)
	for _, object := range f.crds.GetStore().List() {
		o := object.(*unstructured.Unstructured).Object
		text := func(field string) string { s, _ := o[field].(string); return s }
		kind := schema.GroupKind{Group: text("group"), Kind: text("kindDefined")}
		if established, _ := o["established"].(bool); established && text("version") != "" && f.reads(kind) {
			wanted = append(wanted, schema.GroupVersionResource{Group: kind.Group, Version: text("version"), Resource: text("plural")})
		}
	}
	for _, resource := range wanted {
		f.follow(ctx, resource)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for resource, of := range f.kinds {
		// Another version takes over once it has been read.
		next := slices.IndexFunc(wanted, func(w schema.GroupVersionResource) bool { return w.GroupResource() == resource.GroupResource() })
		if !slices.Contains(wanted, resource) && (next < 0 || f.kinds[wanted[next]].synced()) {
			of.stop()
			delete(f.kinds, resource)
		}
	}
}

func (f *Follower) reads(kind schema.GroupKind) bool {
	return kind == exceptionKind || slices.ContainsFunc(f.opts.Engines, func(e policy.Engine) bool { return e.Reads(kind) })
}

func (f *Follower) follow(ctx context.Context, resource schema.GroupVersionResource) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kinds[resource] != nil {
		return
	}
	informer := f.informer(resource)
	if err := informer.SetTransform(cluster.WithoutManagedFields); err != nil {
		klog.ErrorS(err, "Policies of a kind cannot be followed", "resource", resource.String())
		return
	}
	registration, err := informer.AddEventHandler(f.signals())
	if err != nil {
		klog.ErrorS(err, "Policies of a kind cannot be followed", "resource", resource.String())
		return
	}
	running, stop := context.WithCancel(ctx)
	f.kinds[resource] = &followed{informer, registration.HasSynced, stop}
	go informer.RunWithContext(running)
}

func (f *Follower) synced() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, of := range f.kinds {
		if !of.synced() {
			return false
		}
	}
	return true
}

// objects are all policies and exceptions there are, in the order of kind and name.
func (f *Follower) objects() []policy.Object {
	f.mu.Lock()
	all := slices.Clone(f.opts.Policies)
	for _, of := range f.kinds {
		for _, object := range of.informer.GetStore().List() {
			o := object.(*unstructured.Unstructured)
			all = append(all, policy.Object{Unstructured: o, Source: gate.Source{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}})
		}
	}
	f.mu.Unlock()
	slices.SortStableFunc(all, func(a, b policy.Object) int {
		return strings.Compare(a.GetAPIVersion()+"/"+a.GetKind()+"/"+a.GetNamespace()+"/"+a.GetName(), b.GetAPIVersion()+"/"+b.GetKind()+"/"+b.GetNamespace()+"/"+b.GetName())
	})
	return all
}

// current is an object that was read, as the watch has it now; nil where it is gone.
func (f *Follower) current(o policy.Object) *unstructured.Unstructured {
	key := o.GetName()
	if o.GetNamespace() != "" {
		key = o.GetNamespace() + "/" + key
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, of := range f.kinds {
		found, ok, err := of.informer.GetStore().GetByKey(key)
		if !ok || err != nil {
			continue
		}
		if u := found.(*unstructured.Unstructured); u.GroupVersionKind() == o.GroupVersionKind() {
			return u
		}
	}
	return nil
}

func (f *Follower) build(ctx context.Context) {
	state := &State{Objects: f.objects()}
	loaded, others := policy.Load(f.opts.Engines, state.Objects)
	state.Policies, state.Problems = loaded.Policies, loaded.Problems
	var problems []policy.Problem
	state.Exceptions, problems = policy.LoadExceptions(others, f.before())
	state.Problems = append(state.Problems, problems...)
	opts := f.opts.Set
	opts.Exceptions = state.Exceptions
	state.Set = policy.NewSet(state.Policies, opts)
	if f.opts.Lookups != nil {
		wait, cancel := context.WithTimeout(ctx, 10*time.Second)
		if err := f.opts.Lookups.Keep(ctx, wait, loaded.Needs); err != nil && ctx.Err() == nil {
			klog.ErrorS(err, "What policies look up is not at hand yet; it is asked of the API for each request")
		}
		cancel()
	}
	if ctx.Err() != nil {
		return
	}
	f.state.Store(state)
	for _, tell := range f.told {
		tell(state)
	}
}

func (f *Follower) before() *policy.Exceptions {
	if s := f.state.Load(); s != nil {
		return s.Exceptions
	}
	return nil
}
