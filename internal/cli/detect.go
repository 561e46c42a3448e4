package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/rules"
	"github.com/gatehouse-io/gatehouse/gate"
)

func newDetect() *cobra.Command {
	cmd := &cobra.Command{Use: "detect", Short: "Rules over audit events: list and test them, ask what they would have found"}
	cmd.AddCommand(newDetectList(), newDetectTest(), newDetectCoverage(), newDetectRun(), newDetectImport())
	return cmd
}

const ruleSourceHelp = `
A PATH is a file or a folder with DetectionRules, or - for stdin; without one they are
those of Gatehouse itself.
`

// detectionRules are rules, compiled.
type detectionRules struct {
	files *detect.Files
	set   *detect.Set
	// wrong is what is wrong with rules that are not in the set.
	wrong error
}

// readRules reads rules, or those of Gatehouse itself where no path is named.
func readRules(ctx context.Context, paths []string, stdin io.Reader) (*detectionRules, error) {
	r := &detectionRules{}
	var err error
	if len(paths) == 0 {
		r.files, err = rules.Read(ctx)
	} else {
		r.files, err = detect.ReadFiles(ctx, paths, stdin)
	}
	if err != nil {
		return nil, coded(exitUnreadable, err)
	}
	if len(r.files.Rules) == 0 {
		return nil, coded(exitUnreadable, &hintError{problem: "there is no DetectionRule in " + strings.Join(paths, " "), hint: "rules of Falco and Sigma are translated by gatehouse detect import"})
	}
	var problems []detect.Problem
	r.set, problems = detect.Compile(r.files.Rules, detect.Options{})
	r.wrong = coded(exitUnreadable, r.files.Locate(problems))
	return r, nil
}

// listedRule is a rule as it is listed.
type listedRule struct {
	Name           string                     `json:"name"`
	Title          string                     `json:"title"`
	Severity       v1alpha1.DetectionSeverity `json:"severity"`
	Attack         v1alpha1.DetectionAttack   `json:"attack"`
	Remembers      string                     `json:"remembers,omitempty"`
	Needs          v1alpha1.DetectionNeeds    `json:"needs"`
	Runbook        string                     `json:"runbook"`
	FalsePositives string                     `json:"falsePositives,omitempty"`
	From           string                     `json:"from,omitempty"`
}

func newDetectList() *cobra.Command {
	var output, severity string
	cmd := &cobra.Command{
		Use:   "list [PATH...]",
		Short: "List detection rules: what each notices, how bad it is, and what it needs",
		Long: `List detection rules: what each notices, how bad that is, where it stands in MITRE
ATT&CK, and the audit level it needs.
` + ruleSourceHelp + exitCodesHelp,
		Example: `  gatehouse detect list
  gatehouse detect list --severity high -o wide
  gatehouse detect list my-rules/ -o json`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			if err := checkOutput(output, "table", "wide", "json", "yaml", "name"); err != nil {
				return err
			}
			least := detect.SeverityRank(v1alpha1.DetectionSeverity(severity))
			if least < 0 {
				return coded(exitUsage, &hintError{problem: fmt.Sprintf("severity %q is not known", severity), hint: "known: info, low, medium, high, critical"})
			}
			r, err := readRules(cmd.Context(), paths, cmd.InOrStdin())
			if err != nil {
				return err
			}
			all := []listedRule{}
			for _, rule := range r.set.Rules() {
				if s := rule.Spec; detect.SeverityRank(s.Severity) >= least {
					all = append(all, listedRule{rule.Name, s.Title, s.Severity, s.Attack, rule.Operator(), rule.Needs, s.Runbook, s.FalsePositives, r.files.Place(rule.Name)})
				}
			}
			if err := printRules(cmd.OutOrStdout(), output, all); err != nil {
				return err
			}
			return r.wrong
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table, wide, json, yaml or name")
	cmd.Flags().StringVar(&severity, "severity", "info", "no rules below this severity")
	return cmd
}

func printRules(w io.Writer, output string, all []listedRule) error {
	switch output {
	case "json", "yaml":
		return printObject(w, output, map[string]any{"apiVersion": v1alpha1.SchemeGroupVersion.String(), "kind": "DetectionRuleCatalogue", "rules": all})
	case "name":
		for _, l := range all {
			fmt.Fprintln(w, "detectionrule/"+l.Name)
		}
		return nil
	}
	t := table{head: []string{"RULE", "SEVERITY", "NOTICES", "NEEDS"}}
	if output == "wide" {
		t.head = append(t.head, "REMEMBERS", "ATT&CK")
	}
	for _, l := range all {
		row := []string{l.Name, string(l.Severity), l.Title, l.Needs.Level}
		if output == "wide" {
			row = append(row, orNone(l.Remembers), orNone(strings.Join(slices.Concat(l.Attack.Tactics, l.Attack.Techniques), " ")))
		}
		t.rows = append(t.rows, row)
	}
	return t.print(w, widthOf(output))
}

func newDetectTest() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test [PATH...]",
		Short: "Hold detection rules to their examples",
		Long: `Hold detection rules to their examples: each positive one must make a finding, and no
negative one may. A rule without both is noted.
` + ruleSourceHelp + exitCodesHelp,
		Example: `  gatehouse detect test
  gatehouse detect test my-rules/`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			r, err := readRules(cmd.Context(), paths, cmd.InOrStdin())
			if err != nil {
				return err
			}
			positive, negative := 0, 0
			for _, rule := range r.set.Rules() {
				x := rule.Spec.Examples
				positive, negative = positive+len(x.Positive), negative+len(x.Negative)
				if len(x.Positive) == 0 || len(x.Negative) == 0 {
					fmt.Fprintf(cmd.ErrOrStderr(), "note: %s has %d positive and %d negative examples: what it does is not tested\n", gate.Plain(rule.Name), len(x.Positive), len(x.Negative))
				}
			}
			refused := len(r.files.Rules) - len(r.set.Rules())
			fmt.Fprintf(cmd.OutOrStdout(), "%d rules hold, %d do not; %d positive and %d negative examples\n", len(r.set.Rules()), refused, positive, negative)
			if r.wrong != nil {
				printError(cmd.ErrOrStderr(), r.wrong)
				return errDenied
			}
			return nil
		},
	}
	return cmd
}

func newDetectCoverage() *cobra.Command {
	var policyFile, output string
	cmd := &cobra.Command{
		Use:   "coverage [PATH...]",
		Short: "Say which detection rules an audit policy leaves blind, and why",
		Long: `Say of each detection rule whether an audit policy records what it needs: it sees, sees
partly, or is blind. The examples of a rule are put through the policy, and so are the verbs
and resources of its match. With -o wide stands the rule that the audit policy lacks.

The exit code is 1 where a rule is blind.
` + ruleSourceHelp + exitCodesHelp,
		Example: `  gatehouse detect coverage
  gatehouse detect coverage --audit-policy /etc/kubernetes/audit-policy.yaml
  gatehouse detect coverage --audit-policy audit.yaml my-rules/ -o json`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			if err := checkOutput(output, "table", "wide", "json", "yaml"); err != nil {
				return err
			}
			text := audit.DefaultPolicy
			if policyFile != "" {
				var err error
				if text, err = os.ReadFile(policyFile); err != nil {
					return coded(exitUnreadable, fmt.Errorf("read audit policy: %w", err))
				}
			}
			policy, err := audit.NewPolicy(text)
			if err != nil {
				return coded(exitUnreadable, fmt.Errorf("%s: %w", policyFile, err))
			}
			r, err := readRules(cmd.Context(), paths, cmd.InOrStdin())
			if err != nil {
				return err
			}
			all := detect.Cover(r.set, policy)
			if err := printCoverage(cmd.OutOrStdout(), output, all); err != nil {
				return err
			}
			if r.wrong != nil {
				return r.wrong
			}
			if slices.ContainsFunc(all, func(c detect.Coverage) bool { return c.Sight == detect.Blind }) {
				return errDenied
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&policyFile, "audit-policy", "", "an audit policy (audit.k8s.io/v1); default: the built-in one")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table, wide, json or yaml")
	return cmd
}

func printCoverage(w io.Writer, output string, all []detect.Coverage) error {
	if output == "json" || output == "yaml" {
		return printObject(w, output, map[string]any{"apiVersion": v1alpha1.SchemeGroupVersion.String(), "kind": "DetectionCoverage", "rules": all})
	}
	t := table{head: []string{"RULE", "SIGHT", "WHY"}}
	count := map[detect.Sight]int{}
	for _, c := range all {
		count[c.Sight]++
		if c.Sight == detect.Sees && output != "wide" {
			continue
		}
		why := strings.Join(c.Reasons, "; ")
		if output != "wide" && len(c.Reasons) > 1 {
			why = fmt.Sprintf("%s; and %d more", c.Reasons[0], len(c.Reasons)-1)
		}
		t.add(c.Rule, string(c.Sight), why)
	}
	if len(t.rows) > 0 {
		if err := t.print(w, widthOf(output)); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	if output == "wide" {
		for _, c := range all {
			if c.Mend != "" {
				fmt.Fprintf(w, "# for %s\n%s", gate.Plain(c.Rule), c.Mend)
			}
		}
	}
	_, err := fmt.Fprintf(w, "%d rules see, %d partly, %d are blind\n", count[detect.Sees], count[detect.Partly], count[detect.Blind])
	return coded(exitInternal, err)
}
