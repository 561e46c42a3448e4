package cli

import (
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/attach"
)

func newAttach() *cobra.Command {
	var configFile string
	var printConfig bool
	var set v1alpha1.AttachConfiguration
	cmd := &cobra.Command{
		Use:   "attach",
		Short: "Answer the authorization and token webhooks of a cluster that already runs",
		Long: `Watch a cluster and answer what its API server asks over webhooks: /authorize
takes SubjectAccessReviews, /authenticate TokenReviews, both of version v1. Until
everything that decides has been read from the cluster, and whenever something
goes wrong, nothing is allowed.

A flag wins over the same setting in the --config file. --print-config shows
every setting, with its meaning and the value in force.
` + exitCodesHelp,
		Example: `  gatehouse attach --kubeconfig admin.conf --data-dir /var/lib/gatehouse-attach
  gatehouse attach --kubeconfig admin.conf --client-ca ca.crt --client-name kube-apiserver-kubelet-client
  gatehouse attach --config attach.yaml
  gatehouse attach manifests --image registry.example.org/gatehouse | kubectl apply -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := effectiveAttach(cmd, configFile, &set)
			if err != nil {
				return err
			}
			if printConfig {
				return coded(exitInternal, v1alpha1.PrintAttach(cmd.OutOrStdout(), cfg))
			}
			if err := setUpLogging(cfg.Logging, cmd.ErrOrStderr()); err != nil {
				return coded(exitUsage, err)
			}
			err = attach.Run(cmd.Context(), attach.RunOptions{Config: cfg, Out: cmd.ErrOrStderr()})
			klog.Flush()
			return coded(exitInternal, err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&configFile, "config", "", "settings file, kind AttachConfiguration of gatehouse.io/v1alpha1")
	f.BoolVar(&printConfig, "print-config", false, "print the effective settings and exit")
	f.StringVar(&set.Listen, "listen", "", "address and port to answer on (default 127.0.0.1:8443)")
	f.StringVar(&set.HealthListen, "health-listen", "", "second address, unencrypted, for /livez and /readyz alone (default none)")
	f.StringVar(&set.Cluster.Kubeconfig, "kubeconfig", "", "kubeconfig of the cluster to watch (default: the pod's service account)")
	f.StringVar(&set.Cluster.Context, "context", "", "context of that kubeconfig")
	f.StringVar(&set.Client.CAFile, "client-ca", "", "CA that the API server's client certificate must verify against")
	f.StringSliceVar(&set.Client.Names, "client-name", nil, "common name that certificate may have; may be repeated (default any)")
	f.StringVar(&set.TLS.CertFile, "tls-cert", "", "serving certificate (default: generated and renewed)")
	f.StringVar(&set.TLS.KeyFile, "tls-key", "", "key of that certificate")
	f.StringSliceVar(&set.TLS.SANs, "tls-san", nil, "further name or IP address of the generated certificate; may be repeated")
	f.StringVar(&set.TLS.DataDir, "data-dir", "", "folder that keeps the CA of the generated certificate (default: a Secret in the cluster)")
	f.StringVar(&set.Authentication.TokenFile, "token-file", "", "static token file")
	f.StringVar(&set.Authentication.ConfigFile, "authentication-config", "", "AuthenticationConfiguration with JWT issuers")
	f.StringVar(&set.Logging.Format, "log-format", "", "text or json (default text)")
	f.StringVar(&set.Logging.Level, "log-level", "", "error, warning, info or debug (default warning)")
	cmd.AddCommand(newAttachManifests())
	return cmd
}

// effectiveAttach is the file, with the flags that were given on top, and
// defaults where neither speaks.
func effectiveAttach(cmd *cobra.Command, file string, set *v1alpha1.AttachConfiguration) (*v1alpha1.AttachConfiguration, error) {
	cfg := &v1alpha1.AttachConfiguration{}
	var source *v1alpha1.Source
	if file != "" {
		var err error
		if cfg, source, err = v1alpha1.ReadAttachConfiguration(file); err != nil {
			return nil, coded(exitUsage, err)
		}
	}
	fromFile := attachProblems(cfg.DeepCopy())
	for flag, put := range map[string]func(){
		"listen":                func() { cfg.Listen = set.Listen },
		"health-listen":         func() { cfg.HealthListen = set.HealthListen },
		"kubeconfig":            func() { cfg.Cluster.Kubeconfig = set.Cluster.Kubeconfig },
		"context":               func() { cfg.Cluster.Context = set.Cluster.Context },
		"client-ca":             func() { cfg.Client.CAFile = set.Client.CAFile },
		"client-name":           func() { cfg.Client.Names = set.Client.Names },
		"tls-cert":              func() { cfg.TLS.CertFile = set.TLS.CertFile },
		"tls-key":               func() { cfg.TLS.KeyFile = set.TLS.KeyFile },
		"tls-san":               func() { cfg.TLS.SANs = set.TLS.SANs },
		"data-dir":              func() { cfg.TLS.DataDir = set.TLS.DataDir },
		"token-file":            func() { cfg.Authentication.TokenFile = set.Authentication.TokenFile },
		"authentication-config": func() { cfg.Authentication.ConfigFile = set.Authentication.ConfigFile },
		"log-format":            func() { cfg.Logging.Format = set.Logging.Format },
		"log-level":             func() { cfg.Logging.Level = set.Logging.Level },
	} {
		if cmd.Flags().Changed(flag) {
			put()
		}
	}
	return cfg, coded(exitUsage, blame(source, fromFile, attachProblems(cfg)))
}

// attachProblems fills in the defaults and says what is wrong with the result.
func attachProblems(cfg *v1alpha1.AttachConfiguration) field.ErrorList {
	v1alpha1.SetAttachDefaults(cfg)
	return v1alpha1.ValidateAttach(cfg)
}
