package authn

import (
	"net/http"
	"testing"

	"k8s.io/client-go/rest"
)

type restConfig = rest.Config

// headers are what a front proxy says of the user it vouches for.
type headers struct {
	user   string
	groups []string
	team   string // an extra attribute
}

// frontProxy presents headers beside the front proxy's certificate.
func (g *gatehouse) frontProxy(t testing.TB, h headers) *rest.Config {
	return h.added(g.certificate(t, loadCredential(t, g.Path("pki", "front-proxy-client"))))
}

// added are the headers beside what config presents.
func (h headers) added(config *rest.Config) *rest.Config {
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			req = req.Clone(req.Context())
			req.Header.Set("X-Remote-User", h.user)
			for _, group := range h.groups {
				req.Header.Add("X-Remote-Group", group)
			}
			if h.team != "" {
				req.Header.Set("X-Remote-Extra-Team", h.team)
			}
			return next.RoundTrip(req)
		})
	})
	return config
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestFrontProxy(t *testing.T) {
	g := shared()
	proxied := headers{user: "pia", groups: []string{"proxied"}, team: "shop"}

	t.Run("the front proxy is believed", func(t *testing.T) {
		who := passesAs(t, g.frontProxy(t, proxied), "pia", "proxied")
		if who.Extra["team"][0] != "shop" {
			t.Errorf("extra is %v, want team shop", who.Extra)
		}
	})
	t.Run("another client's headers are not looked at", func(t *testing.T) {
		who := passesAs(t, proxied.added(g.user(t, "ann")), "ann")
		if len(who.Groups) != 1 || who.Extra["team"] != nil {
			t.Errorf("the headers got through: groups %v, extra %v", who.Groups, who.Extra)
		}
	})
	ca := loadAuthority(t, g.Path("pki", "front-proxy-ca"))
	stranger := g.certificate(t, ca.issue(t, identity{user: "another-proxy"}))
	for _, c := range []struct {
		name   string
		config *rest.Config
		why    string
	}{
		{"another name of the front proxy's CA", proxied.added(stranger), "is not in the allowed list"},
		{"its certificate without headers", g.certificate(t, loadCredential(t, g.Path("pki", "front-proxy-client"))), "certificate signed by unknown authority"},
		{"headers without a certificate", proxied.added(g.AnonymousConfig(t)), ""},
	} {
		t.Run("refused: "+c.name, func(t *testing.T) { g.refused(t, c.config, c.why) })
	}
	t.Run("the name alone, from the cluster's CA, is an ordinary user", func(t *testing.T) {
		passesAs(t, proxied.added(g.user(t, "front-proxy-client")), "front-proxy-client")
	})
}
