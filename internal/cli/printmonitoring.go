package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-io/gatehouse/telemetry/dashboard"
	"github.com/gatehouse-io/gatehouse/telemetry/rule"
)

const selectorUsage = `matchers of Gatehouse's series in Prometheus (default job=~"gatehouse.*")`

func newPrintDashboards() *cobra.Command {
	var o dashboard.Options
	var format, dir, namespace string
	cmd := &cobra.Command{
		Use:   "dashboards [NAME...]",
		Short: "Print dashboards for Grafana",
		Long: `Print dashboards for Grafana: an overview, one for each gate, and one for the API
server. With -o each is written to a file of its own, which Grafana imports or is
provisioned with; without it they come one after the other.

` + exitCodesHelp,
		Example: `  gatehouse print dashboards -o dashboards/
  gatehouse print dashboards gatehouse-audit --selector 'job="apiserver"' > audit.json
  gatehouse print dashboards --format configmap -n monitoring | kubectl apply -f -`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if format != "json" && format != "configmap" {
				return coded(exitUsage, &hintError{problem: fmt.Sprintf("--format: %q is not known", format), hint: "json or configmap"})
			}
			all, err := dashboard.All(o)
			if err != nil {
				return coded(exitUsage, fmt.Errorf("--selector: %w", err))
			}
			var known []string
			for i := range all {
				known = append(known, all[i].ID)
			}
			for _, name := range names {
				if !slices.Contains(known, name) {
					return coded(exitUsage, &hintError{problem: fmt.Sprintf("there is no dashboard %q", name), hint: "one of " + strings.Join(known, ", ")})
				}
			}
			var files []outputFile
			for i := range all {
				if len(names) > 0 && !slices.Contains(names, all[i].ID) {
					continue
				}
				file := outputFile{name: all[i].ID + ".json"}
				if format == "configmap" {
					file.name = all[i].ID + ".yaml"
					file.data, err = all[i].ConfigMap(namespace)
				} else {
					file.data, err = all[i].JSON()
				}
				if err != nil {
					return coded(exitInternal, err)
				}
				files = append(files, file)
			}
			return printFiles(cmd.OutOrStdout(), dir, files)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Selector, "selector", "", selectorUsage)
	f.StringVar(&format, "format", "json", "json, or configmap: objects that the sidecar of Grafana's chart takes")
	f.StringVarP(&dir, "output-dir", "o", "", "write a file for each into this folder, which is made")
	f.StringVarP(&namespace, "namespace", "n", "", "namespace of the ConfigMaps")
	return cmd
}

func newPrintAlerts() *cobra.Command {
	var o rule.Options
	var format, dir, namespace string
	var labels map[string]string
	cmd := &cobra.Command{
		Use:   "alerts",
		Short: "Print alerts and recording rules for Prometheus",
		Long: `Print alerts and recording rules for Prometheus: how fast objectives use up their
budget of errors, and what nobody notices otherwise, such as audit events that are lost
or do not come, certificates on disk that nobody is shown, and rules that see nothing.
Each has a page that says what it means, how to look, and how to mend it.

` + exitCodesHelp,
		Example: `  gatehouse print alerts > /etc/prometheus/rules/gatehouse.yaml
  gatehouse print alerts --selector 'job="apiserver"' -o rules/
  gatehouse print alerts --format operator -n monitoring --label release=prometheus | kubectl apply -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "prometheus" && format != "operator" {
				return coded(exitUsage, &hintError{problem: fmt.Sprintf("--format: %q is not known", format), hint: "prometheus or operator"})
			}
			groups, err := rule.Groups(o)
			if err != nil {
				return coded(exitUsage, fmt.Errorf("--selector: %w", err))
			}
			file := outputFile{name: "gatehouse-rules.yaml"}
			if format == "operator" {
				file.data, err = rule.Object(groups, o, namespace, labels)
			} else {
				file.data, err = rule.File(groups, o)
			}
			if err != nil {
				return coded(exitInternal, err)
			}
			return printFiles(cmd.OutOrStdout(), dir, []outputFile{file})
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Selector, "selector", "", selectorUsage)
	f.StringVar(&o.Runbooks, "runbooks", "", "URL of the folder of the alerts' pages (default: docs/runbooks of the repository)")
	f.StringVar(&format, "format", "prometheus", "prometheus: a rule file, or operator: a PrometheusRule object")
	f.StringVarP(&dir, "output-dir", "o", "", "write gatehouse-rules.yaml into this folder, which is made")
	f.StringVarP(&namespace, "namespace", "n", "", "namespace of the PrometheusRule")
	f.StringToStringVar(&labels, "label", nil, "labels of the PrometheusRule, by which a Prometheus finds it")
	return cmd
}

// outputFile is something to print, and the file it would be.
type outputFile struct {
	name string
	data []byte
}

// printFiles writes files into a folder; without one to out, with a line between objects
// of YAML.
func printFiles(out io.Writer, dir string, files []outputFile) error {
	if dir == "" {
		for i, f := range files {
			if i > 0 && bytes.HasPrefix(f.data, []byte("apiVersion:")) {
				f.data = append([]byte("---\n"), f.data...)
			}
			if _, err := out.Write(f.data); err != nil {
				return coded(exitInternal, err)
			}
		}
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return coded(exitUnreadable, fmt.Errorf("make folder: %w", err))
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path, f.data, 0o644); err != nil {
			return coded(exitUnreadable, fmt.Errorf("write file: %w", err))
		}
		fmt.Fprintln(out, path)
	}
	return nil
}
