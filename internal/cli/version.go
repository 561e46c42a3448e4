package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/gatehouse-io/gatehouse/internal/version"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Say which Gatehouse this is, and which Kubernetes is in it",
		Long:    "Say which Gatehouse this is, and which Kubernetes is in it.\n" + exitCodesHelp,
		Example: "  gatehouse version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "gatehouse   %s\nkubernetes  %s\nserves as   %s\ncommit      %s\nbuilt with  %s %s/%s\n",
				version.Release, version.Kubernetes, version.GitVersion, version.Commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return coded(exitInternal, err)
		},
	}
}

// stampVersion takes the source revision from the build information, which a
// plain go build in a checkout fills in.
func stampVersion() {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return
	}
	var revision, made string
	state := "clean"
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.time":
			made = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			state = "dirty"
		}
	}
	version.Stamp(revision, made, state)
}
