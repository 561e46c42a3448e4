package attach

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/load"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

func defaults() *v1alpha1.AttachConfiguration {
	cfg := &v1alpha1.AttachConfiguration{}
	v1alpha1.SetAttachDefaults(cfg)
	return cfg
}

func toPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// printed are the objects that Manifests prints, strictly read.
func printed(t *testing.T, o ManifestOptions) map[string]runtime.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, rbacv1.AddToScheme, policyv1.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := Manifests(&out, o); err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	all := map[string]runtime.Object{}
	for document := range strings.SplitSeq(out.String(), "\n---\n") {
		object, kind, err := decoder.Decode([]byte(document), nil, nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		meta := object.(interface{ GetName() string })
		all[kind.Kind+"/"+meta.GetName()] = object
	}
	return all
}

func TestManifests(t *testing.T) {
	certPEM, keyPEM, err := newAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	all := printed(t, ManifestOptions{
		Namespace: "sec", Image: "registry.example.org/gatehouse@sha256:0123", Replicas: 3, ClusterIP: "10.96.0.53", CABundle: certPEM,
		ClientCA: append(slices.Clone(keyPEM), certPEM...), ClientNames: []string{"kube-apiserver-kubelet-client", "odd: \"name\""}, BootstrapTokens: true,
	})
	deployment := all["Deployment/gatehouse-attach"].(*appsv1.Deployment)
	pod := deployment.Spec.Template.Spec
	container := pod.Containers[0]
	if *deployment.Spec.Replicas != 3 || container.Image != "registry.example.org/gatehouse@sha256:0123" || !*pod.SecurityContext.RunAsNonRoot ||
		!*container.SecurityContext.ReadOnlyRootFilesystem || *container.SecurityContext.AllowPrivilegeEscalation || container.ReadinessProbe == nil || container.LivenessProbe == nil {
		t.Errorf("got %+v", pod)
	}
	for name, object := range all {
		if !strings.HasPrefix(name, "CustomResourceDefinition/") && !strings.HasPrefix(name, "Cluster") && !strings.HasPrefix(name, "Namespace/") {
			if ns := object.(interface{ GetNamespace() string }).GetNamespace(); ns != "sec" && !strings.HasSuffix(name, "bootstrap-tokens") {
				t.Errorf("%s is in namespace %q", name, ns)
			}
		}
	}

	// The settings that the replicas are given are settings.
	settings := all["ConfigMap/gatehouse-attach"].(*corev1.ConfigMap).Data
	cfg, source, err := v1alpha1.ParseAttachConfiguration("attach.yaml", []byte(settings["attach.yaml"]))
	if err == nil {
		v1alpha1.SetAttachDefaults(cfg)
		err = source.Locate(v1alpha1.ValidateAttach(cfg))
	}
	if err != nil || !slices.Equal(cfg.Client.Names, []string{"kube-apiserver-kubelet-client", "odd: \"name\""}) || !cfg.Authentication.BootstrapTokens {
		t.Errorf("got %+v %v", cfg, err)
	}
	if ca := settings["client-ca.crt"]; strings.TrimSpace(ca) != strings.TrimSpace(string(certPEM)) {
		t.Errorf("the client CA is %q", ca)
	}

	// The files of the API server are what it takes.
	files := all["ConfigMap/gatehouse-attach-api-server"].(*corev1.ConfigMap).Data
	authorization, err := load.LoadFromData([]byte(files["authorization.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	if errs := validation.ValidateAuthorizationConfiguration(authorizationcel.NewDefaultCompiler(), nil, authorization,
		sets.New("Webhook", "Node", "RBAC"), sets.New("Webhook")); len(withoutFiles(errs.ToAggregate())) > 0 {
		t.Error(errs)
	}
	if hook := authorization.Authorizers[0]; hook.Webhook == nil || hook.Webhook.FailurePolicy != apiserver.FailurePolicyDeny {
		t.Errorf("got %+v", hook)
	}
	for file, path := range map[string]string{"authorize.kubeconfig": "/authorize", "authenticate.kubeconfig": "/authenticate", "images.kubeconfig": "/images"} {
		config, err := clientcmd.Load([]byte(files[file]))
		if err != nil {
			t.Fatal(err)
		}
		cluster := config.Clusters["gatehouse"]
		if cluster.Server != "https://10.96.0.53"+path || cluster.TLSServerName != "gatehouse-attach.sec.svc" ||
			!bytes.Equal(cluster.CertificateAuthorityData, certPEM) || config.AuthInfos["api-server"].ClientCertificate == "" {
			t.Errorf("%s: got %+v", file, cluster)
		}
	}
}

// withoutFiles are the errors that are not about files which are not on this host.
func withoutFiles(err error) []string {
	if err == nil {
		return nil
	}
	var rest []string
	for line := range strings.SplitSeq(err.Error(), ", ") {
		if !strings.Contains(line, "kubeConfigFile") {
			rest = append(rest, line)
		}
	}
	return rest
}

func TestManifestsGiveNoMoreThanIsNeeded(t *testing.T) {
	all := printed(t, ManifestOptions{Image: "gatehouse"})
	// What attach does besides listing and watching.
	does := map[string][]string{
		"rolebindings": {"delete"}, "clusterrolebindings": {"delete"}, "events": {"create"}, "namespaces": {"get"},
		"guards": {"get"}, "builtinpolicies": {"get"}, "exceptions": {"get"},
		"guards/status": {"update"}, "builtinpolicies/status": {"update"}, "exceptions/status": {"update"},
		"*/status":                      {"update"}, // of the policies of Gatekeeper
		"mutatingwebhookconfigurations": {"get", "create", "update"}, "validatingwebhookconfigurations": {"get", "create", "update"},
	}
	for name, object := range all {
		var rules []rbacv1.PolicyRule
		switch o := object.(type) {
		case *rbacv1.ClusterRole:
			rules = o.Rules
		case *rbacv1.Role:
			rules = o.Rules
			if o.Namespace != "gatehouse-system" {
				t.Errorf("%s is in %s", name, o.Namespace)
			}
		}
		for _, r := range rules {
			if slices.Contains(r.Verbs, "update") && slices.Contains(r.APIGroups, "admissionregistration.k8s.io") && !slices.Equal(r.ResourceNames, []string{"gatehouse-attach"}) {
				t.Errorf("%s: it may change the webhooks of others: %+v", name, r)
			}
			for _, verb := range r.Verbs {
				if !slices.ContainsFunc(r.Resources, func(resource string) bool { return !slices.Contains(does[resource], verb) }) {
					continue
				}
				secrets := slices.Contains(r.Resources, "secrets")
				if verb == "*" || !secrets && verb != "list" && verb != "watch" || secrets && verb != "create" && !slices.Equal(r.ResourceNames, []string{"gatehouse-attach-ca"}) {
					t.Errorf("%s: %+v", name, r)
				}
			}
		}
	}
	if _, ok := all["CustomResourceDefinition/revocations.gatehouse.io"]; !ok {
		t.Error("no definition of Revocation")
	}
	files := all["ConfigMap/gatehouse-attach-api-server"].(*corev1.ConfigMap).Data
	if !strings.Contains(files["authorize.kubeconfig"], "server: https://gatehouse-attach.gatehouse-system.svc/authorize") || !strings.Contains(files["authorize.kubeconfig"], `certificate-authority-data: ""`) {
		t.Errorf("got %s", files["authorize.kubeconfig"])
	}
}

func TestManifestsRefuseWhatWouldBreakOut(t *testing.T) {
	good := base64.StdEncoding.EncodeToString([]byte("x"))
	for _, c := range []struct {
		o    ManifestOptions
		want string
	}{
		{ManifestOptions{Image: "a", Namespace: "a\nb"}, "Namespace"},
		{ManifestOptions{Image: "a", Namespace: "a'b"}, "Namespace"},
		{ManifestOptions{}, "Image"},
		{ManifestOptions{Image: "a\nb: c"}, "Image"},
		{ManifestOptions{Image: "a", Replicas: -1}, "Replicas"},
		{ManifestOptions{Image: "a", Server: "http://a"}, "Server"},
		{ManifestOptions{Image: "a", Server: "https://a/path"}, "Server"},
		{ManifestOptions{Image: "a", Server: "https://u:p@a"}, "Server"},
		{ManifestOptions{Image: "a", Server: "https://a\n"}, "Server"},
		{ManifestOptions{Image: "a", ClusterIP: "ten"}, "ClusterIP"},
		{ManifestOptions{Image: "a", CABundle: []byte(good)}, "CABundle"},
		{ManifestOptions{Image: "a", ClientCA: []byte(good)}, "ClientCA"},
		{ManifestOptions{Image: "a", ClientNames: []string{"a"}}, "ClientNames"},
		{ManifestOptions{Image: "a", Folder: "rel"}, "Folder"},
		{ManifestOptions{Image: "a", Folder: "/a\nb"}, "Folder"},
	} {
		var out bytes.Buffer
		if err := Manifests(&out, c.o); err == nil || !strings.Contains(err.Error(), "option "+c.want) || out.Len() > 0 {
			t.Errorf("%+v: got %v", c.o, err)
		}
	}
}
