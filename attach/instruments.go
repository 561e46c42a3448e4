package attach

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/gatehouse-io/gatehouse/authn/revocation"
	"github.com/gatehouse-io/gatehouse/authz/guard"
	"github.com/gatehouse-io/gatehouse/authz/rbac"
	"github.com/gatehouse-io/gatehouse/telemetry/meter"
)

// reloads are what became of changed settings files, of the one server that a process has.
var reloads meter.Reloads

// What files are called in reloads.
const (
	tokenFile     = "token file"
	issuersFile   = "authentication configuration"
	clientCAsFile = "client CA file"
	servingFiles  = "serving certificate"
)

// lookInterval is how often the serving certificate is looked at.
const lookInterval = 15 * time.Second

// instruments are those around the gates behind the endpoints.
type instruments struct {
	authn, authz *meter.Decisions
	families     []meter.Family
	certificates *meter.Certificates // nil before register
}

func newInstruments() *instruments {
	return &instruments{
		authn:    meter.NewDecisions("authn", meter.AuthenticationVerdicts...),
		authz:    meter.NewDecisions("authz", meter.AuthorizationVerdicts...),
		families: reloads.Families(),
	}
}

func dialable(listener net.Addr) string {
	tcp, ok := listener.(*net.TCPAddr)
	if !ok {
		return listener.String()
	}
	at := *tcp
	if at.IP.IsUnspecified() {
		at.IP = net.IPv4(127, 0, 0, 1)
	}
	return at.String()
}

// ofAuthorizer are the sizes of what decides. Nil instruments count nothing.
func (m *instruments) ofAuthorizer(guards *guard.Authorizer, index *rbac.Index) {
	if m != nil {
		m.families = append(m.families, meter.Authorization(guards, index)...)
	}
}

// ofRevocations are how many there are.
func (m *instruments) ofRevocations(registry *revocation.Registry) {
	if m != nil {
		m.families = append(m.families, meter.Revocations(registry)...)
	}
}

// register tells all of them, and of the certificate that is served, to whoever asks for
// /metrics. A certificate without a file is made by this program and in no file.
func (m *instruments) register(serving meter.Certificate) error {
	m.certificates = meter.NewCertificates(serving)
	r := meter.Registry{Register: legacyregistry.Register, CustomRegister: legacyregistry.CustomRegister}
	return r.Add([]*meter.Decisions{m.authn, m.authz}, append(m.families, m.certificates.Families()...)...)
}

// run looks at the certificate until ctx ends.
func (m *instruments) run(ctx context.Context) { m.certificates.Run(ctx, lookInterval) }

// isRevoked tells whether a credential was refused because it is revoked.
func isRevoked(err error) bool {
	_, ok := errors.AsType[*revocation.RevokedError](err)
	return ok
}

// counted answers as next does, and counts requests and how long they took as those of
// the endpoints are.
func counted(path string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		defer inFlight(path)()
		recorder := &codeRecorder{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(recorder, r)
		count(path, recorder.code, "", time.Since(begun))
	})
}

// codeRecorder notes the status of an answer.
type codeRecorder struct {
	http.ResponseWriter
	once sync.Once
	code int
}

// WriteHeader implements http.ResponseWriter.
func (c *codeRecorder) WriteHeader(code int) {
	c.once.Do(func() { c.code = code })
	c.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (c *codeRecorder) Unwrap() http.ResponseWriter { return c.ResponseWriter }
