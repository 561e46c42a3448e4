package revocation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

func TestToken(t *testing.T) {
	jti := v1alpha1.RevocationSpec{TokenID: "id-1", Reason: "leaked"}
	left := v1alpha1.RevocationSpec{Reason: "left", User: &v1alpha1.RevokedUser{Name: "sam", IssuedBefore: *at(noon)}}
	account := v1alpha1.RevocationSpec{Reason: "leaked", ServiceAccount: &v1alpha1.RevokedServiceAccount{Namespace: "shop", Name: "web"}}
	for _, c := range []struct {
		name  string
		spec  v1alpha1.RevocationSpec
		user  string
		ids   []string
		token string
		want  string // "" is let in
	}{
		{"token ID that the authenticator reports", jti, "sam", []string{"JTI=id-1"}, "opaque", "credential revoked by Revocation/r: leaked"},
		{"token ID in the token", jti, "sam", nil, jwt(`{"jti":"id-1"}`), "leaked"},
		{"another token ID", jti, "sam", []string{"JTI=id-2"}, jwt(`{"jti":"id-2"}`), ""},
		{"older token of a user", left, "sam", nil, iat(noon.Add(-time.Second)), "left (the credential was issued at"},
		{"newer token of a user", left, "sam", nil, iat(noon.Add(time.Second)), ""},
		{"token of a user without a time", left, "sam", nil, "opaque", "carries no time of issue"},
		{"token of another user", left, "ann", nil, "opaque", ""},
		{"service account", account, "system:serviceaccount:shop:web", nil, iat(noon), "leaked"},
		{"another service account", account, "system:serviceaccount:shop:db", nil, iat(noon), ""},
		{"expired", v1alpha1.RevocationSpec{TokenID: "id-1", ExpiresAt: at(noon)}, "sam", []string{"JTI=id-1"}, "opaque", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			info := &user.DefaultInfo{Name: c.user}
			if c.ids != nil {
				info.Extra = map[string][]string{user.CredentialIDKey: c.ids}
			}
			a, err := Token(authenticator.TokenFunc(func(context.Context, string) (*authenticator.Response, bool, error) {
				return &authenticator.Response{User: info}, true, nil
			}), Options{Registry: registryOf(t, revocation("r", c.spec)), Clock: clocktesting.NewFakePassiveClock(noon)})
			if err != nil {
				t.Fatal(err)
			}
			resp, ok, err := a.AuthenticateToken(context.Background(), c.token)
			if c.want == "" {
				if err != nil || !ok || resp.User.GetName() != c.user {
					t.Fatalf("got %v %v %v", resp, ok, err)
				}
				return
			}
			if ok || resp != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v %v %v, want %q", resp, ok, err, c.want)
			}
		})
	}
}

func TestTokenFailsClosed(t *testing.T) {
	someone := &authenticator.Response{User: &user.DefaultInfo{Name: "sam"}}
	for _, c := range []struct {
		name string
		reg  *Registry
		resp *authenticator.Response
		ok   bool
		err  error
		want string
	}{
		{"not synced", NewRegistry(RegistryOptions{}), someone, true, nil, ErrNotSynced.Error()},
		{"no user", registryOf(t), nil, true, nil, "named no user"},
		{"the delegate fails", registryOf(t), nil, false, errors.New("away"), "away"},
		{"the delegate does not know it", registryOf(t), nil, false, nil, "<nil>"},
	} {
		a, err := Token(authenticator.TokenFunc(func(context.Context, string) (*authenticator.Response, bool, error) {
			return c.resp, c.ok, c.err
		}), Options{Registry: c.reg})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := a.AuthenticateToken(context.Background(), "x"); ok || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: got %v %v", c.name, ok, err)
		}
	}
	if _, err := Token(nil, Options{}); err == nil {
		t.Error("an authenticator around nothing was made")
	}
}
