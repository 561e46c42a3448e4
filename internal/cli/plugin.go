package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// programName is how people call the program: kubectl gatehouse where kubectl has
// found it as a plugin, which it does by the name kubectl-gatehouse.
func programName(argv0 string) string {
	if strings.TrimSuffix(filepath.Base(argv0), ".exe") == "kubectl-gatehouse" {
		return "kubectl gatehouse"
	}
	return "gatehouse"
}

// ownName matches the program's name where a text shows a command.
var ownName = regexp.MustCompile(`(?m)(^ *|[:,|] +)gatehouse ([a-z])`)

// rename makes usage and help of a command, and of all below it, say another name.
func rename(cmd *cobra.Command, name string) {
	if !cmd.HasParent() {
		cmd.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: name}
	}
	cmd.Example, cmd.Long = asCalled(cmd.Example), asCalled(cmd.Long)
	for _, sub := range cmd.Commands() {
		rename(sub, name)
	}
}

// asCalled is a text in which commands are as people type them.
func asCalled(text string) string {
	return ownName.ReplaceAllString(text, "${1}"+programName(argv0())+" $2")
}

// argv0 is the name the process was started by.
func argv0() string {
	if len(os.Args) == 0 {
		return ""
	}
	return os.Args[0]
}
