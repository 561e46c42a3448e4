package scan

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/follow"
)

// Resource is one that a cluster serves.
type Resource struct {
	schema.GroupVersionResource
	Kind schema.GroupVersionKind
	// Namespaced says that each object is in a namespace.
	Namespaced bool
}

// Options shape a Scanner.
type Options struct {
	// Source reads the objects. Default: FromClient of Client.
	Source Source
	// Client is needed where there is no Source.
	Client dynamic.Interface
	// Policies are those in force; objects are judged by all of them. Needed. None
	// runs yet.
	Policies []*follow.Follower
	// Cluster is what policies look things up in. Needed.
	Cluster policy.Cluster
	// Resources are those that the cluster serves; an error may come with some of
	// them. Needed; Served makes one.
	Resources func() ([]Resource, error)
	// Namespaces tells of changed labels. Needed.
	Namespaces coreinformers.NamespaceInformer
	// Leave says which resources no policy judges. Default: none.
	Leave func(schema.GroupResource) bool
	// Authorizer is that of the requests. Default: none.
	Authorizer authorizer.UnconditionalAuthorizer
	// Objects knows the Go types that the Source's objects are of; nobody is asked of
	// those that are unstructured. Default: none.
	Objects admission.ObjectInterfaces
	// Rate is how many objects are judged in a second, at most. Default: 1000.
	Rate float64
	// PageSize is how many objects are asked for at once. Default: 500.
	PageSize int64
	// Refresh is how often the cluster is asked for kinds that are new in it.
	// Default: one minute.
	Refresh time.Duration
	// Lookups is how often, at most, objects are judged again because what policies
	// look up has changed. Default: 30 seconds.
	Lookups time.Duration
	// Clock is the clock. Default: the real one.
	Clock clock.WithTicker
}

// Scanner judges existing objects.
type Scanner struct {
	opts    Options
	limit   *rate.Limiter
	rests   rests
	reports *Reports
	sets    func() []*policy.Set // those in force

	changed chan struct{} // one element: something below has changed
	mu      sync.Mutex    // over lookups and running
	lookups map[schema.GroupVersionKind]bool
	running map[schema.GroupVersionResource]*kind

	// Of the goroutine of Run: what the policies were when triggers were last made.
	states []*follow.State
	stated []map[gate.Source]stated

	counts
	texts  texts
	hashes *hashes
	said   atomic.Bool // that a first scan has ended
}

// New makes a Scanner that has judged nothing.
func New(opts Options) (*Scanner, error) {
	if opts.Source == nil && opts.Client == nil || len(opts.Policies) == 0 || opts.Cluster == nil || opts.Resources == nil || opts.Namespaces == nil {
		return nil, errors.New("scan: options Source or Client, Policies, Cluster, Resources and Namespaces are needed")
	}
	if opts.Source == nil {
		opts.Source = FromClient(opts.Client)
	}
	if opts.Rate <= 0 {
		opts.Rate = 1000
	}
	if opts.PageSize <= 0 {
		opts.PageSize = 500
	}
	if opts.Refresh <= 0 {
		opts.Refresh = time.Minute
	}
	if opts.Lookups <= 0 {
		opts.Lookups = 30 * time.Second
	}
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	s := &Scanner{
		opts: opts, hashes: newHashes(), limit: rate.NewLimiter(rate.Limit(opts.Rate), max(1, int(opts.Rate/20))),
		// Versions go on rising over a restart: fewer than a million changes come in a second.
		reports: NewReports(uint64(opts.Clock.Now().UnixMicro())),
		changed: make(chan struct{}, 1), lookups: map[schema.GroupVersionKind]bool{}, running: map[schema.GroupVersionResource]*kind{},
		states: make([]*follow.State, len(opts.Policies)), stated: make([]map[gate.Source]stated, len(opts.Policies)),
	}
	s.sets = func() (all []*policy.Set) {
		for _, f := range opts.Policies {
			if set := f.Set(); set != nil {
				all = append(all, set)
			}
		}
		return all
	}
	for _, f := range opts.Policies {
		f.OnChange(func(*follow.State) { s.signal() })
	}
	return s, nil
}

// Reports are what there is to say of objects.
func (s *Scanner) Reports() *Reports { return s.reports }

// LookedUp tells that an object of a kind that policies look up has changed.
func (s *Scanner) LookedUp(kind schema.GroupVersionKind) {
	s.mu.Lock()
	s.lookups[kind] = true
	s.mu.Unlock()
	s.signal()
}

func (s *Scanner) signal() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// await waits until another object may be judged. What has changed has waited for its
// share already, where it could.
func (s *Scanner) await(ctx context.Context, share float64) error {
	now := s.opts.Clock.Now()
	wait := s.limit.ReserveN(now, 1).DelayFrom(now)
	if share == listedShare {
		wait = max(wait, s.rests.left(now))
	}
	return s.sleep(ctx, wait)
}

func (s *Scanner) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := s.opts.Clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C():
		return nil
	}
}

// Run judges until ctx ends.
func (s *Scanner) Run(ctx context.Context) {
	registration, err := s.opts.Namespaces.Informer().AddEventHandler(s.namespaceChanges())
	if err != nil {
		klog.ErrorS(err, "Existing objects are not judged")
		return
	}
	defer func() { _ = s.opts.Namespaces.Informer().RemoveEventHandler(registration) }()
	synced := []cache.InformerSynced{registration.HasSynced}
	for _, f := range s.opts.Policies {
		synced = append(synced, f.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return
	}
	defer s.stopAll()
	refresh := s.opts.Clock.NewTicker(s.opts.Refresh)
	defer refresh.Stop()
	var expiry, lookups clock.Timer
	stopped := func(t clock.Timer) {
		if t != nil {
			t.Stop()
		}
	}
	defer func() { stopped(expiry); stopped(lookups) }()
	due := func(t clock.Timer) <-chan time.Time {
		if t == nil {
			return nil
		}
		return t.C()
	}
	find := true
	for {
		if s.policiesChanged() {
			find = true
			stopped(expiry)
			expiry = s.nextExpiry()
		}
		if find {
			s.findKinds(ctx)
			find = false
		}
		s.mu.Lock()
		if len(s.lookups) > 0 && lookups == nil {
			lookups = s.opts.Clock.NewTimer(s.opts.Lookups)
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		case <-refresh.C():
			find = true
		case <-due(expiry):
			s.pullAll(trigger{reason: Exception, reported: true})
			expiry = s.nextExpiry()
		case <-due(lookups):
			lookups = nil
			s.mu.Lock()
			kinds := s.lookups
			s.lookups = map[schema.GroupVersionKind]bool{}
			s.mu.Unlock()
			if t := lookingUp(s.states, kinds); t != nil {
				s.pullAll(*t)
			}
		}
	}
}

// policiesChanged makes triggers of what has changed in the policies.
func (s *Scanner) policiesChanged() bool {
	any := false
	for i, f := range s.opts.Policies {
		state := f.State()
		if state == s.states[i] {
			continue
		}
		any = true
		is := s.hashes.statedBy(state, s.stated[i])
		triggers := changes(s.states[i], state, s.stated[i], is)
		s.states[i], s.stated[i] = state, is
		for _, t := range triggers {
			s.pullAll(t)
		}
	}
	return any
}

// nextExpiry is a timer for when the next Exception ends; nil for never.
func (s *Scanner) nextExpiry() clock.Timer {
	now := s.opts.Clock.Now()
	var next time.Time
	for _, state := range s.states {
		for _, x := range state.Exceptions.All() {
			if at := x.Spec.ExpiresAt.Time; at.After(now) && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	if next.IsZero() {
		return nil
	}
	return s.opts.Clock.NewTimer(next.Sub(now))
}

func (s *Scanner) pullAll(t trigger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.running {
		if t.namespace != "" && !k.resource.Namespaced {
			continue
		}
		if t.touched == nil || t.touched.Judges(k.resource.Kind, k.resource.GroupVersionResource) {
			k.pull(t)
		}
	}
}

// unjudged change all the time and are nobody's will.
var unjudged = []schema.GroupResource{{Resource: "events"}, {Group: "events.k8s.io", Resource: "events"}, {Group: "coordination.k8s.io", Resource: "leases"}}

// findKinds judges exactly the kinds that are served and a validator can match.
func (s *Scanner) findKinds(ctx context.Context) {
	resources, err := s.opts.Resources()
	if err != nil {
		klog.V(2).InfoS("Not all resources of the cluster are known; those that are judged are still", "err", err)
	}
	wanted := map[schema.GroupVersionResource]Resource{}
	for _, r := range resources {
		if slices.Contains(unjudged, r.GroupResource()) || s.opts.Leave != nil && s.opts.Leave(r.GroupResource()) {
			continue
		}
		for _, state := range s.states {
			if state.Set.Judges(r.Kind, r.GroupVersionResource) {
				wanted[r.GroupVersionResource] = r
			}
		}
	}
	var ended []*kind
	s.mu.Lock()
	for of, k := range s.running {
		_, still := wanted[of]
		// What is not told of in an incomplete answer may be there all the same, unless
		// no policy wants it.
		if !still && (err == nil || !slices.ContainsFunc(s.states, func(state *follow.State) bool { return state.Set.Judges(k.resource.Kind, of) })) {
			k.stop()
			ended = append(ended, k)
			delete(s.running, of)
		}
	}
	s.mu.Unlock()
	for _, k := range ended {
		<-k.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for of, r := range wanted {
		if s.running[of] == nil {
			s.running[of] = s.newKind(ctx, r)
		}
	}
	s.found.Store(true)
}

func (s *Scanner) stopAll() {
	s.mu.Lock()
	all := s.running
	s.running = map[schema.GroupVersionResource]*kind{}
	s.mu.Unlock()
	for _, k := range all {
		k.stop()
		<-k.done
	}
}

func (s *Scanner) namespaceChanges() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, after any) {
			a, b := before.(*corev1.Namespace), after.(*corev1.Namespace)
			if !equality.Semantic.DeepEqual(a.Labels, b.Labels) || !equality.Semantic.DeepEqual(a.Annotations, b.Annotations) ||
				(a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) {
				s.pullAll(trigger{reason: Namespace, namespace: b.Name})
			}
		},
	}
}

func (s *Scanner) terminating(namespace string) bool {
	n, err := s.opts.Namespaces.Lister().Get(namespace)
	return err == nil && n.DeletionTimestamp != nil
}

// Served are the resources that can be listed and watched, each in the version that
// the cluster prefers.
func Served(client discovery.DiscoveryInterface) func() ([]Resource, error) {
	return func() ([]Resource, error) {
		lists, err := discovery.ServerPreferredResources(client)
		var all []Resource
		for _, list := range lists {
			gv, parseErr := schema.ParseGroupVersion(list.GroupVersion)
			if parseErr != nil {
				continue
			}
			for _, r := range list.APIResources {
				if slices.Contains(r.Verbs, "list") && slices.Contains(r.Verbs, "watch") && !strings.Contains(r.Name, "/") {
					all = append(all, Resource{gv.WithResource(r.Name), gv.WithKind(r.Kind), r.Namespaced})
				}
			}
		}
		return all, err
	}
}
