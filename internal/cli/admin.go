package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/serve/pki"
)

func newAdmin() *cobra.Command {
	cmd := &cobra.Command{Use: "admin", Short: "Manage an installation from the machine it runs on"}
	cmd.AddCommand(newAdminKubeconfig())
	return cmd
}

func newAdminKubeconfig() *cobra.Command {
	var dataDir, server, output string
	var who pki.IssueOptions
	cmd := &cobra.Command{
		Use:   "kubeconfig --user NAME",
		Short: "Issue a client certificate and print a kubeconfig with it",
		Long: `Issue a client certificate from the cluster CA in the data directory and print a
kubeconfig that uses it. The server may be running. The certificate is an
identity and nothing more: what it may do is for the authorizers to say.
` + exitCodesHelp,
		Example: `  gatehouse admin kubeconfig --user jane --group developers --ttl 8h > jane.kubeconfig
  kubectl create rolebinding devs --clusterrole=edit --group=developers -n shop`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if who.User == "" {
				return coded(exitUsage, fmt.Errorf("--user is missing"))
			}
			if slices.Contains(who.Groups, "system:masters") && !who.AllowSystemMasters {
				return coded(exitUsage, &hintError{
					problem: "the group system:masters may be above every rule",
					hint:    "leave it out, or say --allow-system-masters",
				})
			}
			var err error
			if dataDir == "" {
				if dataDir, err = v1alpha1.DefaultDataDir(os.Getenv); err != nil {
					return coded(exitUsage, err)
				}
			}
			if server == "" {
				if server, err = serverOf(filepath.Join(dataDir, "admin.kubeconfig")); err != nil {
					return coded(exitUnreadable, err)
				}
			}
			issuer, err := pki.Open(pki.Options{Dir: filepath.Join(dataDir, "pki")})
			if err != nil {
				return coded(exitUnreadable, err)
			}
			if output != "" {
				_, err := issuer.WriteKubeconfig(output, server, who)
				return coded(exitUsage, err)
			}
			data, _, err := issuer.Kubeconfig(server, who)
			if err != nil {
				return coded(exitUsage, err)
			}
			_, err = cmd.OutOrStdout().Write(data)
			return coded(exitInternal, err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dataDir, "data-dir", "", "the server's data directory (default: as gatehouse serve)")
	f.StringVar(&who.User, "user", "", "the user's name")
	f.StringArrayVar(&who.Groups, "group", nil, "a group the user is in; may be repeated")
	f.DurationVar(&who.TTL, "ttl", 24*time.Hour, "how long the certificate is good, at most 8760h")
	f.BoolVar(&who.AllowSystemMasters, "allow-system-masters", false, "let --group be system:masters")
	f.StringVar(&server, "server", "", "the API's URL (default: the one in admin.kubeconfig)")
	f.StringVarP(&output, "output-file", "O", "", "write to this file, keeping other entries of a kubeconfig that is there")
	return cmd
}

// serverOf is the URL the administrator's kubeconfig points to.
func serverOf(path string) (string, error) {
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return "", &hintError{
			problem: fmt.Sprintf("cannot read %s: start gatehouse serve once, or name the folder and the URL", path),
			hint:    "--data-dir DIR --server https://HOST:PORT",
		}
	}
	if cluster := config.Clusters[pki.KubeconfigName]; cluster != nil {
		return cluster.Server, nil
	}
	return "", &hintError{problem: fmt.Sprintf("%s has no cluster named %s", path, pki.KubeconfigName), hint: "name the URL with --server https://HOST:PORT"}
}

type hintError struct{ problem, hint string }

func (e *hintError) Error() string { return e.problem }
func (e *hintError) Hint() string  { return e.hint }
