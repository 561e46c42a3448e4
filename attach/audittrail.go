package attach

import (
	"context"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/queryapi"
	"github.com/gatehouse-io/gatehouse/audit/trail"
	"github.com/gatehouse-io/gatehouse/internal/version"
)

// auditPath is where an API server posts its events (--audit-webhook-config-file).
const auditPath = "/audit"

// openTrail opens the audit store, where the settings have one; nil where they have none.
func openTrail(o *v1alpha1.AttachAuditOptions) (*trail.Trail, error) {
	if o.Store.Disabled || o.Store.DataDir == "" {
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
