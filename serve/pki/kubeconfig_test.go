package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// serveTLS serves with the PKI's own files, as the API server will, and says
// who the caller is.
func serveTLS(t *testing.T, p *PKI) string {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(p.Paths.Serving.Cert, p.Paths.Serving.Key)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(p.Paths.ClientCABundle)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject := r.TLS.PeerCertificates[0].Subject
		_, _ = io.WriteString(w, subject.CommonName+" "+strings.Join(subject.Organization, ","))
	}))
	server.Config.ErrorLog = nil
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{cert},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// whoami calls the server of a kubeconfig the way kubectl would.
func whoami(kubeconfig []byte) (string, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return "", err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return "", err
	}
	defer client.CloseIdleConnections()
	res, err := client.Get(config.Host)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

func TestKubeconfigHandshake(t *testing.T) {
	f := newFixture(t)
	f.opts.Clock = nil // A handshake goes by the system's clock.
	p := f.ensure()
	url := serveTLS(t, p)
	who := IssueOptions{User: "jane", Groups: []string{"ops", "dev", "ops"}, TTL: time.Hour}

	issuer, err := Open(Options{Dir: f.opts.Dir})
	if err != nil {
		t.Fatal(err)
	}
	data, cert, err := issuer.Kubeconfig(url, who)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := whoami(data); err != nil || got != "jane dev,ops" {
		t.Errorf("server sees %q, %v", got, err)
	}
	if left := time.Until(cert.NotAfter); left > time.Hour || left < 59*time.Minute {
		t.Errorf("certificate has %s left", left)
	}

	path := filepath.Join(f.data, "jane.kubeconfig")
	if _, err := p.WriteKubeconfig(path, url, who); err != nil {
		t.Fatal(err)
	}
	data, _ = os.ReadFile(path)
	if got, err := whoami(data); err != nil || got != "jane dev,ops" {
		t.Errorf("server sees %q, %v", got, err)
	}
	if info, _ := os.Stat(path); info.Mode() != fileMode {
		t.Errorf("mode is %s", info.Mode())
	}

	// The admin kubeconfig works too, once it points at this server.
	f.opts.AdminServer = url
	if made := f.ensure().Made; !slices.Equal(made, []string{"admin-kubeconfig"}) {
		t.Errorf("made %q", made)
	}
	data, _ = os.ReadFile(f.opts.AdminKubeconfig)
	if got, err := whoami(data); err != nil || got != "gatehouse:admin gatehouse:admins" {
		t.Errorf("server sees %q, %v", got, err)
	}

	// A client of another PKI is turned away, and turns away this server.
	other := newFixture(t)
	other.opts.Clock = nil
	data, _, err = other.ensure().Kubeconfig(url, who)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := whoami(data); err == nil {
		t.Errorf("a stranger gets in as %q", got)
	}
}

func TestIssueOptions(t *testing.T) {
	f := newFixture(t)
	p := f.ensure()
	for _, tt := range []struct {
		name   string
		server string
		opts   IssueOptions
		want   string
	}{
		{"no user", "", IssueOptions{TTL: time.Hour}, "option User: is empty"},
		{"blank group", "", IssueOptions{User: "a", Groups: []string{" "}, TTL: time.Hour}, "option Groups: is empty"},
		{"newline", "", IssueOptions{User: "a\nb", TTL: time.Hour}, `option User: "a\nb": holds characters that a name cannot have`},
		{"not UTF-8", "", IssueOptions{User: "a\xff", TTL: time.Hour}, `option User: "a\xff": holds characters that a name cannot have`},
		{"no TTL", "", IssueOptions{User: "a"}, "option TTL: must be more than zero"},
		{"negative TTL", "", IssueOptions{User: "a", TTL: -1}, "option TTL: must be more than zero"},
		{"long TTL", "", IssueOptions{User: "a", TTL: MaxTTL + 1}, "option TTL: 8760h0m0.000000001s is more than 8760h0m0s"},
		{"masters", "", IssueOptions{User: "a", Groups: []string{"system:masters"}, TTL: time.Hour},
			"option Groups: system:masters may be above every rule, and needs AllowSystemMasters"},
		{"plain", "http://a", IssueOptions{User: "a", TTL: time.Hour},
			`server: "http://a": is not a URL of the form https://HOST:PORT`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := tt.server
			if server == "" {
				server = "https://127.0.0.1"
			}
			_, _, err := p.Kubeconfig(server, tt.opts)
			if want := "issue client certificate: " + tt.want; err == nil || err.Error() != want {
				t.Errorf("error is %v\nwant %s", err, want)
			}
		})
	}
	_, cert, err := p.Kubeconfig("https://127.0.0.1", IssueOptions{
		User: "a", Groups: []string{"system:masters"}, TTL: MaxTTL, AllowSystemMasters: true,
	})
	if err != nil || !cert.NotAfter.Equal(birth.Add(MaxTTL)) {
		t.Errorf("certificate is %v, %v", cert, err)
	}
}

const otherKubeconfig = `apiVersion: v1
kind: Config
current-context: work
clusters: [{name: work, cluster: {server: "https://work", certificate-authority: ca.crt}}]
users: [{name: me, user: {token: hunter2}}]
contexts: [{name: work, context: {cluster: work, user: me}}]
`

func TestWriteKubeconfigIntoAnother(t *testing.T) {
	f := newFixture(t)
	p := f.ensure()
	who := IssueOptions{User: "jane", TTL: time.Hour}
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	f.write(real, otherKubeconfig)
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteKubeconfig(link, "https://127.0.0.1", who); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}
	config, err := clientcmd.LoadFromFile(real)
	if err != nil {
		t.Fatal(err)
	}
	if config.CurrentContext != "work" || config.AuthInfos["me"].Token != "hunter2" ||
		config.Clusters["work"].CertificateAuthority != "ca.crt" || config.Contexts["work"].AuthInfo != "me" {
		t.Errorf("the other context did not stay: %+v", config)
	}
	if _, ok := entryOf(config); !ok {
		t.Error("ours is not there")
	}

	// A bare kubeconfig is one; what is none stays as it is.
	f.write(real, "apiVersion: v1\nkind: Config\n")
	if _, err := p.WriteKubeconfig(real, "https://127.0.0.1", who); err != nil {
		t.Error(err)
	}
	for _, content := range []string{"hunter2: [", "kind: Pod\napiVersion: v1\n"} {
		f.write(real, content)
		_, err = p.WriteKubeconfig(real, "https://127.0.0.1", who)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error is %v", err)
		}
		if got, _ := os.ReadFile(real); !bytes.Equal(got, []byte(content)) {
			t.Errorf("file is %s", got)
		}
	}
}
