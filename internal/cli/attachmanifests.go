package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/attach"
	"github.com/gatehouse-io/gatehouse/internal/version"
)

// lookTimeout bounds the two questions that manifests asks a cluster.
const lookTimeout = 15 * time.Second

func newAttachManifests() *cobra.Command {
	var o attach.ManifestOptions
	var cluster v1alpha1.AttachClusterOptions
	var dataDir, clientCA string
	cmd := &cobra.Command{
		Use:   "manifests",
		Short: "Print the objects that run gatehouse attach in a cluster, and its API server's files",
		Long: `Print, as YAML for kubectl apply, the objects that run gatehouse attach as a
Deployment behind a Service, with the least rights it needs, and a ConfigMap with
the files of the API server: an AuthorizationConfiguration and two kubeconfigs, or
three with --audit.

The kubeconfigs carry the caBundle of the serving certificate. The first replica
makes that CA, so print them again once one is ready: with --kubeconfig the CA
and the Service's address are looked up in the cluster, with --data-dir the CA is
that of a gatehouse attach on this host. Nothing is changed anywhere.
` + exitCodesHelp,
		Example: `  gatehouse attach manifests --image registry.example.org/gatehouse:0.1.0 | kubectl apply -f -
  gatehouse attach manifests --kubeconfig admin.conf | kubectl apply -f -
  gatehouse attach manifests --client-ca ca.crt --client-name kube-apiserver-kubelet-client
  gatehouse attach manifests --data-dir /var/lib/gatehouse-attach --server https://127.0.0.1:8443`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if clientCA != "" {
				data, err := os.ReadFile(clientCA)
				if err != nil {
					return coded(exitUnreadable, fmt.Errorf("read client CA: %w", err))
				}
				o.ClientCA = data
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), lookTimeout)
			defer cancel()
			var err error
			switch {
			case dataDir != "":
				o.CABundle, err = attach.ServingCA(ctx, v1alpha1.AttachTLSOptions{DataDir: dataDir}, nil, "")
				if err == nil && o.CABundle == nil {
					err = &hintError{problem: "there is no serving CA in " + dataDir + " yet", hint: "start gatehouse attach --data-dir " + dataDir + " once"}
				}
				if err != nil {
					return coded(exitUnreadable, err)
				}
			case cluster.Kubeconfig != "":
				cluster.Namespace = o.Namespace
				if err := lookUp(ctx, cluster, &o); err != nil {
					return coded(exitInternal, err)
				}
			}
			return coded(exitUsage, attach.Manifests(cmd.OutOrStdout(), o))
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Namespace, "namespace", "n", "gatehouse-system", "namespace of everything")
	f.StringVar(&o.Image, "image", "ghcr.io/gatehouse-io/gatehouse:"+version.Release, "image that holds the program")
	f.IntVar(&o.Replicas, "replicas", 2, "replicas of the Deployment")
	f.StringVar(&o.Server, "server", "", "URL, without a path, by which the API server reaches Gatehouse (default: the Service)")
	f.StringVar(&o.ClusterIP, "cluster-ip", "", "address of the Service (default: as in the cluster, or it picks one)")
	f.StringVar(&clientCA, "client-ca", "", "CA of the API server's client certificate (default: none is asked for)")
	f.StringSliceVar(&o.ClientNames, "client-name", nil, "common name that certificate may have; may be repeated (default any)")
	f.BoolVar(&o.Audit, "audit", false, "keep audit events too, in a StatefulSet of its own, and answer questions about them")
	f.StringVar(&o.AuditServer, "audit-server", "", "URL, without a path, by which the API server reaches it (default: the Service gatehouse-audit)")
	f.BoolVar(&o.BootstrapTokens, "bootstrap-tokens", false, "let /authenticate know bootstrap tokens (reads Secrets of kube-system)")
	f.StringVar(&o.Folder, "folder", "/etc/kubernetes/gatehouse", "folder of the API server's files on its host")
	f.StringVar(&cluster.Kubeconfig, "kubeconfig", "", "kubeconfig of the cluster to look the CA up in")
	f.StringVar(&cluster.Context, "context", "", "context of that kubeconfig")
	f.StringVar(&dataDir, "data-dir", "", "folder of a gatehouse attach on this host, to read the CA from")
	cmd.MarkFlagsMutuallyExclusive("kubeconfig", "data-dir")
	return cmd
}

// lookUp fills in what the cluster knows by now: the serving CA, and the address
// of the Service.
func lookUp(ctx context.Context, cluster v1alpha1.AttachClusterOptions, o *attach.ManifestOptions) error {
	config, namespace, err := attach.Connect(cluster)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	settings := &v1alpha1.AttachConfiguration{}
	v1alpha1.SetAttachDefaults(settings)
	if o.CABundle, err = attach.ServingCA(ctx, settings.TLS, client, namespace); err != nil {
		return err
	}
	if o.ClusterIP != "" {
		return nil
	}
	service, err := client.CoreV1().Services(namespace).Get(ctx, "gatehouse-attach", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up the Service: %w", err)
	}
	o.ClusterIP = service.Spec.ClusterIP
	return nil
}
