package authn

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/gate"
)

func TestRecord(t *testing.T) {
	jane := &user.DefaultInfo{Name: "jane", Groups: []string{"devs", "system:authenticated"}, Extra: map[string][]string{user.CredentialIDKey: {"X509SHA256=00"}}}
	for _, c := range []struct {
		name string
		user user.Info
		err  error
		want gate.Step
	}{
		{"known", jane, nil, gate.Step{Opinion: gate.Allow, Part: "client certificate", Reason: "jane in devs, system:authenticated"}},
		{"anonymous", &user.DefaultInfo{Name: user.Anonymous}, nil, gate.Step{Opinion: gate.Allow, Part: "anonymous", Reason: "system:anonymous in "}},
		{"unknown", nil, nil, gate.Step{Opinion: gate.NoOpinion, Reason: "no credential that is known"}},
		{"refused", nil, errors.New("Revocation lost-laptop: serial 4f"), gate.Step{Opinion: gate.Deny, Reason: "Revocation lost-laptop: serial 4f"}},
	} {
		a := Record(authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
			if c.user == nil {
				return nil, false, c.err
			}
			return &authenticator.Response{User: c.user}, true, nil
		}))
		plain := httptest.NewRequest(http.MethodGet, "/", nil)
		recorder := &gate.Recorder{}
		traced := plain.WithContext(gate.WithRecorder(plain.Context(), recorder))
		for _, req := range []*http.Request{plain, traced} {
			if answer, ok, err := a.AuthenticateRequest(req); ok != (c.user != nil) || !errors.Is(err, c.err) || ok && answer.User != c.user {
				t.Errorf("%s: %v, %v, %v", c.name, answer, ok, err)
			}
		}
		steps := recorder.Steps()
		if len(steps) != 1 || steps[0].Opinion != c.want.Opinion || steps[0].Part != c.want.Part || steps[0].Reason != c.want.Reason || steps[0].Gate != "authentication" {
			t.Errorf("%s: recorded %+v", c.name, steps)
		}
	}
}
