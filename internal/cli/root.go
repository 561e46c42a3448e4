package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gatehouse-io/gatehouse/internal/version"
)

// Exit codes, the same for every command.
const (
	exitOK         = 0
	exitDenied     = 1
	exitUsage      = 2
	exitUnreadable = 3
	exitInternal   = 4
)

const exitCodesHelp = `
Exit codes:
  0  done, allowed or clean
  1  denied, or findings
  2  wrong usage or settings
  3  input that cannot be read, or is incomplete
  4  internal error, or a server that cannot be reached or started`

// Main runs the command line and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	stampVersion()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, errDenied) { // the answer says it
		printError(stderr, err)
	}
	return exitCode(err)
}

// codedError is an error that knows its exit code.
type codedError struct {
	error
	code int
}

func (e codedError) Unwrap() error { return e.error }

func coded(code int, err error) error {
	if err == nil {
		return nil
	}
	return codedError{err, code}
}

func exitCode(err error) int {
	if c, ok := errors.AsType[codedError](err); ok {
		return c.code
	}
	return exitUsage // cobra's own: an unknown command or flag
}

// hinted is an error that says what to do about it.
type hinted interface{ Hint() string }

// printError writes one error: line and, where there is one, one hint: line.
func printError(w io.Writer, err error) {
	fmt.Fprintf(w, "error: %s\n", printable(err.Error()))
	for e := err; e != nil; e = errors.Unwrap(e) {
		if h, ok := e.(hinted); ok {
			if hint := h.Hint(); hint != "" {
				fmt.Fprintf(w, "hint: %s\n", printable(asCalled(hint)))
			}
			return
		}
	}
}

// printable keeps control characters, which may come from a file or a server,
// from the terminal.
func printable(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if r == '\n' || r == '\t' || (r >= 0x20 && r != 0x7f && !(r >= 0x80 && r < 0xa0)) {
			out = append(out, r)
		} else {
			out = append(out, '\uFFFD')
		}
	}
	return string(out)
}

func newRoot() *cobra.Command {
	// Upstream registers flags of its own on the global set, which cobra would
	// add to every command here.
	pflag.CommandLine = pflag.NewFlagSet("gatehouse", pflag.ContinueOnError)
	root := &cobra.Command{
		Use:   "gatehouse",
		Short: "The Kubernetes security model in one program",
		Long: `Gatehouse is the whole Kubernetes security model in one program: who you are,
what you may do, what may run, what is stored, and what was done.
` + exitCodesHelp,
		Example: `  gatehouse serve
  gatehouse admin kubeconfig --user jane --group developers --ttl 8h > jane.kubeconfig`,
		Version:       version.Release,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newServe(), newAttach(), newExplain(), newWhoCan(), newAccess(), newSimulate(), newAudit(), newDetect(), newGrant(), newCheck(), newTest(), newPolicy(), newAdmin(), newPrint(), newVersion())
	if name := programName(argv0()); name != root.Name() {
		rename(root, name)
	}
	return root
}
