package gates

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// signingRequest is a key (PEM) and a CertificateSigningRequest with it.
func signingRequest(t *testing.T, signer string, subject pkix.Name, usages ...certificatesv1.KeyUsage) ([]byte, *certificatesv1.CertificateSigningRequest) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	passes(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
	passes(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	passes(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), SignerName: signer, Usages: usages,
			ExpirationSeconds: new(int32(3600)),
		},
	}
}

// issued waits for the certificate.
func issued(t *testing.T, client kubernetes.Interface, name string) []byte {
	t.Helper()
	var certificate []byte
	server.Eventually(t, patience, func(ctx context.Context) error {
		got, err := client.CertificatesV1().CertificateSigningRequests().Get(ctx, name, metav1.GetOptions{})
		if err == nil && len(got.Status.Certificate) == 0 {
			err = notYet("conditions are %v", got.Status.Conditions)
		}
		if err == nil {
			certificate = got.Status.Certificate
		}
		return err
	})
	return certificate
}

// TestCertificateSigning shows the way from a request over an approval to a
// certificate that works, and that nobody gets system:masters that way.
func TestCertificateSigning(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ctx := t.Context()
	requests := admin.CertificatesV1().CertificateSigningRequests()

	t.Run("system:masters is refused", func(t *testing.T) {
		_, csr := signingRequest(t, certificatesv1.KubeAPIServerClientSignerName, pkix.Name{CommonName: "eve", Organization: []string{"system:masters"}}, certificatesv1.UsageClientAuth)
		_, err := requests.Create(ctx, csr, create)
		refused(t, err, apierrors.IsForbidden, "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed")
	})

	key, csr := signingRequest(t, certificatesv1.KubeAPIServerClientSignerName, pkix.Name{CommonName: "ruth", Organization: []string{"readers"}}, certificatesv1.UsageClientAuth)
	csr, err := requests.Create(ctx, csr, create)
	passes(t, err)
	approved := csr.DeepCopy()
	approved.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test"}}
	t.Run("not everyone may approve", func(t *testing.T) {
		clerk := server.Client(t, s.UserConfig(t, "csr-clerk"))
		role := customRole(t, admin, nil, rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"certificatesigningrequests/approval"}, Verbs: []string{"update"}})
		binding, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"}, Subjects: subject("csr-clerk"), RoleRef: clusterRole(role),
		}, create)
		passes(t, err)
		t.Cleanup(func() {
			_ = admin.RbacV1().ClusterRoleBindings().Delete(context.Background(), binding.Name, metav1.DeleteOptions{})
		})
		server.Eventually(t, patience, func(ctx context.Context) error {
			_, err := clerk.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, csr.Name, approved, metav1.UpdateOptions{})
			if err == nil {
				t.Fatal("approved without the right to approve for this signer")
			}
			if want := `user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"`; !apierrors.IsForbidden(err) || !contains(err, want) {
				return notYet("want %s; got %v", want, err)
			}
			return nil
		})
	})
	t.Run("the certificate works", func(t *testing.T) {
		_, err := requests.UpdateApproval(ctx, csr.Name, approved, metav1.UpdateOptions{})
		passes(t, err)
		config := s.AnonymousConfig(t)
		config.CertData, config.KeyData = issued(t, admin, csr.Name), key
		self, err := server.Client(t, config).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, create)
		passes(t, err)
		if u := self.Status.UserInfo; u.Username != "ruth" || len(u.Groups) == 0 || u.Groups[0] != "readers" {
			t.Errorf("the server takes us for %v", u)
		}
	})
	t.Run("a node's own request is approved by itself", func(t *testing.T) {
		binding, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:nodes"}},
			RoleRef:    clusterRole("system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"),
		}, create)
		passes(t, err)
		t.Cleanup(func() {
			_ = admin.RbacV1().ClusterRoleBindings().Delete(context.Background(), binding.Name, metav1.DeleteOptions{})
		})
		node := server.Client(t, s.UserConfig(t, "system:node:n7", "system:nodes"))
		awaitAccess(t, node, "", "create", "certificates.k8s.io", "certificatesigningrequests")
		_, csr := signingRequest(t, certificatesv1.KubeAPIServerClientKubeletSignerName,
			pkix.Name{CommonName: "system:node:n7", Organization: []string{"system:nodes"}}, certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth)
		csr, err = node.CertificatesV1().CertificateSigningRequests().Create(ctx, csr, create)
		passes(t, err)
		block, _ := pem.Decode(issued(t, admin, csr.Name))
		got, err := x509.ParseCertificate(block.Bytes)
		passes(t, err)
		if life := time.Until(got.NotAfter); got.Subject.CommonName != "system:node:n7" || life > time.Hour {
			t.Errorf("certificate is for %s and %v", got.Subject, life)
		}
	})
}
