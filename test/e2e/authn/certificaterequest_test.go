package authn

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"slices"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// certificateRequest is a CertificateSigningRequest and the key it is for.
type certificateRequest struct {
	name string
	key  *ecdsa.PrivateKey
}

// requestCertificate asks for a certificate as the client.
func requestCertificate(t testing.TB, client *rest.Config, signer string, who identity) (*certificateRequest, error) {
	t.Helper()
	r := &certificateRequest{name: uniqueName("csr"), key: newKey(t)}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: who.user, Organization: who.groups}}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, r.key)
	if err != nil {
		t.Fatal(err)
	}
	_, err = server.Client(t, client).CertificatesV1().CertificateSigningRequests().Create(t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: r.name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateRequestBlockType, Bytes: der}),
			SignerName: signer,
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}, metav1.CreateOptions{})
	return r, err
}

// decide approves or denies the request as the administrator.
func (g *gatehouse) decide(t testing.TB, r *certificateRequest, decision certificatesv1.RequestConditionType) {
	t.Helper()
	requests := g.Admin(t).CertificatesV1().CertificateSigningRequests()
	request, err := requests.Get(t.Context(), r.name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	request.Status.Conditions = append(request.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: decision, Status: corev1.ConditionTrue, Reason: "Test", LastUpdateTime: metav1.Now(),
	})
	if _, err := requests.UpdateApproval(t.Context(), r.name, request, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// signed waits for the certificate.
func (g *gatehouse) signed(t testing.TB, r *certificateRequest) *credential {
	t.Helper()
	var issued []byte
	server.Eventually(t, 15*time.Second, func(ctx context.Context) error {
		request, err := g.Admin(t).CertificatesV1().CertificateSigningRequests().Get(ctx, r.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if issued = request.Status.Certificate; len(issued) == 0 {
			return fmt.Errorf("not signed; conditions %v", request.Status.Conditions)
		}
		return nil
	})
	certs, err := certutil.ParseCertsPEM(issued)
	if err != nil {
		t.Fatal(err)
	}
	return newCredential(t, certs[0], r.key)
}

func TestCertificateSigningRequest(t *testing.T) {
	g := shared()
	const signer = "kubernetes.io/kube-apiserver-client"
	carla := identity{user: "carla", groups: []string{"requesters"}}

	t.Run("approved, it is signed and works", func(t *testing.T) {
		r, err := requestCertificate(t, g.AdminConfig(t), signer, carla)
		if err != nil {
			t.Fatal(err)
		}
		g.decide(t, r, certificatesv1.CertificateApproved)
		cert := g.signed(t, r)
		if cert.cert.CheckSignatureFrom(g.cluster.cert) != nil || !slices.Equal(cert.cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) {
			t.Errorf("not a client certificate of the cluster CA: issuer %s, usages %v", cert.cert.Issuer, cert.cert.ExtKeyUsage)
		}
		passesAs(t, g.certificate(t, cert), "carla", "requesters")
	})
	t.Run("denied or not decided, it is not signed", func(t *testing.T) {
		denied, err := requestCertificate(t, g.AdminConfig(t), signer, carla)
		if err != nil {
			t.Fatal(err)
		}
		waiting, err := requestCertificate(t, g.AdminConfig(t), signer, carla)
		if err != nil {
			t.Fatal(err)
		}
		g.decide(t, denied, certificatesv1.CertificateDenied)
		// One that comes later and is approved is signed; these are not.
		later, err := requestCertificate(t, g.AdminConfig(t), signer, carla)
		if err != nil {
			t.Fatal(err)
		}
		g.decide(t, later, certificatesv1.CertificateApproved)
		g.signed(t, later)
		for _, r := range []*certificateRequest{denied, waiting} {
			request, err := g.Admin(t).CertificatesV1().CertificateSigningRequests().Get(t.Context(), r.name, metav1.GetOptions{})
			if err != nil || len(request.Status.Certificate) > 0 {
				t.Errorf("%s has been signed, or %v", r.name, err)
			}
		}
	})
	t.Run("refused: system:masters", func(t *testing.T) {
		_, err := requestCertificate(t, g.AdminConfig(t), signer, identity{user: "carla", groups: []string{"system:masters"}})
		if !apierrors.IsForbidden(err) {
			t.Errorf("want the admission plugin CertificateSubjectRestriction to forbid it, have %v", err)
		}
	})
	t.Run("refused: a user who may not ask", func(t *testing.T) {
		if _, err := requestCertificate(t, g.user(t, "carla"), signer, carla); !apierrors.IsForbidden(err) {
			t.Errorf("want status 403, have %v", err)
		}
	})
}
