package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/queryapi"
	auditstore "github.com/gatehouse-io/gatehouse/audit/store"
	"github.com/gatehouse-io/gatehouse/audit/trail"
	"github.com/gatehouse-io/gatehouse/authz/review"
	"github.com/gatehouse-io/gatehouse/detect/station"
	"github.com/gatehouse-io/gatehouse/internal/version"
)

// openTrail opens where audit events go, and is told by what is wrong with it.
func openTrail(cfg *v1alpha1.ServeConfiguration) (*trail.Trail, error) {
	t, err := trail.Open(trail.Options{Store: cfg.Audit.Store, OTLPEndpoint: cfg.Audit.OTLPEndpoint, Source: "serve", Version: version.Release})
	if err == nil {
		return t, nil
	}
	mend := fmt.Sprintf("mend %s (gatehouse audit repair --store %s sets aside what is damaged), or name another with audit.store.dataDir", cfg.Audit.Store.DataDir, cfg.Audit.Store.DataDir)
	if _, inUse := errors.AsType[*auditstore.InUseError](err); inUse {
		mend = "stop it first, or name another folder with audit.store.dataDir"
	}
	return nil, &StartError{Problem: err.Error(), Mend: mend}
}

// auditTrail is where events go, from the moment that the server joins it: one whose
// settings are refused has written nothing.
type auditTrail struct {
	trail *trail.Trail // nil before
	// detection looks at the events; nil where the settings say so.
	detection *station.Station
	detecting sync.WaitGroup
}

// detect begins to look at events when the server is ready, until ctx ends. What came
// before is looked at then.
func (a *auditTrail) detect(ctx context.Context, awaitReady func() bool) {
	if a.detection == nil {
		return
	}
	a.detecting.Go(func() {
		if awaitReady() {
			a.detection.Run(ctx)
		}
	})
}

// close comes after the end of what detect was given.
func (a *auditTrail) close() {
	a.detecting.Wait()
	if a.detection != nil {
		if err := a.detection.Close(); err != nil {
			klog.ErrorS(err, "The alerts are not closed in order")
		}
	}
	if a.trail == nil {
		return
	}
	if err := a.trail.Close(); err != nil {
		klog.ErrorS(err, "The audit store is not closed in order; nothing that was acknowledged is lost")
	}
}

// openDetection has the events looked at, where the settings do not say otherwise.
func (a *auditTrail) openDetection(cfg *v1alpha1.ServeConfiguration, generic *genericapiserver.Config, policy *audit.Policy, authz *authorizerChain) (err error) {
	o := station.Options{
		Settings: cfg.Detection, Reader: a.trail.Reader(), Policy: policy, Config: generic.LoopbackClientConfig,
		Cluster: cfg.Audit.Store.Cluster, MastersBypass: cfg.Authorization.SystemMastersBypass,
	}
	if authz.rbac != nil {
		o.Access = func(spec *v1alpha1.AccessListSpec) v1alpha1.AccessListStatus {
			return review.Access(authz.rbac, spec, authz.notAsked())
		}
	}
	if a.detection, err = station.Open(o); err != nil || a.detection == nil {
		if err != nil {
			err = detectionError(err)
		}
		return err
	}
	a.trail.Tap(a.detection.Take)
	return a.detection.Register(legacyregistry.Register, legacyregistry.CustomRegister)
}

// detectionError is one of the settings, with its place where it has one.
func detectionError(err error) error {
	if _, ok := errors.AsType[v1alpha1.FieldErrorList](err); ok {
		return err
	}
	return &StartError{Problem: "detection: " + err.Error(), Mend: "gatehouse serve --print-config shows what is in force; gatehouse detect test FILE tries rules"}
}

// join opens the trail and puts it behind the server: every event of the server goes to
// it, and it answers questions about them.
func (a *auditTrail) join(cfg *v1alpha1.ServeConfiguration, generic *genericapiserver.Config, policy *audit.Policy, authz *authorizerChain) (answers func(http.Handler) http.Handler, err error) {
	t, err := openTrail(cfg)
	if err != nil {
		return nil, err
	}
	a.trail = t
	if err := a.openDetection(cfg, generic, policy, authz); err != nil {
		return nil, err
	}
	generic.AuditBackend = t.Backend(generic.AuditBackend)
	if err := t.Register(legacyregistry.Register, legacyregistry.CustomRegister); err != nil {
		return nil, err
	}
	reader := t.Reader()
	if reader == nil {
		return func(next http.Handler) http.Handler { return next }, nil
	}
	api, err := queryapi.New(queryapi.Options{Reader: reader})
	if err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			info, ok := request.RequestInfoFrom(r.Context())
			if ok && info.IsResourceRequest && info.APIGroup == queryapi.ServeGroup && info.APIVersion == queryapi.Version && info.Resource == queryapi.Resource {
				api.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}
