package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/review"
)

func newAccess() *cobra.Command {
	var v viewFlags
	var groups []string
	cmd := &cobra.Command{
		Use:   "access SUBJECT",
		Short: "List what somebody may do, in the cluster and in each namespace",
		Long: `List every rule that somebody holds: in the cluster, which is every namespace and
what is in none, and then in each namespace what they hold there besides.

SUBJECT is a user's name, group:NAME, or a service account as sa:NAMESPACE/NAME or
system:serviceaccount:NAMESPACE:NAME. RBAC does not know which groups a user is
in: name them with --group. Everybody is in system:authenticated. A user who is called
usage or generate is user:usage.
` + sourceHelp + exitCodesHelp,
		Example: `  gatehouse access jane --group developers
  gatehouse access group:developers -n shop
  gatehouse access sa:ci/builder -o yaml
  gatehouse access system:serviceaccount:ci:builder --from cluster/`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &hintError{problem: "want SUBJECT", hint: "gatehouse access jane, group:NAME, or sa:NAMESPACE/NAME"}
			}
			return checkOutput(v.output, "table", "wide", "json", "yaml")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			who, err := readSubject(args[0])
			if err != nil {
				return err
			}
			limit := v.namespace
			w, err := v.open(cmd)
			if err != nil {
				return err
			}
			info := who.info(groups)
			r := &v1alpha1.AccessList{TypeMeta: typeMeta("AccessList"), Spec: v1alpha1.AccessListSpec{Namespace: limit}}
			r.Spec.User, r.Spec.Groups = info.Name, info.Groups
			r.Status = review.Access(w.index, &r.Spec, review.Options{})
			w.locateRules(r.Status.Cluster)
			for i := range r.Status.Namespaces {
				w.locateRules(r.Status.Namespaces[i].Rules)
			}
			if v.output == "json" || v.output == "yaml" {
				err = printObject(cmd.OutOrStdout(), v.output, r)
			} else {
				err = printAccess(cmd, r, v.output == "wide")
			}
			if err != nil {
				return err
			}
			if n := w.guards.Len(); n > 0 {
				w.note("Guards may refuse a part of this: gatehouse explain asks them about one request")
			}
			if v.offline() {
				return incomplete(r.Status.Errors)
			}
			for _, missing := range r.Status.Errors { // in a cluster, that is how it is
				w.note("%s", missing)
			}
			return nil
		},
	}
	v.add(cmd)
	cmd.Flags().Lookup("namespace").Usage = "only this namespace, and the cluster (default: every namespace)"
	cmd.Flags().StringArrayVar(&groups, "group", nil, "a group the subject is in; may be repeated")
	cmd.AddCommand(newAccessUsage(), newAccessGenerate())
	return cmd
}

func (w *world) locateRules(rules []v1alpha1.AccessRule) {
	for i := range rules {
		for j := range rules[i].Sources {
			w.locateAPI(&rules[i].Sources[j])
		}
	}
}

// everywhere stands in a table for the cluster: every namespace, and none.
const everywhere = "*"

func printAccess(cmd *cobra.Command, r *v1alpha1.AccessList, wide bool) error {
	t := table{head: []string{"IN", "VERBS", "WHAT", "BINDING", "UNTIL"}}
	rows := func(in string, rules []v1alpha1.AccessRule) {
		for i := range rules {
			rule := &rules[i]
			if in != everywhere && len(rule.Resources) == 0 {
				continue // a path is in no namespace: a RoleBinding gives none
			}
			by := ""
			if len(rule.Sources) > 0 {
				by = rule.Sources[0].Name
			}
			if wide {
				var sources []string
				for i := range rule.Sources {
					sources = append(sources, whole(&rule.Sources[i]))
				}
				by = strings.Join(sources, ", ")
			}
			until := ""
			if rule.ExpiresAt != nil {
				until = showTime(rule.ExpiresAt)
			}
			t.add(in, strings.Join(rule.Verbs, " "), showRule(rule), by, until)
		}
	}
	rows(everywhere, r.Status.Cluster)
	for i := range r.Status.Namespaces {
		rows(r.Status.Namespaces[i].Namespace, r.Status.Namespaces[i].Rules)
	}
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "nothing, as far as RBAC goes")
		return coded(exitInternal, err)
	}
	width := tableWidth
	if wide {
		width = 0
	}
	return t.print(cmd.OutOrStdout(), width)
}

// showRule is what a rule is about: "pods, deployments.apps [web]", or paths.
func showRule(rule *v1alpha1.AccessRule) string {
	if len(rule.NonResourceURLs) > 0 {
		return "paths " + strings.Join(rule.NonResourceURLs, ", ")
	}
	var all []string
	for _, group := range rule.APIGroups {
		for _, name := range rule.Resources {
			resource, sub, _ := strings.Cut(name, "/")
			text := schema.GroupResource{Group: group, Resource: resource}.String()
			if sub != "" {
				text += "/" + sub
			}
			all = append(all, text)
		}
	}
	text := strings.Join(all, ", ")
	if len(rule.ResourceNames) > 0 {
		text += " [" + strings.Join(rule.ResourceNames, ", ") + "]"
	}
	return text
}
