package station

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/metrics"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect/alert"
	"github.com/gatehouse-io/gatehouse/detect/alert/sink"
	"github.com/gatehouse-io/gatehouse/detect/respond"
	"github.com/gatehouse-io/gatehouse/detect/watch"
)

// Options of Open. Settings and Config are needed.
type Options struct {
	// Settings with their defaults.
	Settings v1alpha1.DetectionOptions
	// Reader has the events that were kept; nil where there is no store.
	Reader audit.Reader
	// Policy is the audit policy in force; nil where it is that of another server.
	Policy *audit.Policy
	// Config leads to the API server.
	Config *rest.Config
	// Access is what an identity can do; nil where that is not known.
	Access func(spec *v1alpha1.AccessListSpec) v1alpha1.AccessListStatus
	// MastersBypass says that members of system:masters may do everything, whatever
	// Access says.
	MastersBypass bool
	// Cluster is what alerts call it.
	Cluster string
}

// Station is detection, opened. It is safe for concurrent use.
type Station struct {
	o         Options
	watcher   *watch.Watcher
	alerts    *alert.Dispatcher
	responder *respond.Responder // nil where nothing is done
	client    kubernetes.Interface
}

// Open reads what the settings name; nil where they say that there is no detection.
func Open(o Options) (*Station, error) {
	c := &o.Settings
	if c.Disabled || c.DataDir == "" {
		return nil, nil
	}
	config := rest.AddUserAgent(rest.CopyConfig(o.Config), "gatehouse-detect")
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	s := &Station{o: o}
	if s.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	log := func(message string) { klog.Warning("Detection: " + message) }
	w := watch.Options{Dir: c.DataDir, Reader: o.Reader, Builtin: *c.Rules, RulesDir: c.RulesDir, Objects: objects, Policy: o.Policy, Reach: s.reach, Log: log}
	if s.responder, err = respond.New(respond.Options{Settings: c.Response, Objects: objects, Log: log}); err != nil {
		return nil, err
	}
	if s.responder != nil {
		w.Respond = s.responder
	}
	if s.watcher, err = watch.New(w); err != nil {
		return nil, err
	}
	sinks, err := sink.New(sink.Options{Alerts: c.Alerts, Events: s.client.CoreV1()})
	if err != nil {
		return nil, err
	}
	a := &c.Alerts
	s.alerts, err = alert.Open(alert.Options{
		Dir: filepath.Join(c.DataDir, "alerts"), Sinks: sinks, Enrich: s.watcher.Enrich, Cluster: o.Cluster, RunbookBaseURL: c.RunbookBaseURL,
		GroupWait: a.GroupWait.Duration, GroupInterval: a.GroupInterval.Duration, RepeatInterval: a.RepeatInterval.Duration,
		PerMinute: int(a.RatePerMinute), QueueSize: int(a.QueueSize), Log: log,
	})
	return s, err
}

// Take takes events that have been kept, and never waits.
func (s *Station) Take(events []*audit.Event) { s.watcher.Take(events) }

// Register registers the metrics, once, with a registry such as legacyregistry.
func (s *Station) Register(one func(metrics.Registerable) error, collector func(metrics.StableCollector) error) error {
	errs := []error{s.watcher.Register(one, collector), s.alerts.Register(collector)}
	if s.responder != nil {
		errs = append(errs, s.responder.Register(one))
	}
	return errors.Join(errs...)
}

// Run judges, tells and responds until ctx ends. It is called once at most, when the API
// server answers.
func (s *Station) Run(ctx context.Context) {
	// Who tells goes on while what rules remember is saved.
	telling, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	all.Go(func() { s.alerts.Run(telling) })
	if s.responder != nil {
		all.Go(func() {
			if s.learnOwn(ctx) {
				s.responder.Run(ctx)
			}
		})
	}
	if err := s.watcher.Run(ctx, s.alerts); err != nil && ctx.Err() == nil {
		klog.ErrorS(err, "Detection does not run")
	}
	stop()
	all.Wait()
}

// learnOwn finds out by which name the API server knows this program, so that it does not
// stop itself; false where ctx ends before.
func (s *Station) learnOwn(ctx context.Context) bool {
	for said := false; ; said = true {
		review, err := s.client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err == nil {
			s.responder.Own(review.Status.UserInfo.Username)
			return true
		}
		if !said && ctx.Err() == nil {
			klog.ErrorS(err, "Nothing is done about findings until the API server tells by which name it knows this program")
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(5 * time.Second):
		}
	}
}

// Close closes the queues. It is called when Run has returned, or was never called.
func (s *Station) Close() error { return s.alerts.Close() }
