package cli

import (
	"github.com/spf13/cobra"
)

const eventSourceHelp = `
The events are those of a store or a bucket (--store), of audit logs in files (--audit), or of a
Gatehouse that runs, which the kubeconfig leads to: its API answers what RBAC lets you
ask (get, list and watch of auditevents), of one namespace with -n. Times are in UTC.
A time in which events are known to be missing is told, as a note or in the JSON.
`

func newAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Find out what was done, by whom, and who began it",
		Long: `Find out what was done, by whom, and who began it.
` + eventSourceHelp + exitCodesHelp,
	}
	cmd.AddCommand(newAuditQuery(), newAuditTail(), newAuditShow(), newAuditActor(), newAuditTimeline(), newAuditImport(), newAuditStatus(), newAuditVerify(), newAuditRepair())
	return cmd
}
