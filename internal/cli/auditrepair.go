package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gatehouse-io/gatehouse/audit/chain"
	"github.com/gatehouse-io/gatehouse/audit/store"
)

func newAuditRepair() *cobra.Command {
	var dir, key, output string
	cmd := &cobra.Command{
		Use:   "repair --store DIR",
		Short: "Put a damaged store right, and say what of it is lost",
		Long: `Put a store right that no process has open: every segment is read; those that are not
what they were are set aside into the folder quarantine, and a gap tells that their events
are missing; the catalog is made anew. With segments set aside the exit code is 1.
` + exitCodesHelp,
		Example: `  gatehouse audit repair --store /var/lib/gatehouse/audit`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 || dir == "" {
				return &hintError{problem: "which store is meant?", hint: "gatehouse audit repair --store DIR"}
			}
			return checkOutput(output, "table", "json")
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if info, err := os.Stat(dir); err != nil || !info.IsDir() { // or one would be made
				return coded(exitUnreadable, &hintError{problem: fmt.Sprintf("there is no folder %s", dir), hint: "gatehouse audit repair --store DIR"})
			}
			var options store.Options
			if key == "" {
				key = filepath.Join(dir, "chain.key")
			}
			var err error
			if options.Key, err = chain.ReadKey(key); err != nil { // without it another would sign
				return coded(exitUnreadable, &hintError{problem: err.Error(), hint: "name the installation's signing key with --signing-key FILE"})
			}
			done := progress(cmd.ErrOrStderr(), "repairing")
			report, err := store.Repair(cmd.Context(), dir, options)
			done()
			if _, inUse := errors.AsType[*store.InUseError](err); inUse {
				return coded(exitUnreadable, &hintError{problem: err.Error(), hint: "stop it first: a store is repaired while nobody writes it"})
			}
			if err != nil {
				return coded(exitInternal, err)
			}
			if output == "json" {
				err = printObject(cmd.OutOrStdout(), "json", report)
			} else {
				err = printRepaired(cmd, report)
			}
			if err == nil && len(report.Damaged) > 0 {
				return errDenied
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "store", "", "the store: its folder")
	f.StringVar(&key, "signing-key", "", "the installation's signing key, which the chain goes on with (default: the one in the store)")
	f.StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func printRepaired(cmd *cobra.Command, r *store.RepairReport) error {
	p := &printed{w: cmd.OutOrStdout()}
	if r.Manifest {
		p.line("", "the manifest was damaged, and is made again out of the segments")
	}
	for _, d := range r.Damaged {
		text := fmt.Sprintf("%s: %s; %d events are lost", d.Segment, d.Reason, d.Events)
		if d.MovedTo != "" {
			text += "; it lies in " + d.MovedTo
		}
		p.line("damaged   ", text)
	}
	for _, name := range r.Adopted {
		p.line("adopted   ", name)
	}
	for _, name := range r.SetAside {
		p.line("aside     ", name)
	}
	p.line("", fmt.Sprintf("the store has %d segments with %d events", r.Segments, r.Events))
	return coded(exitInternal, p.err)
}
