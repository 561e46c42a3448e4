package authn

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/gate"
)

// Record returns an authenticator that answers as delegate does, and where the
// request's context has a gate.Recorder records what it made of the credentials:
// who it is and by what, or why it is nobody. The credentials themselves never
// enter the step.
func Record(delegate authenticator.Request) authenticator.Request {
	return authenticator.RequestFunc(func(req *http.Request) (*authenticator.Response, bool, error) {
		recorder := gate.RecorderFrom(req.Context())
		if recorder == nil {
			return delegate.AuthenticateRequest(req)
		}
		begun := time.Now()
		answer, ok, err := delegate.AuthenticateRequest(req)
		step := gate.Step{Gate: "authentication", Opinion: gate.NoOpinion, Reason: "no credential that is known", Took: time.Since(begun)}
		switch {
		case err != nil:
			step.Opinion, step.Reason = gate.Deny, err.Error()
		case ok:
			step.Opinion, step.Part = gate.Allow, means(answer.User)
			step.Reason = fmt.Sprintf("%s in %s", answer.User.GetName(), strings.Join(answer.User.GetGroups(), ", "))
		}
		recorder.Record(step)
		return answer, ok, err
	})
}

// means is by what somebody was authenticated, as far as it is told.
func means(u user.Info) string {
	if u.GetName() == user.Anonymous {
		return "anonymous"
	}
	for _, id := range u.GetExtra()[user.CredentialIDKey] {
		switch kind, _, _ := strings.Cut(id, "="); kind {
		case "X509SHA256":
			return "client certificate"
		case "JTI":
			return "token"
		}
	}
	return "credential"
}
