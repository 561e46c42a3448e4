package attach

import (
	"bytes"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"text/template"

	"k8s.io/apimachinery/pkg/util/validation"
	certutil "k8s.io/client-go/util/cert"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

//go:embed manifests.yaml.tmpl manifests-audit.yaml.tmpl
var manifestsText embed.FS

var manifestsTemplate = template.Must(template.New("manifests").Funcs(template.FuncMap{
	"quote": strconv.Quote,
	"indent": func(n int, text []byte) string {
		lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
		return strings.Repeat(" ", n) + strings.Join(lines, "\n"+strings.Repeat(" ", n))
	},
}).ParseFS(manifestsText, "*.tmpl"))

// ManifestOptions shape what Manifests prints.
type ManifestOptions struct {
	// Namespace is where everything goes. Default: gatehouse-system.
	Namespace string

	// Image that holds the program. Needed.
	Image string

	// Replicas of the Deployment. Default: 2.
	Replicas int

	// Server is the URL, without a path, by which the API server reaches Gatehouse.
	// Default: https:// and ClusterIP, or the name of the Service, which only an
	// API server with the cluster's DNS can look up.
	Server string

	// ClusterIP is the address of the Service. Default: the cluster picks one.
	ClusterIP string

	// CABundle is the serving CA as PEM, see ServingCA. Default: none is printed,
	// since none has been made yet.
	CABundle []byte

	// ClientCA, as PEM, signs the client certificate of the API server, whose
	// common name is one of ClientNames. Default: no client certificate is asked
	// for.
	ClientCA    []byte
	ClientNames []string

	// BootstrapTokens lets /authenticate know bootstrap tokens, and with that the
	// replicas read the Secrets of kube-system. Default: false.
	BootstrapTokens bool

	// Audit adds a replica of its own that keeps the API server's audit events on a
	// volume, and answers questions about them behind the aggregator. Default: false.
	Audit bool

	// AuditServer is the URL, without a path, by which the API server reaches it.
	// Default: the name of the Service gatehouse-audit.
	AuditServer string

	// Folder holds the files of the API server on its host.
	// Default: /etc/kubernetes/gatehouse.
	Folder string
}

// watchedKinds finds the definitions of the kinds that the ClusterRole names.
var watchedKinds = regexp.MustCompile(`(?m)^  name: (builtinpolicies|detectionrules|exceptions|guards|mutes|revocations)\.gatehouse\.io$`)

// imageForm is what an image reference may be made of.
var imageForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]*$`)

func (o *ManifestOptions) validate() error {
	if problems := validation.IsDNS1123Label(o.Namespace); len(problems) > 0 {
		return fmt.Errorf("option Namespace: %q: %s", o.Namespace, strings.Join(problems, "; "))
	}
	if !imageForm.MatchString(o.Image) {
		return fmt.Errorf("option Image: %q: is no image reference", o.Image)
	}
	if o.Replicas < 1 {
		return fmt.Errorf("option Replicas: %d: want at least 1", o.Replicas)
	}
	for name, server := range map[string]string{"Server": o.Server, "AuditServer": o.AuditServer} {
		if u, err := url.Parse(server); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil ||
			strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(server, " \"'\n") {
			return fmt.Errorf("option %s: want a URL such as https://10.96.0.53, without a path", name)
		}
	}
	if o.ClusterIP != "" && net.ParseIP(o.ClusterIP) == nil {
		return fmt.Errorf("option ClusterIP: %q: is no IP address", o.ClusterIP)
	}
	for name, data := range map[string][]byte{"CABundle": o.CABundle, "ClientCA": o.ClientCA} {
		if len(data) == 0 {
			continue
		}
		if _, err := certutil.ParseCertsPEM(data); err != nil {
			return fmt.Errorf("option %s: holds no certificate in PEM", name)
		}
	}
	if len(o.ClientNames) > 0 && len(o.ClientCA) == 0 {
		return errors.New("option ClientNames: names are read from certificates, and option ClientCA names no CA")
	}
	if !strings.HasPrefix(o.Folder, "/") || strings.ContainsAny(o.Folder, " \"'\n{},#:") {
		return fmt.Errorf("option Folder: %q: want an absolute path", o.Folder)
	}
	return nil
}

// Manifests writes, as YAML, the objects that run Gatehouse in the cluster whose
// API server is to ask it, and a ConfigMap with the files of that API server.
func Manifests(w io.Writer, o ManifestOptions) error {
	if o.Namespace == "" {
		o.Namespace = defaultNamespace
	}
	if o.Replicas == 0 {
		o.Replicas = 2
	}
	if o.Folder == "" {
		o.Folder = "/etc/kubernetes/gatehouse"
	}
	serverName := serviceName + "." + o.Namespace + ".svc"
	switch {
	case o.Server != "":
		serverName = "" // the certificate has that host, or is to get it by tls.sans
	case o.ClusterIP != "":
		o.Server = (&url.URL{Scheme: "https", Host: bracketed(o.ClusterIP)}).String()
	default:
		o.Server, serverName = "https://"+serverName, ""
	}
	auditHost := ""
	if o.AuditServer == "" {
		o.AuditServer = "https://gatehouse-audit." + o.Namespace + ".svc"
	} else if u, err := url.Parse(o.AuditServer); err == nil {
		auditHost = u.Hostname()
	}
	if err := o.validate(); err != nil {
		return fmt.Errorf("print manifests: %w", err)
	}
	var clientCA []byte
	if len(o.ClientCA) > 0 {
		// The certificates alone: a key that strayed into the file stays there.
		certs, _ := certutil.ParseCertsPEM(o.ClientCA)
		for _, cert := range certs {
			clientCA = append(clientCA, encodeCertificate(cert)...)
		}
	}
	type webhook struct{ File, Flag, URL, ServerName string }
	server := strings.TrimRight(o.Server, "/")
	data := struct {
		ManifestOptions
		ClientCA            []byte
		CABundle, AuditHost string
		Webhooks            []webhook
	}{o, clientCA, base64.StdEncoding.EncodeToString(o.CABundle), auditHost, []webhook{
		{"authorize.kubeconfig", "named by authorization.yaml", server + "/authorize", serverName},
		{"authenticate.kubeconfig", "--authentication-token-webhook-config-file, with --authentication-token-webhook-version=v1", server + "/authenticate", serverName},
		{"images.kubeconfig", "imagePolicy.kubeConfigFile of the plugin ImagePolicyWebhook, where policies of images are to be asked that way", server + "/images", serverName},
	}}
	templates := []string{"manifests.yaml.tmpl"}
	if o.Audit {
		data.Webhooks = append(data.Webhooks, webhook{"audit.kubeconfig", "--audit-webhook-config-file, with --audit-policy-file", strings.TrimRight(o.AuditServer, "/") + auditPath, ""})
		templates = append(templates, "manifests-audit.yaml.tmpl")
	}
	var out bytes.Buffer
	for _, name := range templates {
		if err := manifestsTemplate.ExecuteTemplate(&out, name, data); err != nil {
			return fmt.Errorf("print manifests: %w", err)
		}
	}
	for _, crd := range v1alpha1.CRDs() {
		// Of the kinds only those that a replica watches: the virtual ones are
		// answered by a server, and would do nothing in this cluster.
		if !watchedKinds.Match(crd) {
			continue
		}
		fmt.Fprintf(&out, "---\n%s\n", strings.TrimSpace(strings.TrimPrefix(string(crd), "---\n")))
	}
	_, err := w.Write(out.Bytes())
	return err
}

func bracketed(ip string) string {
	if strings.Contains(ip, ":") {
		return "[" + ip + "]"
	}
	return ip
}
