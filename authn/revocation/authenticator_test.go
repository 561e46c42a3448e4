package revocation

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/websocket"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

func TestRules(t *testing.T) {
	clients := newCA(t, "clients")
	ann, bob := clients.client(t, "ann", 0x0a1b), clients.client(t, "bob", 77)
	annSum := fingerprint(ann)
	colons := strings.ToUpper(annSum[:2])
	for i := 2; i < len(annSum); i += 2 {
		colons += ":" + strings.ToUpper(annSum[i:i+2])
	}
	proxy := clients.client(t, "front-proxy", 9)
	cert := func(serial, sum string) v1alpha1.RevocationSpec {
		return v1alpha1.RevocationSpec{Reason: "laptop lost", Certificate: &v1alpha1.RevokedCertificate{SerialNumber: serial, SHA256Fingerprint: sum}}
	}
	userBefore := func(name string, t time.Time) v1alpha1.RevocationSpec {
		return v1alpha1.RevocationSpec{Reason: "left", User: &v1alpha1.RevokedUser{Name: name, IssuedBefore: *at(t)}}
	}
	account := func(before *time.Time) v1alpha1.RevocationSpec {
		sa := &v1alpha1.RevokedServiceAccount{Namespace: "shop", Name: "web"}
		if before != nil {
			sa.IssuedBefore = at(*before)
		}
		return v1alpha1.RevocationSpec{Reason: "leaked", ServiceAccount: sa}
	}
	expiring := func(spec v1alpha1.RevocationSpec, t time.Time) v1alpha1.RevocationSpec {
		spec.ExpiresAt = at(t)
		return spec
	}
	jti := v1alpha1.RevocationSpec{TokenID: "id-1"}
	const sa = "system:serviceaccount:shop:web"
	oneSecond := noon.Add(time.Second)

	for _, c := range []struct {
		name string
		spec v1alpha1.RevocationSpec
		auth authenticator.Request
		req  *http.Request
		want string // "" is let in; else part of the reason
	}{
		{"serial", cert("A1B", ""), byCertificate, request("", ann), "credential revoked by Revocation/r: laptop lost"},
		{"serial, colons, leading zero", cert("0a:1B", ""), byCertificate, request("", ann), "laptop lost"},
		{"serial, short octets", cert("a:1b", ""), byCertificate, request("", ann), "laptop lost"},
		{"serial of another", cert("A1B", ""), byCertificate, request("", bob), ""},
		{"serial of an intermediate is not the client's", cert("A1B", ""), byCertificate, request("", bob, ann), ""},
		{"fingerprint", cert("", annSum), byCertificate, request("", ann), "Revocation/r: laptop lost"},
		{"fingerprint, colons", cert("", colons), byCertificate, request("", ann), "laptop lost"},
		{"fingerprint of another", cert("", annSum), byCertificate, request("", bob), ""},
		{"fingerprint of an intermediate", cert("", annSum), byCertificate, request("", bob, ann), "laptop lost"},
		{"fingerprint behind a front proxy", cert("", annSum), proxied("ann", "X509SHA256="+strings.ToUpper(annSum)), request("", proxy), "laptop lost"},
		{"front proxy's own certificate", cert("9", ""), proxied("ann"), request("", proxy), "laptop lost"},
		{"revoked certificate beside a good token", cert("A1B", ""), as("sam"), request("opaque", ann), "laptop lost"},

		{"token ID", jti, as("sam", "JTI=id-1"), request(jwt(`{"jti":"id-1"}`)), "credential revoked by Revocation/r: no reason given"},
		{"token ID of another", jti, as("sam", "JTI=id-2"), request(jwt(`{"jti":"id-2"}`)), ""},
		{"token ID that only the token has", jti, as("sam"), request(jwt(`{"jti":"id-1"}`)), "Revocation/r"},
		{"token ID given twice", jti, as("sam"), request(jwt(`{"jti":"id-1","jti":"id-2"}`)), "Revocation/r"},
		{"token ID behind a front proxy", jti, proxied("sam", "JTI=id-1"), request("", proxy), "Revocation/r"},
		{"revoked token beside a good certificate", jti, byCertificate, request(jwt(`{"jti":"id-1"}`), bob), "Revocation/r"},
		{"token ID with an opaque token", jti, as("sam"), request("opaque"), ""},
		{"token ID without a token", jti, byCertificate, request("", bob), ""},

		{"user, older token", userBefore("sam", noon), as("sam"), request(iat(noon.Add(-time.Second))), "credential revoked by Revocation/r: left (the credential was issued at 2030-06-01T11:59:59Z"},
		{"user, token of the instant", userBefore("sam", noon), as("sam"), request(iat(noon)), ""},
		{"user, newer token", userBefore("sam", noon), as("sam"), request(iat(oneSecond)), ""},
		{"user, instant within the token's second", userBefore("sam", noon.Add(time.Millisecond)), as("sam"), request(iat(noon)), "left"},
		{"user, fraction in iat", userBefore("sam", noon.Add(400*time.Millisecond)), as("sam"), request(jwt(fmt.Sprintf(`{"iat":%d.5}`, noon.Unix()))), ""},
		{"user, other name", userBefore("sam", noon), as("sam2"), request("opaque"), ""},
		{"user, certificate of the instant", userBefore("ann", noon), byCertificate, request("", ann), ""},
		{"user, older certificate", userBefore("ann", oneSecond), byCertificate, request("", ann), "issued at 2030-06-01T12:00:00Z"},
		{"user, opaque token", userBefore("sam", noon), as("sam"), request("opaque"), "left (the credential carries no time of issue"},
		{"user, front proxy", userBefore("sam", noon), proxied("sam"), request("", proxy), "no time of issue"},
		{"user, front proxy, forged token beside", userBefore("sam", noon), proxied("sam"), request(iat(oneSecond), proxy), "no time of issue"},
		{"user, front proxy, forged token of the right ID", userBefore("sam", noon), proxied("sam", "JTI=x"), request(jwt(`{"jti":"x","iat":4000000000}`), proxy), "no time of issue"},
		{"user, front proxy, certificate not here", userBefore("ann", noon), proxied("ann", "X509SHA256="+annSum), request("", proxy), "no time of issue"},
		{"user, token and certificate, the token counts", userBefore("sam", noon), as("sam"), request(iat(noon), ann), ""},
		{"user, token of another ID", userBefore("sam", noon), as("sam", "JTI=y"), request(jwt(`{"jti":"x","iat":4000000000}`)), "no time of issue"},
		{"user, iat twice", userBefore("sam", noon), as("sam"), request(jwt(`{"iat":1,"iat":4000000000}`)), "no time of issue"},
		{"user, IAT is not iat", userBefore("sam", noon), as("sam"), request(jwt(`{"iat":1,"IAT":4000000000}`)), "issued at 1970"},
		{"user, iat as text", userBefore("sam", noon), as("sam"), request(jwt(`{"iat":"4000000000"}`)), "no time of issue"},
		{"anonymous cannot bring a time of issue", userBefore(user.Anonymous, noon), proxied(user.Anonymous), request(iat(oneSecond)), "no time of issue"},

		{"account", account(nil), as(sa), request(iat(oneSecond)), "credential revoked by Revocation/r: leaked"},
		{"account, legacy token", account(nil), as(sa), request(jwt(`{}`)), "leaked"},
		{"account, older token", account(&noon), as(sa, "JTI=x"), request(jwt(`{"jti":"x","iat":5}`)), "leaked (the credential was issued at 1970"},
		{"account, newer token", account(&noon), as(sa), request(iat(noon)), ""},
		{"account, before, legacy token", account(&noon), as(sa), request(jwt(`{}`)), "no time of issue"},
		{"account of another namespace", account(nil), as("system:serviceaccount:shop2:web"), request("x"), ""},

		{"not expired", expiring(cert("A1B", ""), oneSecond), byCertificate, request("", ann), "laptop lost"},
		{"expired this instant", expiring(cert("A1B", ""), noon), byCertificate, request("", ann), ""},
		{"user, expired", expiring(userBefore("sam", noon), noon.Add(-time.Hour)), as("sam"), request("opaque"), ""},
		{"token ID, expired", expiring(jti, noon), as("sam", "JTI=id-1"), request("opaque"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := verdict(wrap(t, c.auth, registryOf(t, revocation("r", c.spec))), c.req)
			if c.want == "" && got != "" || c.want != "" && !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if strings.Contains(got, "c2ln") || strings.Contains(got, "opaque") {
				t.Errorf("the reason holds a token: %q", got)
			}
		})
	}
}

// TestUpstreamBearerAuthenticators holds that the token is known as the accepted
// one when upstream's own authenticators took it, from either header.
func TestUpstreamBearerAuthenticators(t *testing.T) {
	token := jwt(fmt.Sprintf(`{"jti":"x","iat":%d}`, noon.Unix()))
	tokens := authenticator.TokenFunc(func(_ context.Context, got string) (*authenticator.Response, bool, error) {
		return &authenticator.Response{User: &user.DefaultInfo{Name: "sam"}}, got == token, nil
	})
	rule := func(before time.Time) *Registry {
		return registryOf(t, revocation("r", v1alpha1.RevocationSpec{User: &v1alpha1.RevokedUser{Name: "sam", IssuedBefore: *at(before)}}))
	}
	proxy := newCA(t, "clients").client(t, "proxy", 3)
	socket := func() *http.Request {
		req := request("", proxy)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
		req.Header.Set("Sec-WebSocket-Protocol", "base64url.bearer.authorization.k8s.io."+base64.RawURLEncoding.EncodeToString([]byte(token))+", v4.channel.k8s.io")
		return req
	}
	for name, c := range map[string]struct {
		auth authenticator.Request
		req  func() *http.Request
	}{
		"header":    {bearertoken.New(tokens), func() *http.Request { return request(token, proxy) }},
		"websocket": {websocket.NewProtocolAuthenticator(tokens), socket},
		"token review": {bearertoken.New(tokens), func() *http.Request {
			return &http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}
		}},
	} {
		if got := verdict(wrap(t, c.auth, rule(noon)), c.req()); got != "" {
			t.Errorf("%s: got %q", name, got)
		}
		if got := verdict(wrap(t, c.auth, rule(noon.Add(time.Second))), c.req()); !strings.Contains(got, "issued at 2030-06-01T12:00:00Z") {
			t.Errorf("%s: got %q", name, got)
		}
		if got := verdict(wrap(t, c.auth, registryOf(t, revocation("r", v1alpha1.RevocationSpec{TokenID: "x"}))), c.req()); !strings.Contains(got, "Revocation/r") {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestNotSynced(t *testing.T) {
	synced := false
	reg := NewRegistry(RegistryOptions{HasSynced: func() bool { return synced }})
	cert := newCA(t, "clients").client(t, "ann", 5)
	requests := map[string]*Authenticator{"ann": wrap(t, as("ann"), reg), user.Anonymous: wrap(t, as(user.Anonymous), reg)}
	if got := verdict(requests["ann"], request("token")); got != ErrNotSynced.Error() {
		t.Errorf("got %q", got)
	}
	if got := verdict(requests[user.Anonymous], request("")); got != "" {
		t.Errorf("a health probe is refused: %q", got)
	}
	if got := verdict(requests[user.Anonymous], request("", cert)); got != ErrNotSynced.Error() {
		t.Errorf("anonymous with a certificate: got %q", got)
	}
	synced = true
	if got := verdict(requests["ann"], request("token")); got != "" {
		t.Errorf("got %q", got)
	}
	synced = false
	if got := verdict(requests["ann"], request("token")); got != "" {
		t.Errorf("synced once is synced: got %q", got)
	}
	if NewRegistry(RegistryOptions{}).HasSynced() {
		t.Error("a registry that has read nothing is synced")
	}
}

func TestDelegatesRefusalStands(t *testing.T) {
	fails := authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) { return nil, false, errors.New("no") })
	if got := verdict(wrap(t, fails, registryOf(t)), request("x")); got != "no" {
		t.Errorf("got %q", got)
	}
	nobody := authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
		return &authenticator.Response{}, true, nil
	})
	if got := verdict(wrap(t, nobody, registryOf(t)), request("x")); !strings.Contains(got, "named no user") {
		t.Errorf("got %q", got)
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("nothing is wrapped")
	}
}

func TestAnonymousPaths(t *testing.T) {
	anon := AnonymousPaths(as(user.Anonymous), []string{"/healthz", "/version"})
	for path, want := range map[string]string{
		"/healthz": "", "/version": "", "/healthz/": "not authenticated", "/healthz/etcd": "not authenticated",
		"/": "not authenticated", "/api": "not authenticated", "/HEALTHZ": "not authenticated",
	} {
		req := request("")
		req.URL.Path = path
		if got := verdict(anon, req); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
		if got := verdict(AnonymousPaths(as("ann"), nil), req); got != "" {
			t.Errorf("%s: ann is refused: %q", path, got)
		}
	}
	if got := verdict(anon, &http.Request{Header: http.Header{}}); got != "not authenticated" {
		t.Errorf("a TokenReview is anonymous: %q", got)
	}
}

func TestReservedNames(t *testing.T) {
	if got := verdict(ReservedNames(as("system:apiserver")), request("")); !strings.Contains(got, `"system:apiserver" is the server's own`) {
		t.Errorf("got %q", got)
	}
	for _, name := range []string{"ann", "system:apiserver2", "system:admin"} {
		if got := verdict(ReservedNames(as(name)), request("")); got != "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
