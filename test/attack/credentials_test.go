package attack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func (a *attacker) token(account string, seconds int64) error {
	_, err := a.kube.CoreV1().ServiceAccounts(a.ns).CreateToken(a.ctx(), account, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	return err
}

// certificate asks for a client certificate for somebody, and approves it.
func (a *attacker) certificate(name, user string, approve bool) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: user}}, key)
	if err != nil {
		return err
	}
	csr := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: certificatesv1.CertificateSigningRequestSpec{
		Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		SignerName: certificatesv1.KubeAPIServerClientSignerName, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
	}}
	if csr, err = a.kube.CertificatesV1().CertificateSigningRequests().Create(a.ctx(), csr, metav1.CreateOptions{}); err != nil || !approve {
		return err
	}
	csr.Status.Conditions = append(csr.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Mine", Message: "mine"})
	if _, err = a.kube.CertificatesV1().CertificateSigningRequests().UpdateApproval(a.ctx(), name, csr, metav1.UpdateOptions{}); err != nil {
		return err
	}
	for range 100 {
		if csr, err = a.kube.CertificatesV1().CertificateSigningRequests().Get(a.ctx(), name, metav1.GetOptions{}); err != nil || len(csr.Status.Certificate) > 0 {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("it was not signed")
}

// guess presents tokens that nobody has.
func (a *attacker) guess(agent string, n int) error {
	for i := range n {
		config := a.place.server.TokenConfig(a, fmt.Sprintf("guess-%d-%s", i, a.user))
		config.UserAgent = agent
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		if _, err = client.CoreV1().Pods(a.ns).List(a.ctx(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
			return fmt.Errorf("a guess ends with %w", err)
		}
	}
	return nil
}

// as is the attacker with another program.
func (a *attacker) as(agent string) (kubernetes.Interface, error) {
	config := rest.CopyConfig(a.config)
	config.UserAgent = agent
	return kubernetes.NewForConfig(config)
}

// get asks for a path without a credential, and says with which code that ends.
func (a *attacker) anonymous(path string) (int, error) {
	transport, err := rest.TransportFor(a.place.server.AnonymousConfig(a))
	if err != nil {
		return 0, err
	}
	response, err := (&http.Client{Transport: transport}).Get(a.place.server.URL + path)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

var credentialTechniques = []technique{
	{does: "makes a Secret that gets a token for ever", rules: []string{"token-secret"}, do: func(a *attacker) error {
		return a.create("{apiVersion: v1, kind: Secret, metadata: {name: forever, namespace: NS, annotations: {kubernetes.io/service-account.name: default}}, type: kubernetes.io/service-account-token}")
	}},
	{does: "takes a token of another account", rules: []string{"token-for-another"}, do: func(a *attacker) error { return a.token("default", 600) }},
	{does: "takes a token that lasts ten years", rules: []string{"token-far-off"}, do: func(a *attacker) error { return a.token("default", 10*365*24*3600) }},
	{does: "asks for a client certificate", rules: []string{"csr-client"}, do: func(a *attacker) error { return a.certificate("for-later", "somebody", false) }},
	{does: "asks for a client certificate, and approves it", rules: []string{"csr-self-approval", "csr-client"}, do: func(a *attacker) error { return a.certificate("mine", "kube-admin", true) }},
	{does: "presents tokens that nobody has", rules: []string{"unauthenticated-storm"}, by: "-", do: func(a *attacker) error { return a.guess("guesser/1.0", 35) }},
	{does: "guesses until a token is accepted", rules: []string{"guessing-succeeded"}, do: func(a *attacker) error {
		if err := a.guess("sprayer/1.0", 20); err != nil {
			return err
		}
		client, err := a.as("sprayer/1.0")
		if err != nil {
			return err
		}
		_, err = client.CoreV1().Pods(a.ns).List(a.ctx(), metav1.ListOptions{})
		return err
	}},
	{does: "uses a credential that was revoked", rules: []string{"revoked-credential"}, by: "-", do: func(a *attacker) error {
		account := fmt.Sprintf("{apiVersion: gatehouse.io/v1alpha1, kind: Revocation, metadata: {name: stolen-NS}, spec: {reason: a laptop was lost, user: {name: %q, issuedBefore: %q}}}", a.user, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		if err := a.given(account); err != nil {
			return err
		}
		for range 100 {
			_, err := a.kube.CoreV1().Pods(a.ns).List(a.ctx(), metav1.ListOptions{})
			if apierrors.IsUnauthorized(err) {
				return nil
			}
			time.Sleep(50 * time.Millisecond)
		}
		return errors.New("it is not refused")
	}},
	{does: "uses the account for emergencies", rules: []string{"break-glass"}, may: "masters", do: func(a *attacker) error {
		_, err := a.kube.CoreV1().Pods(a.ns).List(a.ctx(), metav1.ListOptions{})
		return err
	}},
	{does: "uses the credential of a node from elsewhere", rules: []string{"node-credential-misused"}, by: "system:node:worker", do: func(a *attacker) error {
		config := a.place.node(a)
		config.UserAgent = "kubectl/v1.36.1"
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		_, err = client.CoreV1().Nodes().Get(a.ctx(), "worker", metav1.GetOptions{})
		return err
	}},
	{does: "tries the server without a name", rules: []string{"anonymous-probe"}, by: "system:anonymous", do: func(a *attacker) error {
		for i := range 12 {
			code, err := a.anonymous(fmt.Sprintf("/api/v1/namespaces/team-%d/secrets", i))
			if err != nil || code != 403 {
				return fmt.Errorf("it ends with %d, %v", code, err)
			}
		}
		return nil
	}},
	{does: "lets everybody in, and comes without a name", rules: []string{"anonymous-allowed"}, by: "system:anonymous", do: func(a *attacker) error {
		if err := a.create("{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: open, namespace: NS}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: \"system:anonymous\"}]}"); err != nil {
			return err
		}
		for range 100 {
			code, err := a.anonymous("/api/v1/namespaces/" + a.ns + "/pods")
			if err != nil || code == 200 {
				return err
			}
			time.Sleep(50 * time.Millisecond)
		}
		return errors.New("it is refused")
	}},
}
