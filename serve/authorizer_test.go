package serve

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/telemetry/meter"
)

func testChain(t *testing.T, opts v1alpha1.AuthorizationOptions) *authorizerChain {
	t.Helper()
	c, err := newAuthorizerChain(t.Context(), opts, noObjects(), new(meter.Reloads))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.guards.Replace(nil); err != nil {
		t.Fatal(err)
	}
	c.loopback.Store(&user.DefaultInfo{Name: user.APIServerUser, UID: "drawn-at-start"})
	return c
}

func decide(t *testing.T, c *authorizerChain, u user.Info) authorizer.Decision {
	t.Helper()
	a := authorizer.AttributesRecord{User: u, Verb: "delete", Resource: "secrets", ResourceRequest: true}
	plain, _, err := c.Authorize(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	aware := c.ConditionsAwareAuthorize(context.Background(), a)
	if aware.IsAllow() != (plain == authorizer.DecisionAllow) {
		t.Errorf("%s: the two questions are answered differently", u.GetName())
	}
	return plain
}

func TestOnlyTheLoopbackConnectionBypasses(t *testing.T) {
	masters := []string{user.SystemPrivilegedGroup, user.AllAuthenticated}
	for _, c := range []struct {
		name   string
		bypass bool
		user   user.DefaultInfo
		want   authorizer.Decision
	}{
		{"own connection", false, user.DefaultInfo{Name: user.APIServerUser, UID: "drawn-at-start"}, authorizer.DecisionAllow},
		{"its name with another UID", false, user.DefaultInfo{Name: user.APIServerUser, UID: "guessed"}, authorizer.DecisionNoOpinion},
		{"its name without a UID", false, user.DefaultInfo{Name: user.APIServerUser, Groups: masters}, authorizer.DecisionNoOpinion},
		{"its UID under another name", false, user.DefaultInfo{Name: "mallory", UID: "drawn-at-start"}, authorizer.DecisionNoOpinion},
		{"system:masters", false, user.DefaultInfo{Name: "root", Groups: masters}, authorizer.DecisionNoOpinion},
		{"system:masters where the settings ask for it", true, user.DefaultInfo{Name: "root", Groups: masters}, authorizer.DecisionAllow},
	} {
		t.Run(c.name, func(t *testing.T) {
			chain := testChain(t, v1alpha1.AuthorizationOptions{Modes: []string{"AlwaysDeny"}, SystemMastersBypass: c.bypass})
			if got := decide(t, chain, &c.user); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestHideMasters(t *testing.T) {
	c := testChain(t, v1alpha1.AuthorizationOptions{Modes: []string{"AlwaysDeny"}})
	for _, u := range []*user.DefaultInfo{
		{Name: "root", Groups: []string{"system:masters", "devs"}},
		{Name: user.APIServerUser, UID: "drawn-at-start", Groups: []string{"system:masters"}},
	} {
		var seen user.Info
		handler := c.hideMasters(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen, _ = request.UserFrom(r.Context()) }))
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		handler.ServeHTTP(httptest.NewRecorder(), r.WithContext(request.WithUser(r.Context(), u)))
		if has := slices.Contains(seen.GetGroups(), "system:masters"); has != (u.Name == user.APIServerUser) {
			t.Errorf("%s: handlers see groups %v", u.Name, seen.GetGroups())
		}
		if !slices.Contains(u.Groups, "system:masters") {
			t.Errorf("%s: the identity itself was changed", u.Name)
		}
	}
}

func TestAuthorizationRefusesBadSettings(t *testing.T) {
	for name, opts := range map[string]v1alpha1.AuthorizationOptions{
		"no mode":           {},
		"unknown mode":      {Modes: []string{"Maybe"}},
		"ABAC without file": {Modes: []string{"ABAC"}},
		"missing file":      {ConfigFile: "/nonexistent/authz.yaml"},
		"missing ABAC file": {Modes: []string{"ABAC"}, ABACPolicyFile: "/nonexistent/abac.jsonl"},
	} {
		if _, err := newAuthorizerChain(t.Context(), opts, noObjects(), new(meter.Reloads)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// noObjects are the informers of an empty cluster.
func noObjects() informers.SharedInformerFactory {
	return informers.NewSharedInformerFactory(fake.NewClientset(), 0)
}
