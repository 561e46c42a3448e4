package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

const tokenReview = `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":`

// knowing is an authenticator that knows the token "good".
func knowing(resp *authenticator.Response, err error) authenticator.Token {
	return authenticator.TokenFunc(func(_ context.Context, token string) (*authenticator.Response, bool, error) {
		if resp == nil {
			return nil, token == "good" && err == nil, err
		}
		fresh := *resp // whoever wraps an authenticator may write into its response
		return &fresh, token == "good" && err == nil, err
	})
}

// review posts a TokenReview and returns its status.
func review(t *testing.T, tokens authenticator.Token, spec string) authenticationv1.TokenReviewStatus {
	t.Helper()
	w := post(t, newServer(t, Options{Endpoints: []Endpoint{Authenticate(tokens, []string{"api"})}}).Handler(), "/authenticate", tokenReview+spec+"}")
	var got authenticationv1.TokenReview
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || got.Kind != "TokenReview" {
		t.Fatalf("HTTP %d %v %s", w.Code, err, w.Body)
	}
	if got.Spec.Token != "" || strings.Contains(w.Body.String(), "good") {
		t.Errorf("the answer holds the token: %s", w.Body)
	}
	return got.Status
}

func TestAuthenticateAnswers(t *testing.T) {
	jane := &user.DefaultInfo{Name: "jane", UID: "7", Groups: []string{"devs"}, Extra: map[string][]string{"a": {"b"}}}
	aware := authenticator.WrapAudienceAgnosticToken(authenticator.Audiences{"api", "other"}, knowing(&authenticator.Response{User: jane}, nil))
	known := authenticationv1.UserInfo{Username: "jane", UID: "7", Groups: []string{"devs"}, Extra: map[string]authenticationv1.ExtraValue{"a": {"b"}}}
	type status = authenticationv1.TokenReviewStatus
	for _, c := range []struct {
		name   string
		tokens authenticator.Token
		spec   string
		want   status
	}{
		{"known", aware, `{"token":"good"}`, status{Authenticated: true, User: known, Audiences: []string{"api"}}},
		{"known for an audience", aware, `{"token":"good","audiences":["x","other"]}`, status{Authenticated: true, User: known, Audiences: []string{"other"}}},
		{"for none of the audiences", aware, `{"token":"good","audiences":["x"]}`, status{}},
		{"unknown", aware, `{"token":"bad"}`, status{}},
		{"with more behind it", aware, `{"token":"good more"}`, status{}},
		{"an authenticator that forgets audiences", knowing(&authenticator.Response{User: jane}, nil), `{"token":"good"}`, status{Error: "the token is for other audiences"}},
		{"no user", knowing(&authenticator.Response{Audiences: []string{"api"}}, nil), `{"token":"good"}`, status{Error: "the authenticator named no user"}},
		{"no response", knowing(nil, nil), `{"token":"good"}`, status{Error: "the authenticator named no user"}},
		{"a user without a name", knowing(&authenticator.Response{Audiences: []string{"api"}, User: &user.DefaultInfo{}}, nil), `{"token":"good"}`, status{Error: "the authenticator named no user"}},
		{"an error", knowing(nil, errors.New("credential revoked by Revocation/r: lost")), `{"token":"good"}`, status{Error: "credential revoked by Revocation/r: lost"}},
		{"an error with a user", knowing(&authenticator.Response{User: jane}, errors.New("away")), `{"token":"good"}`, status{Error: "away"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := review(t, c.tokens, c.spec); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestAnErrorShowsNoToken(t *testing.T) {
	const payload = "eyJzdWIiOiJqYW5lIn0"
	for _, token := range []string{"secret-of-jane", "eyJhbGciOiJub25lIn0." + payload + ".c2lnbmF0dXJl"} {
		for _, quoted := range []string{token, payload} {
			if !strings.Contains(token, quoted) {
				continue
			}
			tokens := authenticator.TokenFunc(func(context.Context, string) (*authenticator.Response, bool, error) {
				return nil, false, fmt.Errorf("cannot parse %q", quoted)
			})
			got := review(t, tokens, `{"token":"`+token+`"}`)
			if got.Authenticated || got.Error != "the token is refused" {
				t.Errorf("got %+v", got)
			}
		}
	}
}

func TestAuthenticateRefusesWhatIsNoReview(t *testing.T) {
	h := newServer(t, Options{Endpoints: []Endpoint{Authenticate(knowing(nil, nil), nil)}}).Handler()
	for _, c := range []struct{ body, says string }{
		{"", "no JSON object"},
		{tokenReview + `{}}`, "spec.token: is missing"},
		{tokenReview + `{"Token":"good"}}`, "spec.token: is missing"},
		{tokenReview + `{"token":{"good":1}}}`, "wrong type"},
		{`{"apiVersion":"authentication.k8s.io/v1beta1","kind":"TokenReview","spec":{"token":"good"}}`, "--authentication-token-webhook-version=v1"},
		{`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview"}`, "want a TokenReview"},
	} {
		w := post(t, h, "/authenticate", c.body)
		if s := statusOf(t, w); w.Code != http.StatusBadRequest || !strings.Contains(s.Message, c.says) || strings.Contains(s.Message, "good") {
			t.Errorf("%s: HTTP %d %q, want %q", c.body, w.Code, s.Message, c.says)
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	f.Add([]byte(tokenReview + `{"token":"bad","audiences":["a"]}}`))
	f.Add([]byte(tokenReview + `{"token":"\ud800\u0000","audiences":[]}}`))
	s, err := New(Options{Endpoints: []Endpoint{Authenticate(authenticator.TokenFunc(func(_ context.Context, token string) (*authenticator.Response, bool, error) {
		return nil, false, fmt.Errorf("token %s is bad", token)
	}), nil)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := post(t, s.Handler(), "/authenticate", string(body))
		var asked, got authenticationv1.TokenReview
		if w.Code == http.StatusBadRequest {
			statusOf(t, w)
			return
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || got.Status.Authenticated || got.Status.Error != "the token is refused" {
			t.Fatalf("HTTP %d %v %s", w.Code, err, w.Body)
		}
		if json.Unmarshal(body, &asked) == nil && len(asked.Spec.Token) > 20 && strings.Contains(w.Body.String(), asked.Spec.Token) {
			t.Fatalf("the answer holds the token: %s", w.Body)
		}
	})
}
