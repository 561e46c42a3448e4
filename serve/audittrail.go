package serve

import (
	"errors"
	"fmt"
	"net/http"

	"k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit/queryapi"
	auditstore "github.com/gatehouse-io/gatehouse/audit/store"
	"github.com/gatehouse-io/gatehouse/audit/trail"
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
}

func (a *auditTrail) close() {
	if a.trail == nil {
		return
	}
	if err := a.trail.Close(); err != nil {
		klog.ErrorS(err, "The audit store is not closed in order; nothing that was acknowledged is lost")
	}
}

// join opens the trail and puts it behind the server: every event of the server goes to
// it, and it answers questions about them.
func (a *auditTrail) join(cfg *v1alpha1.ServeConfiguration, generic *genericapiserver.Config) (answers func(http.Handler) http.Handler, err error) {
	t, err := openTrail(cfg)
	if err != nil {
		return nil, err
	}
	a.trail = t
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
