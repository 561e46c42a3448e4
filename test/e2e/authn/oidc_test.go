package authn

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// issuersFile is an AuthenticationConfiguration of these issuers.
func issuersFile(issuers ...string) string {
	return "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n" + strings.Join(issuers, "")
}

// staffIssuer maps claims by expressions, and takes not everybody.
func staffIssuer(p *provider) string {
	return fmt.Sprintf(`
- issuer: {url: %q, certificateAuthority: %q, audiences: [gatehouse]}
  claimMappings:
    username: {expression: "'staff:' + claims.email"}
    groups: {expression: "dyn(claims.groups).map(g, 'staff:' + g)"}
    uid: {claim: sub}
    extra: [{key: staff.example/domain, valueExpression: "claims.email.split('@')[1]"}]
  claimValidationRules:
  - {expression: "claims.?email_verified.orValue(false) == true", message: the e-mail address is not verified}
  userValidationRules:
  - {expression: "!user.groups.exists(g, g == 'staff:interns')", message: interns have no access}
`, p.url, p.ca)
}

// partnerIssuer maps claims by name.
func partnerIssuer(p *provider) string {
	return fmt.Sprintf(`
- issuer: {url: %q, certificateAuthority: %q, audiences: [gatehouse]}
  claimMappings:
    username: {claim: sub, prefix: "partner:"}
    groups: {claim: groups, prefix: "partner:"}
`, p.url, p.ca)
}

var jane = login{subject: "u-1", email: "jane@corp.example", verified: true, groups: []string{"developers"}}

func TestOpenIDConnect(t *testing.T) {
	g := shared()
	t.Run("claims are mapped by expressions", func(t *testing.T) {
		config := g.bearer(t, g.staff.signIn(t, jane))
		// The server reads the provider's keys in the background, soon after its start.
		soonPassesAs(t, soon, config, "staff:jane@corp.example", "staff:developers")
		who := passesAs(t, config, "staff:jane@corp.example")
		if who.UID != "u-1" || who.Extra["staff.example/domain"][0] != "corp.example" {
			t.Errorf("UID %q and extra %v are not as mapped", who.UID, who.Extra)
		}
	})
	t.Run("a second issuer has names of its own", func(t *testing.T) {
		soonPassesAs(t, soon, g.bearer(t, g.partners.signIn(t, jane)), "partner:u-1", "partner:developers")
	})

	unverified, intern, elsewhere, late := jane, jane, jane, jane
	unverified.verified = false
	intern.groups = []string{"interns"}
	elsewhere.client = "another-app"
	late.lifetime = -time.Hour
	good := g.staff.signIn(t, jane)
	for _, c := range []struct {
		name, token, why string
	}{
		{"claimValidationRules", g.staff.signIn(t, unverified), "the e-mail address is not verified"},
		{"userValidationRules", g.staff.signIn(t, intern), "interns have no access"},
		{"audience", g.staff.signIn(t, elsewhere), "audience"},
		{"expired", g.staff.signIn(t, late), "token is expired"},
		{"another key", resign(t, good, newKey(t), nil), "failed to verify signature"},
		{"unknown issuer", newProvider(t).signIn(t, jane), ""},
	} {
		t.Run("refused: "+c.name, func(t *testing.T) {
			g.refused(t, g.bearer(t, c.token), c.why)
			if c.why == "" {
				return
			}
			if status := g.reviewToken(t, c.token); status.Authenticated || !strings.Contains(status.Error, c.why) {
				t.Errorf("a TokenReview says authenticated %v, error %q; want false, %q", status.Authenticated, status.Error, c.why)
			}
		})
	}
}

func TestIssuersAreReadAgain(t *testing.T) {
	t.Parallel()
	g := shared()
	joined := newProvider(t)
	before := issuersFile(staffIssuer(g.staff), partnerIssuer(g.partners))
	defer writeFile(t, g.issuers, before)
	config := g.bearer(t, joined.signIn(t, jane))
	g.refused(t, config, "")

	third := strings.ReplaceAll(partnerIssuer(joined), "partner:", "joined:")
	writeFile(t, g.issuers, issuersFile(staffIssuer(g.staff), partnerIssuer(g.partners), third))
	soonPassesAs(t, afterReload, config, "joined:u-1", "joined:developers")
	passesAs(t, g.bearer(t, g.staff.signIn(t, jane)), "staff:jane@corp.example")

	t.Run("a bad file changes nothing", func(t *testing.T) {
		mark := len(g.Log())
		writeFile(t, g.issuers, issuersFile(staffIssuer(g.staff), "\n- issuer: {url: http://not-https.example}\n"))
		g.awaitLog(t, mark, "URL scheme must be https")
		passesAs(t, g.bearer(t, joined.signIn(t, jane)), "joined:u-1")
	})
	t.Run("an issuer that is taken out is gone", func(t *testing.T) {
		writeFile(t, g.issuers, before)
		soonRefused(t, afterReload, config)
	})
}
