package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/falco"
	"github.com/gatehouse-io/gatehouse/detect/sigma"
	"github.com/gatehouse-io/gatehouse/gate"
)

// maxRuleFile is the size of the largest file of rules in another language.
const maxRuleFile = 16 << 20

func newDetectImport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Translate rules of Falco (k8saudit) and Sigma into DetectionRules",
		Long: `Translate rules of Falco for audit events (its plugin k8saudit) and of Sigma (kubernetes,
audit) into DetectionRules, which are printed. What could not be translated, or could never
fire, is said with the reason; then the exit code is 1.

The rules have no examples yet: add some, and gatehouse detect test holds them to those.
` + exitCodesHelp,
		Example: `  gatehouse detect import k8s_audit_rules.yaml > rules.yaml
  gatehouse detect import sigma/*.yml > rules.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &hintError{problem: "want FILE", hint: "a file of Falco or Sigma rules"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			translated, left := 0, 0
			for _, name := range args {
				imported, err := importRules(name, cmd.InOrStdin())
				if err != nil {
					return coded(exitUnreadable, err)
				}
				for _, r := range imported.Rules {
					text, err := yaml.Marshal(map[string]any{"apiVersion": r.APIVersion, "kind": r.Kind, "metadata": map[string]any{"name": r.Name}, "spec": r.Spec})
					if err != nil {
						return coded(exitInternal, err)
					}
					if _, err := fmt.Fprintf(cmd.OutOrStdout(), "---\n%s", escapeControls(text)); err != nil {
						return coded(exitInternal, err)
					}
				}
				for _, n := range imported.Notes {
					fmt.Fprintf(cmd.ErrOrStderr(), "note: %s\n", gate.Plain(fmt.Sprintf("%s:%d: %s: %s", name, n.Line, n.Rule, n.Why)))
				}
				for _, l := range imported.Left {
					fmt.Fprintf(cmd.ErrOrStderr(), "not translated: %s\n", gate.Plain(fmt.Sprintf("%s:%d: %s: %s", name, l.Line, l.Rule, l.Why)))
				}
				translated, left = translated+len(imported.Rules), left+len(imported.Left)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d rules translated, %d not\n", translated, left)
			if left > 0 {
				return errDenied
			}
			return nil
		},
	}
	return cmd
}

func importRules(name string, stdin io.Reader) (*detect.Imported, error) {
	var in io.Reader = stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxRuleFile+1))
	if err != nil {
		return nil, fmt.Errorf("read rules: %s: %w", name, err)
	}
	switch {
	case len(text) > maxRuleFile:
		return nil, fmt.Errorf("read rules: %s is longer than %d MiB", name, maxRuleFile>>20)
	case falco.Looks(text):
		return falco.Import(name, text)
	case sigma.Looks(text):
		return sigma.Import(name, text)
	}
	return nil, &hintError{problem: strings.TrimSpace(name) + " is neither a file of Falco rules nor of Sigma rules", hint: "rules of Falco are a list of - rule:, those of Sigma have detection:"}
}
