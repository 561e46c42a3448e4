package attach

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/queryapi"
	"github.com/gatehouse-io/gatehouse/audit/trail"
	"github.com/gatehouse-io/gatehouse/authz/rbac"
	authzreview "github.com/gatehouse-io/gatehouse/authz/review"
	"github.com/gatehouse-io/gatehouse/detect/station"
	"github.com/gatehouse-io/gatehouse/internal/version"
)

// auditPath is where an API server posts its events (--audit-webhook-config-file).
const auditPath = "/audit"

// openTrail opens the audit store, where the settings have one; nil where nobody wants
// events.
func openTrail(cfg *v1alpha1.AttachConfiguration) (*trail.Trail, error) {
	o := &cfg.Audit
	if (o.Store.Disabled || o.Store.DataDir == "") && (cfg.Detection.Disabled || cfg.Detection.DataDir == "") {
		return nil, nil
	}
	t, err := trail.Open(trail.Options{Store: o.Store, OTLPEndpoint: o.OTLPEndpoint, Source: "webhook", Version: version.Release})
	if err != nil {
		return nil, &StartError{Problem: err.Error(), Mend: "audit.store.dataDir is a folder of this replica alone; gatehouse audit repair --store DIR sets aside what is damaged"}
	}
	if err := t.Register(legacyregistry.Register, legacyregistry.CustomRegister); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return t, nil
}

// detectFrom has the events looked at, where the settings do not say otherwise, until ctx
// ends. What it returns is called after that.
func detectFrom(ctx context.Context, cfg *v1alpha1.AttachConfiguration, t *trail.Trail, config *rest.Config, index *rbac.Index) (closing func(), err error) {
	s, err := station.Open(station.Options{
		Settings: cfg.Detection, Reader: t.Reader(), Config: config, Cluster: cfg.Audit.Store.Cluster, MastersBypass: true,
		Access: func(spec *v1alpha1.AccessListSpec) v1alpha1.AccessListStatus {
			return authzreview.Access(index, spec, authzreview.Options{NotAsked: []string{"the cluster's other authorizers"}})
		},
	})
	if _, ok := errors.AsType[v1alpha1.FieldErrorList](err); ok {
		return nil, err
	}
	if err != nil {
		return nil, &StartError{Problem: "detection: " + err.Error(), Mend: "gatehouse attach --print-config shows what is in force; gatehouse detect test FILE tries rules"}
	}
	if s == nil {
		return func() {}, nil
	}
	t.Tap(s.Take)
	if err := s.Register(legacyregistry.Register, legacyregistry.CustomRegister); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	return func() {
		running.Wait()
		if err := s.Close(); err != nil {
			klog.ErrorS(err, "The alerts are not closed in order")
		}
	}, nil
}

// auditQuestions answers questions about the events. The questions are events
// themselves, recorded as the built-in policy has them.
func auditQuestions(ctx context.Context, t *trail.Trail, client kubernetes.Interface) (http.Handler, error) {
	answers, err := queryapi.New(queryapi.Options{Reader: t.Reader(), Group: queryapi.AttachGroup})
	if err != nil {
		return nil, err
	}
	policy, err := audit.NewPolicy(audit.DefaultPolicy)
	if err != nil {
		return nil, err
	}
	group := schema.GroupVersion{Group: queryapi.AttachGroup, Version: queryapi.Version}
	return newAuditAPI(ctx, client, answers, group, []metav1.APIResource{queryapi.APIResource()}, t.Backend(nil), policy)
}
