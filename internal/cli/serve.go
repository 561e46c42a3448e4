package cli

import (
	"os"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/serve"
)

func newServe() *cobra.Command {
	var configFile string
	var printConfig bool
	var set v1alpha1.ServeConfiguration
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a Kubernetes API with every gate shut",
		Long: `Run a complete Kubernetes API server, with etcd, in this process: certificates,
encryption at rest, audit, Pod Security, RBAC and the controllers they need are
on from the first start. Everything is kept in the data directory, and the
administrator's kubeconfig is DATA_DIR/admin.kubeconfig.

A flag wins over the same setting in the --config file. --print-config shows
every setting, with its meaning and the value in force.
` + exitCodesHelp,
		Example: `  gatehouse serve
  gatehouse serve --listen 0.0.0.0:6443 --tls-san api.example.org
  gatehouse serve --config gatehouse.yaml
  gatehouse serve --etcd-servers https://10.0.0.1:2379,https://10.0.0.2:2379 \
    --etcd-cafile ca.crt --etcd-certfile client.crt --etcd-keyfile client.key
  gatehouse serve --print-config > gatehouse.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := effectiveConfig(cmd, configFile, &set)
			if err != nil {
				return err
			}
			if printConfig {
				return coded(exitInternal, v1alpha1.Print(cmd.OutOrStdout(), cfg))
			}
			if err := setUpLogging(cfg.Logging, cmd.ErrOrStderr()); err != nil {
				return coded(exitUsage, err)
			}
			err = serve.Run(cmd.Context(), serve.Options{Config: cfg, Out: cmd.ErrOrStderr()})
			klog.Flush()
			return coded(exitInternal, err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&configFile, "config", "", "settings file, kind ServeConfiguration of gatehouse.io/v1alpha1")
	f.BoolVar(&printConfig, "print-config", false, "print the effective settings and exit")
	f.StringVar(&set.Listen, "listen", "", "address and port of the API (default 127.0.0.1:6443)")
	f.StringVar(&set.DataDir, "data-dir", "", "folder of everything the server keeps (default $XDG_DATA_HOME/gatehouse)")
	f.StringSliceVar(&set.TLS.SANs, "tls-san", nil, "further name or IP address of the serving certificate; may be repeated")
	f.StringSliceVar(&set.Etcd.Servers, "etcd-servers", nil, "client URLs of an external etcd cluster (default: etcd in this process)")
	f.StringVar(&set.Etcd.CAFile, "etcd-cafile", "", "CA of the external etcd cluster")
	f.StringVar(&set.Etcd.CertFile, "etcd-certfile", "", "client certificate for the external etcd cluster")
	f.StringVar(&set.Etcd.KeyFile, "etcd-keyfile", "", "key of that certificate")
	f.StringSliceVar(&set.Authorization.Modes, "authorization-mode", nil, "authorizers in order: Node, RBAC, ABAC, Webhook (default Node,RBAC)")
	f.StringVar(&set.Authentication.ClientCRLFile, "client-crl-file", "", "certificate revocation list for client certificates")
	f.StringVar(&set.Authentication.TokenFile, "token-file", "", "static token file")
	controllers := f.StringSlice("controllers", nil, `controllers to run: "*", NAME, -NAME; empty for none (default "*")`)
	set.Controllers = controllers
	f.StringVar(&set.Logging.Format, "log-format", "", "text or json (default text)")
	f.StringVar(&set.Logging.Level, "log-level", "", "error, warning, info or debug (default warning)")
	return cmd
}

// effectiveConfig is the file, with the flags that were given on top, and
// defaults where neither speaks.
func effectiveConfig(cmd *cobra.Command, file string, set *v1alpha1.ServeConfiguration) (*v1alpha1.ServeConfiguration, error) {
	cfg := &v1alpha1.ServeConfiguration{}
	var source *v1alpha1.Source
	if file != "" {
		var err error
		if cfg, source, err = v1alpha1.ReadServeConfiguration(file); err != nil {
			return nil, coded(exitUsage, err)
		}
	}
	// What is wrong with the file by itself is said with its place; the rest comes
	// from the flags, and the file is not to blame.
	fromFile, err := problems(cfg.DeepCopy())
	if err != nil {
		return nil, coded(exitUsage, err)
	}
	given := cmd.Flags().Changed
	overlay := map[string]func(){
		"listen":             func() { cfg.Listen = set.Listen },
		"data-dir":           func() { cfg.DataDir = set.DataDir },
		"tls-san":            func() { cfg.TLS.SANs = set.TLS.SANs },
		"etcd-servers":       func() { cfg.Etcd.Servers = set.Etcd.Servers },
		"etcd-cafile":        func() { cfg.Etcd.CAFile = set.Etcd.CAFile },
		"etcd-certfile":      func() { cfg.Etcd.CertFile = set.Etcd.CertFile },
		"etcd-keyfile":       func() { cfg.Etcd.KeyFile = set.Etcd.KeyFile },
		"authorization-mode": func() { cfg.Authorization.Modes = set.Authorization.Modes },
		"client-crl-file":    func() { cfg.Authentication.ClientCRLFile = set.Authentication.ClientCRLFile },
		"token-file":         func() { cfg.Authentication.TokenFile = set.Authentication.TokenFile },
		"controllers":        func() { cfg.Controllers = set.Controllers },
		"log-format":         func() { cfg.Logging.Format = set.Logging.Format },
		"log-level":          func() { cfg.Logging.Level = set.Logging.Level },
	}
	for flag, put := range overlay {
		if given(flag) {
			put()
		}
	}
	wrong, err := problems(cfg)
	if err != nil {
		return nil, coded(exitUsage, err)
	}
	return cfg, coded(exitUsage, blame(source, fromFile, wrong))
}

// blame gives what is wrong with the settings its place in the file, where that
// was wrong before any flag was laid over it.
func blame(source *v1alpha1.Source, fromFile, wrong field.ErrorList) error {
	var inFile field.ErrorList
	for _, e := range wrong {
		if slices.ContainsFunc(fromFile, func(f *field.Error) bool { return f.Error() == e.Error() }) {
			inFile = append(inFile, e)
		}
	}
	if len(inFile) > 0 {
		return source.Locate(inFile)
	}
	return (*v1alpha1.Source)(nil).Locate(wrong)
}

// problems fills in the defaults and says what is wrong with the result.
func problems(cfg *v1alpha1.ServeConfiguration) (field.ErrorList, error) {
	if err := v1alpha1.SetDefaults(cfg, os.Getenv); err != nil {
		return nil, err
	}
	return v1alpha1.Validate(cfg), nil
}
