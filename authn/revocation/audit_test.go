package revocation

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/sets"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/endpoints/filters"
	genericrequest "k8s.io/apiserver/pkg/endpoints/request"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// sink collects audit events.
type sink struct {
	mu     sync.Mutex
	events []*auditinternal.Event
}

func (s *sink) ProcessEvents(events ...*auditinternal.Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		s.events = append(s.events, e.DeepCopy())
	}
	return true
}

// serveAudited runs a request through the part of upstream's handler chain that
// authenticates and audits, in its order.
func serveAudited(auth authenticator.Request, req *http.Request) (*httptest.ResponseRecorder, []*auditinternal.Event) {
	s := &sink{}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	metav1.AddToGroupVersion(scheme, metav1.Unversioned)
	rules := policy.NewPolicyRuleEvaluator(&auditinternal.Policy{Rules: []auditinternal.PolicyRule{{Level: auditinternal.LevelMetadata}}})
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	handler = filters.WithAudit(handler, s, rules, nil)
	failed := filters.WithFailedAuthenticationAudit(filters.Unauthorized(serializer.NewCodecFactory(scheme)), s, rules)
	handler = filters.WithAuthentication(handler, auth, failed, nil, nil)
	handler = filters.WithRequestInfo(handler, &genericrequest.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")})
	handler = filters.WithAuditInit(handler)
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, req)
	return rec, s.events
}

func TestReasonIsInTheAuditEvent(t *testing.T) {
	reg := registryOf(t, revocation("ann-left", v1alpha1.RevocationSpec{
		Reason: "left the company", User: &v1alpha1.RevokedUser{Name: "ann", IssuedBefore: *at(noon)},
	}))
	for name, c := range map[string]struct {
		auth        authenticator.Request
		annotations map[string]string
	}{
		"revoked":    {wrap(t, as("ann"), reg), map[string]string{AnnotationRevoked: "Revocation/ann-left: left the company (the credential carries", AnnotationUser: "ann"}},
		"not synced": {wrap(t, as("ann"), NewRegistry(RegistryOptions{})), map[string]string{AnnotationRefused: "has not been read yet", AnnotationUser: "ann"}},
		"reserved":   {ReservedNames(as("system:apiserver")), map[string]string{AnnotationRefused: "the server's own", AnnotationUser: "system:apiserver"}},
	} {
		rec, events := serveAudited(c.auth, request("secret-token"))
		if rec.Code != http.StatusUnauthorized || len(events) != 1 {
			t.Fatalf("%s: status %d, %d events", name, rec.Code, len(events))
		}
		e := events[0]
		if e.Stage != auditinternal.StageResponseStarted || e.ResponseStatus.Code != 401 {
			t.Errorf("%s: stage %s, status %v", name, e.Stage, e.ResponseStatus)
		}
		for key, want := range c.annotations {
			if got := e.Annotations[key]; !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q, want %q", name, key, got, want)
			}
		}
		if strings.Contains(rec.Body.String(), "left the company") {
			t.Errorf("%s: the client is told the reason", name)
		}
	}
	rec, events := serveAudited(wrap(t, as("bob"), reg), request("secret-token"))
	if rec.Code != http.StatusOK || len(events[len(events)-1].Annotations) != 0 {
		t.Errorf("bob: status %d, annotations %v", rec.Code, events[len(events)-1].Annotations)
	}
}
