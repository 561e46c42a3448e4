package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	auditpolicy "k8s.io/apiserver/pkg/audit/policy"
)

// leaves are the commands that do something, with cobra's own left out.
func leaves(cmd *cobra.Command) []*cobra.Command {
	var found []*cobra.Command
	for _, sub := range cmd.Commands() {
		if name := sub.Name(); name != "help" && name != "completion" {
			found = append(found, leaves(sub)...)
		}
	}
	if cmd.Runnable() {
		found = append(found, cmd)
	}
	return found
}

func TestHelpShowsExamplesAndExitCodes(t *testing.T) {
	for _, cmd := range leaves(newRoot()) {
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		var out, errs bytes.Buffer
		if code := Main(args, &out, &errs); code != exitOK || errs.Len() > 0 {
			t.Errorf("%s: exit code %d, stderr %q", strings.Join(args, " "), code, errs.String())
		}
		for _, part := range []string{"Examples:\n", "Exit codes:\n"} {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%s shows no %q", strings.Join(args, " "), strings.TrimSpace(part))
			}
		}
		for line := range strings.Lines(cmd.Example) {
			// A continued line, another program, or this command.
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "gatehouse ") && !strings.HasPrefix(line, cmd.CommandPath()) {
				t.Errorf("%s has %q for an example", cmd.CommandPath(), line)
			}
		}
	}
}

func TestPrintedAuditPolicyIsOne(t *testing.T) {
	var out, errs bytes.Buffer
	if code := Main([]string{"print", "audit-policy"}, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	policy, err := auditpolicy.LoadPolicyFromBytes(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if len(policy.Rules) == 0 {
		t.Error("it has no rules")
	}
}
