package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/check/replay"
	"github.com/gatehouse-io/gatehouse/gate"
)

func newAccessUsage() *cobra.Command {
	var v viewFlags
	var a auditFlags
	var groups []string
	var unused bool
	var auditPolicy string
	cmd := &cobra.Command{
		Use:   "usage [SUBJECT|ROLE|BINDING]",
		Short: "Say what of a grant was used, and when last",
		Long: `Hold what is granted against what was done: for each rule of each binding, how often
it was used, for what, when last, and what of it was never asked for. Of a rule with a
star, what was used of it is told. A request that several bindings allow is a use of
each.

SUBJECT is a user's name, group:NAME or sa:NAMESPACE/NAME. A user is in the groups that
the log says, and in those of --group. ROLE is role/NAME (in --namespace),
role/NAMESPACE/NAME or clusterrole/NAME, by every binding of it; BINDING is
rolebinding/NAMESPACE/NAME or clusterrolebinding/NAME.

With --unused only bindings and rules that nobody used are listed. What was not seen
need not be unused: the length of the time that was observed, and its gaps, are told,
and with --audit-policy the verbs that are not recorded.
` + auditSourceHelp + sourceHelp + exitCodesHelp,
		Example: `  gatehouse access usage jane --audit audit.log --from cluster/
  gatehouse access usage clusterrole/edit --audit logs/ --since 90d
  gatehouse access usage rolebinding/shop/devs --audit logs/ -o wide
  gatehouse access usage --unused --audit logs/ --audit-policy audit-policy.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 0 && !unused {
				return &hintError{problem: "want SUBJECT, ROLE or BINDING, or --unused", hint: "gatehouse access usage jane, clusterrole/edit, or rolebinding/shop/devs"}
			}
			if err := a.check(v.from); err != nil {
				return err
			}
			return checkOutput(v.output, "table", "wide", "json", "yaml")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := v.open(cmd)
			if err != nil {
				return err
			}
			opts := replay.UsageOptions{World: replay.World{View: w.view, Scopes: w.catalog}}
			if len(args) == 1 {
				if opts.Target, err = w.target(args[0], groups); err != nil {
					return err
				}
			}
			if opts.Recording, err = readRecording(auditPolicy); err != nil {
				return err
			}
			past, err := a.open(cmd, w.config, time.Now())
			if err != nil {
				return err
			}
			defer past.close()
			opts.From, opts.To = past.from, past.to
			report, err := replay.Use(cmd.Context(), past, opts)
			if err != nil {
				return coded(exitInternal, err)
			}
			if unused {
				whole, parts := report.Unused()
				report.Bindings = append(whole, parts...)
			}
			if v.output == "json" || v.output == "yaml" {
				err = printObject(cmd.OutOrStdout(), v.output, &struct {
					metav1.TypeMeta     `json:",inline"`
					*replay.UsageReport `json:",inline"`
				}{typeMeta("AccessUsage"), report})
			} else {
				err = printUsage(cmd.OutOrStdout(), report, v.output == "wide", unused)
			}
			if err != nil {
				return err
			}
			if err := past.incomplete(); err != nil {
				return err
			}
			return incomplete(w.dangling())
		},
	}
	v.add(cmd)
	a.add(cmd)
	cmd.Flags().Lookup("namespace").Usage = "namespace of a role or binding that is named without one (default: as the kubeconfig says, or default)"
	cmd.Flags().StringArrayVar(&groups, "group", nil, "a group the user is in; may be repeated")
	cmd.Flags().BoolVar(&unused, "unused", false, "only bindings and rules that were not used")
	cmd.Flags().StringVar(&auditPolicy, "audit-policy", "", "the audit policy of the log, to tell what it does not record")
	return cmd
}

// target reads SUBJECT, ROLE or BINDING.
func (w *world) target(text string, groups []string) (t replay.Target, err error) {
	kind, rest, _ := strings.Cut(text, "/")
	namespace, name, namespaced := strings.Cut(rest, "/")
	if !namespaced {
		namespace, name = w.namespace, rest
	}
	switch kind {
	case "role":
		t = replay.Target{RoleKind: "Role", RoleNamespace: namespace, RoleName: name}
	case "clusterrole":
		t = replay.Target{RoleKind: "ClusterRole", RoleName: rest}
	case "rolebinding":
		t = replay.Target{BindingKind: "RoleBinding", BindingNamespace: namespace, BindingName: name}
	case "clusterrolebinding":
		t = replay.Target{BindingKind: "ClusterRoleBinding", BindingName: rest}
	default:
		s, err := readSubject(text)
		if err != nil {
			return t, err
		}
		if s.kind == "Group" {
			return replay.Target{Group: s.name}, nil
		}
		return replay.Target{User: s.info(nil).Name, Groups: groups}, nil
	}
	if rest == "" || name == "" {
		return t, coded(exitUsage, &hintError{problem: fmt.Sprintf("%q names no object", text), hint: "write role/NAMESPACE/NAME, clusterrole/NAME, rolebinding/NAMESPACE/NAME or clusterrolebinding/NAME"})
	}
	return t, w.there(&t, text)
}

// there reports a role or binding that is not there: it would have been used by nobody.
func (w *world) there(t *replay.Target, text string) error {
	found := false
	for _, h := range w.view.RoleBindings {
		found = found || h.Source.Kind == t.BindingKind && h.Source.Namespace == t.BindingNamespace && h.Source.Name == t.BindingName ||
			h.Object.RoleRef.Kind == t.RoleKind && h.Object.RoleRef.Name == t.RoleName && (t.RoleKind == "ClusterRole" || h.Object.Namespace == t.RoleNamespace)
	}
	for _, h := range w.view.ClusterRoleBindings {
		found = found || h.Source.Kind == t.BindingKind && h.Source.Name == t.BindingName || h.Object.RoleRef.Kind == t.RoleKind && h.Object.RoleRef.Name == t.RoleName
	}
	for _, h := range w.view.Roles {
		found = found || t.RoleKind == "Role" && h.Source.Namespace == t.RoleNamespace && h.Source.Name == t.RoleName
	}
	for _, h := range w.view.ClusterRoles {
		found = found || t.RoleKind == "ClusterRole" && h.Source.Name == t.RoleName
	}
	if found {
		return nil
	}
	return coded(exitUnreadable, &hintError{problem: "there is no " + text, hint: "name its namespace, as in role/NAMESPACE/NAME; for a user of this name write user:NAME"})
}

func printUsage(out io.Writer, r *replay.UsageReport, wide, unused bool) error {
	t := table{head: []string{"IN", "BINDING", "RULE", "USED", "LAST", "NEVER", "NOT RECORDED"}}
	for i := range r.Bindings {
		b := &r.Bindings[i]
		in, binding := everywhere, b.Binding.Name
		if b.Binding.Namespace != "" {
			in = b.Binding.Namespace
		}
		if wide {
			binding = whole(&b.Binding) + ", " + whole(&b.Role)
		}
		switch {
		case b.Missing:
			t.add(in, binding, "there is no "+b.Role.Kind+" "+b.Role.Name, "never", "", "", "")
			continue
		case unused && b.Requests == 0:
			var rules []string
			var unrecorded []string
			for j := range b.Rules {
				rules = append(rules, showGrant(&b.Rules[j]))
				unrecorded = append(unrecorded, b.Rules[j].Unrecorded...)
			}
			slices.Sort(unrecorded)
			t.add(in, binding, strings.Join(rules, "; "), "never", "", "", strings.Join(slices.Compact(unrecorded), " "))
			continue
		}
		for j := range b.Rules {
			rule := &b.Rules[j]
			used, last, never := "never", "", ""
			if rule.Requests > 0 {
				used, last = showUses(rule, wide), showInstant(*rule.Last)
				never = strings.Join(slices.Concat(rule.UnusedVerbs, rule.UnusedResources, rule.UnusedNames), ", ")
			}
			t.add(in, binding, showGrant(rule), used, last, never, strings.Join(rule.Unrecorded, " "))
		}
	}
	width := tableWidth
	if wide {
		width = 0
	}
	if len(t.rows) == 0 && unused {
		fmt.Fprintln(out, "nothing: every binding and every rule was used")
	} else if len(t.rows) == 0 {
		fmt.Fprintln(out, "nothing is granted, as far as RBAC goes")
	} else if err := t.print(out, width); err != nil {
		return err
	}
	p := &paragraphs{width: width}
	p.out.WriteByte('\n')
	p.line("allowed", "%s", tally(r.Seen))
	if r.Elsewhere.Distinct > 0 {
		p.line("", "by no binding of today, but by another authorizer or by what is gone: %s", tally(r.Elsewhere))
	}
	if r.GroupsUnknown.Distinct > 0 {
		p.line("", "of users whose groups are unknown, who may have used bindings of groups: %s", tally(r.GroupsUnknown))
	}
	p.window(&r.Window)
	_, err := io.Copy(out, &p.out)
	return coded(exitInternal, err)
}

// showGrant is "get list pods, pods/log".
func showGrant(r *replay.RuleUsage) string {
	return strings.Join(r.Rule.Verbs, " ") + " " + showRule(&v1alpha1.AccessRule{PolicyRule: r.Rule})
}

// showUses is "get 40, list 2" of a rule about one thing, and "get pods 40" of others.
func showUses(r *replay.RuleUsage, wide bool) string {
	const most = 4
	one := !slices.ContainsFunc(r.Uses, func(u replay.RuleUse) bool {
		return u.Resource != r.Uses[0].Resource || u.APIGroup != r.Uses[0].APIGroup || u.Path != r.Uses[0].Path
	}) && !r.Wildcard
	uses := slices.Clone(r.Uses)
	slices.SortStableFunc(uses, func(a, b replay.RuleUse) int { return -cmp.Compare(a.Requests, b.Requests) })
	var parts []string
	for i, u := range uses {
		if i == most && !wide {
			parts = append(parts, fmt.Sprintf("and %d more", len(uses)-most))
			break
		}
		what := ""
		if !one || len(r.Rule.Resources)+len(r.Rule.NonResourceURLs) > 1 {
			what = " " + u.Path
			if u.Resource != "" {
				name, sub, isSub := strings.Cut(u.Resource, "/")
				if what = " " + (schema.GroupResource{Group: u.APIGroup, Resource: name}).String(); isSub {
					what += "/" + sub
				}
			}
		}
		parts = append(parts, fmt.Sprintf("%s%s %d", u.Verb, what, u.Requests))
	}
	return gate.Plain(strings.Join(parts, ", "))
}
