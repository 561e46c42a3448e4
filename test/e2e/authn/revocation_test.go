package authn

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

func (g *gatehouse) revocations(t testing.TB) dynamic.ResourceInterface {
	t.Helper()
	return server.Dynamic(t, g.AdminConfig(t)).Resource(v1alpha1.SchemeGroupVersion.WithResource("revocations"))
}

// revoke makes a Revocation and returns its name. It is gone after the test.
func (g *gatehouse) revoke(t testing.TB, spec v1alpha1.RevocationSpec) string {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&v1alpha1.Revocation{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Revocation"},
		ObjectMeta: metav1.ObjectMeta{Name: uniqueName("revocation")},
		Spec:       spec,
	})
	if err != nil {
		t.Fatal(err)
	}
	made, err := g.revocations(t).Create(t.Context(), &unstructured.Unstructured{Object: content}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.revocations(t).Delete(cleanupContext(), made.GetName(), metav1.DeleteOptions{}) })
	return made.GetName()
}

func (g *gatehouse) restore(t testing.TB, name string) {
	t.Helper()
	if err := g.revocations(t).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// awaitRead waits until the server has read all that was done to Revocations so
// far: it reads them in order, and one made now is in force.
func (g *gatehouse) awaitRead(t testing.TB) {
	t.Helper()
	witness := g.cluster.issue(t, identity{user: uniqueName("witness")})
	live := g.connect(t, g.certificate(t, witness))
	g.revoke(t, v1alpha1.RevocationSpec{Certificate: &v1alpha1.RevokedCertificate{SHA256Fingerprint: fingerprint(witness)}})
	live.awaitRevoked(t)
}

func fingerprint(c *credential) string { return fmt.Sprintf("%x", sha256.Sum256(c.cert.Raw)) }

// colons writes hexadecimal as openssl prints it.
func colons(hex string) string {
	hex = strings.ToUpper(hex)
	if len(hex)%2 == 1 {
		hex = "0" + hex
	}
	var pairs []string
	for i := 0; i < len(hex); i += 2 {
		pairs = append(pairs, hex[i:i+2])
	}
	return strings.Join(pairs, ":")
}

// Each way to name a credential refuses it on the connection it has open, names
// the Revocation in the audit event, leaves its neighbour alone, and is over when
// the object is deleted.
func TestRevocation(t *testing.T) {
	g := shared()
	bySerial, byPrint := g.cluster.issue(t, identity{user: "rita"}), g.corp.issue(t, identity{user: "rita"})
	hour := time.Hour
	old := g.cluster.issue(t, identity{user: "olga", notBefore: time.Now().Add(-3 * hour)})
	renewed := g.cluster.issue(t, identity{user: "olga", notBefore: time.Now().Add(-hour)})
	before := metav1.NewTime(time.Now().Add(-2 * hour).Truncate(time.Second))

	owner := login{subject: "u-7", email: "olaf@corp.example", verified: true, groups: []string{"owners"}, tokenID: "id-of-one-token", age: 3 * hour}
	oldToken := g.staff.signIn(t, owner)
	owner.tokenID, owner.age = "id-of-another", hour
	newToken := g.staff.signIn(t, owner)
	soonPassesAs(t, soon, g.bearer(t, oldToken), "staff:olaf@corp.example")

	robot, neighbour := g.newAccount(t), g.newAccount(t)
	robotToken := robot.token(t, authenticationv1.TokenRequestSpec{})
	neighbourToken := neighbour.token(t, authenticationv1.TokenRequestSpec{})
	secondToken := robot.token(t, authenticationv1.TokenRequestSpec{})
	legacy, _ := neighbour.legacyToken(t)
	writeFile(t, g.tokens, "the-token-of-stan,stan,1\nthe-token-of-stella,stella,2\n")
	defer writeFile(t, g.tokens, "")
	soonPassesAs(t, soon, g.bearer(t, "the-token-of-stan"), "stan")

	for _, c := range []struct {
		name            string
		spec            v1alpha1.RevocationSpec
		revoked, stands *rest.Config
	}{
		{"a certificate by serial number", v1alpha1.RevocationSpec{Certificate: &v1alpha1.RevokedCertificate{SerialNumber: bySerial.cert.SerialNumber.Text(16)}},
			g.certificate(t, bySerial), g.certificate(t, byPrint)},
		{"a certificate by serial number as openssl prints it", v1alpha1.RevocationSpec{Certificate: &v1alpha1.RevokedCertificate{SerialNumber: colons(bySerial.cert.SerialNumber.Text(16))}},
			g.certificate(t, bySerial), g.certificate(t, byPrint)},
		{"a certificate by fingerprint", v1alpha1.RevocationSpec{Certificate: &v1alpha1.RevokedCertificate{SHA256Fingerprint: fingerprint(byPrint)}},
			g.certificate(t, byPrint), g.certificate(t, bySerial)},
		{"a certificate by fingerprint as openssl prints it", v1alpha1.RevocationSpec{Certificate: &v1alpha1.RevokedCertificate{SHA256Fingerprint: colons(fingerprint(byPrint))}},
			g.certificate(t, byPrint), g.certificate(t, bySerial)},
		{"a user's old certificates", v1alpha1.RevocationSpec{User: &v1alpha1.RevokedUser{Name: "olga", IssuedBefore: before}},
			g.certificate(t, old), g.certificate(t, renewed)},
		{"a user's old JSON Web Tokens", v1alpha1.RevocationSpec{User: &v1alpha1.RevokedUser{Name: "staff:olaf@corp.example", IssuedBefore: before}},
			g.bearer(t, oldToken), g.bearer(t, newToken)},
		{"a user whose token has no time of issue", v1alpha1.RevocationSpec{User: &v1alpha1.RevokedUser{Name: "stan", IssuedBefore: before}},
			g.bearer(t, "the-token-of-stan"), g.bearer(t, "the-token-of-stella")},
		{"a user of the token review service", v1alpha1.RevocationSpec{User: &v1alpha1.RevokedUser{Name: "reviewed:rosa", IssuedBefore: before}},
			g.bearer(t, reviewedToken), g.bearer(t, "the-token-of-stella")},
		{"a user of the front proxy", v1alpha1.RevocationSpec{User: &v1alpha1.RevokedUser{Name: "pia", IssuedBefore: before}},
			g.frontProxy(t, headers{user: "pia"}), g.frontProxy(t, headers{user: "paul"})},
		{"a service account", v1alpha1.RevocationSpec{ServiceAccount: &v1alpha1.RevokedServiceAccount{Namespace: robot.namespace, Name: robot.name}},
			g.bearer(t, robotToken), g.bearer(t, neighbourToken)},
		{"a service account's old tokens", v1alpha1.RevocationSpec{ServiceAccount: &v1alpha1.RevokedServiceAccount{Namespace: neighbour.namespace, Name: neighbour.name, IssuedBefore: &before}},
			g.bearer(t, legacy), g.bearer(t, neighbourToken)},
		{"a token by jti, of an issuer", v1alpha1.RevocationSpec{TokenID: "id-of-one-token"}, g.bearer(t, oldToken), g.bearer(t, newToken)},
		{"a token by jti, of a service account", v1alpha1.RevocationSpec{TokenID: claimsOf(t, robotToken)["jti"].(string)},
			g.bearer(t, robotToken), g.bearer(t, secondToken)},
	} {
		t.Run(c.name, func(t *testing.T) {
			live, stands := g.connect(t, c.revoked), g.connect(t, c.stands)
			c.spec.Reason = "lost in " + uniqueName("place")
			name := g.revoke(t, c.spec)
			reason := live.awaitRevoked(t)
			if want := "Revocation/" + name + ": " + c.spec.Reason; !strings.HasPrefix(reason, want) {
				t.Errorf("the audit event says %q, want %q", reason, want)
			}
			if status, info := stands.ask(t); status != 201 || info.Conn != stands.conn {
				t.Errorf("the neighbour's request on its own connection: status %d", status)
			}
			if token := c.revoked.BearerToken; token != "" {
				if review := g.reviewToken(t, token); review.Authenticated || !strings.Contains(review.Error, name) {
					t.Errorf("a TokenReview says authenticated %v, error %q; want false, and %s named", review.Authenticated, review.Error, name)
				}
			}
			g.restore(t, name)
			live.awaitLetIn(t)
		})
	}
}

func TestRevocationChanges(t *testing.T) {
	g := shared()
	cert := g.cluster.issue(t, identity{user: "ella"})
	in := func(d time.Duration) *metav1.Time { at := metav1.NewTime(time.Now().Add(d)); return &at }

	t.Run("it ends at expiresAt", func(t *testing.T) {
		live := g.connect(t, g.certificate(t, cert))
		g.revoke(t, v1alpha1.RevocationSpec{Certificate: &v1alpha1.RevokedCertificate{SHA256Fingerprint: fingerprint(cert)}, ExpiresAt: in(2 * time.Second)})
		live.awaitRevoked(t)
		live.awaitLetIn(t)
	})
	t.Run("expired, it refuses nothing", func(t *testing.T) {
		g.revoke(t, v1alpha1.RevocationSpec{Certificate: &v1alpha1.RevokedCertificate{SHA256Fingerprint: fingerprint(cert)}, ExpiresAt: in(-time.Second)})
		g.awaitRead(t)
		passesAs(t, g.certificate(t, cert), "ella")
	})
	t.Run("two that name the same: the other stays", func(t *testing.T) {
		spec := v1alpha1.RevocationSpec{User: &v1alpha1.RevokedUser{Name: "ella", IssuedBefore: *in(time.Hour)}}
		live := g.connect(t, g.certificate(t, cert))
		first, second := g.revoke(t, spec), g.revoke(t, spec)
		live.awaitRevoked(t)
		g.restore(t, first)
		g.awaitRead(t)
		g.refused(t, g.certificate(t, cert), second)
		g.restore(t, second)
		live.awaitLetIn(t)
	})
	t.Run("changed to another certificate, it lets this one in", func(t *testing.T) {
		live := g.connect(t, g.certificate(t, cert))
		name := g.revoke(t, v1alpha1.RevocationSpec{Certificate: &v1alpha1.RevokedCertificate{SHA256Fingerprint: fingerprint(cert)}})
		live.awaitRevoked(t)
		object, err := g.revocations(t).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		other := g.cluster.issue(t, identity{user: "otto"})
		if err := unstructured.SetNestedField(object.Object, fingerprint(other), "spec", "certificate", "sha256Fingerprint"); err != nil {
			t.Fatal(err)
		}
		if _, err := g.revocations(t).Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		live.awaitLetIn(t)
		g.refused(t, g.certificate(t, other), name)
	})
	t.Run("an impersonator's own credential is what counts", func(t *testing.T) {
		g.revoke(t, v1alpha1.RevocationSpec{User: &v1alpha1.RevokedUser{Name: "ella", IssuedBefore: *in(time.Hour)}})
		soonRefused(t, soon, g.certificate(t, cert))
		admin := g.AdminConfig(t)
		admin.Impersonate = rest.ImpersonationConfig{UserName: "ella"}
		passesAs(t, admin, "ella")
	})
}
