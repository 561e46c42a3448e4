package cli

import (
	"github.com/spf13/cobra"

	"github.com/gatehouse-io/gatehouse/audit"
)

func newPrint() *cobra.Command {
	cmd := &cobra.Command{Use: "print", Short: "Print what is built in"}
	cmd.AddCommand(&cobra.Command{
		Use:     "audit-policy",
		Short:   "Print the built-in audit policy, as a start for one of your own",
		Long:    "Print the built-in audit policy, as a start for one of your own.\n" + exitCodesHelp,
		Example: "  gatehouse print audit-policy > audit-policy.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(audit.DefaultPolicy)
			return coded(exitInternal, err)
		},
	})
	cmd.AddCommand(newPrintDashboards(), newPrintAlerts())
	return cmd
}
