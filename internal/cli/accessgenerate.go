package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/check/replay"
)

func newAccessGenerate() *cobra.Command {
	var v viewFlags
	var a auditFlags
	opts := replay.GenerateOptions{}
	var names string
	var denied bool
	cmd := &cobra.Command{
		Use:   "generate SUBJECT",
		Short: "Write the least roles and bindings for what somebody was seen to do",
		Long: `Write the least Roles, ClusterRoles and bindings that allow what somebody was seen to
do and was allowed, as manifests with what was seen of each rule as comments. Without
--from-scratch only what their other grants do not allow is written.

Requests in a namespace become a Role there; those for what is in no namespace, or in
all of them at once, and for paths, a ClusterRole. Objects that were asked for by name
are named (--names keep), or rules are about all objects of the resource (--names
widen). What was refused is never granted; --include-denied tells it in comments.

The names of what is written depend on the SUBJECT alone. What an earlier run wrote and
was applied is kept, and added to.

SUBJECT is a user's name, group:NAME or sa:NAMESPACE/NAME. Of a group it is what any
member did.
` + auditSourceHelp + sourceHelp + exitCodesHelp,
		Example: `  gatehouse access generate sa:ci/builder --audit audit.log --from cluster/ > builder.yaml
  gatehouse access generate jane --audit logs/ --since 90d --from-scratch --names widen
  gatehouse access generate group:developers --audit logs/ --include-denied`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) != 1:
				return &hintError{problem: "want SUBJECT", hint: "gatehouse access generate jane, group:NAME, or sa:NAMESPACE/NAME"}
			case names != "keep" && names != "widen":
				return &hintError{problem: fmt.Sprintf("--names %q is not known", names), hint: "known: keep, widen"}
			}
			if err := a.check(v.from); err != nil {
				return err
			}
			return checkOutput(v.output, "yaml", "json")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			who, err := readSubject(args[0])
			if err != nil {
				return err
			}
			w, err := v.open(cmd)
			if err != nil {
				return err
			}
			past, err := a.open(cmd, w.config, time.Now())
			if err != nil {
				return err
			}
			defer past.close()
			opts.World = replay.World{View: w.view, Scopes: w.catalog}
			opts.Subject = rbacv1.Subject{Kind: who.kind, Namespace: who.namespace, Name: who.name}
			opts.Widen, opts.Now, opts.From, opts.To = names == "widen", time.Now(), past.from, past.to
			made, err := replay.Generate(cmd.Context(), past, opts)
			if err != nil {
				if _, ok := errors.AsType[*replay.NameTakenError](err); ok {
					return coded(exitUsage, err)
				}
				return coded(exitInternal, err)
			}
			if v.output == "json" {
				err = printObject(cmd.OutOrStdout(), "json", &struct {
					metav1.TypeMeta `json:",inline"`
					Items           []metav1.Object `json:"items"`
				}{metav1.TypeMeta{APIVersion: "v1", Kind: "List"}, append([]metav1.Object{}, made.Objects()...)})
			} else {
				err = coded(exitInternal, made.Write(cmd.OutOrStdout(), denied))
			}
			if err != nil {
				return err
			}
			w.tellGenerated(made)
			return past.incomplete()
		},
	}
	v.add(cmd)
	a.add(cmd)
	f := cmd.Flags()
	f.Lookup("output").Usage, f.Lookup("output").DefValue = "yaml or json", "yaml"
	v.output = "yaml"
	f.Lookup("namespace").Usage = "namespace of files' objects that name none (default: as the kubeconfig says, or default)"
	f.StringArrayVar(&opts.Groups, "group", nil, "a group the user is in; may be repeated")
	f.StringVar(&names, "names", "keep", "names of objects: keep or widen")
	f.BoolVar(&opts.FromScratch, "from-scratch", false, "write all that was seen, whatever exists")
	f.BoolVar(&denied, "include-denied", false, "tell what was refused, in comments")
	f.StringVar(&opts.Name, "name", "", "name of the objects (default: one made of SUBJECT)")
	return cmd
}

// tellGenerated says what was made of what.
func (w *world) tellGenerated(g *replay.Generated) {
	p := func(t replay.Tally, format string) {
		if t.Distinct > 0 {
			w.note(format, tally(t))
		}
	}
	if len(g.Scopes) == 0 {
		w.note("nothing is missing: there is no rule to write")
	}
	p(g.Granted, "written for %s")
	p(g.Covered, "allowed by what exists: %s")
	p(g.Denied, "refused, and not granted: %s")
	p(g.Unknown, "not granted, for the log does not say whether it was allowed: %s")
	p(g.Odd, "not granted, for no rule can be about it alone: %s")
	p(g.Omitted, "granted for every name, for the names were too many to be kept: %s")
	const many = 100
	for _, s := range g.Scopes {
		for _, r := range s.Rules {
			if len(r.ResourceNames) > many {
				w.note("a rule names %d objects: --names widen makes it about all", len(r.ResourceNames))
			}
		}
	}
	if g.Window.Oldest == nil {
		w.note("there is no event in this time")
		return
	}
	w.note("observed %s, from %s to %s, with %d gaps", showLength(g.Window.Seconds), showInstant(*g.Window.Oldest), showInstant(*g.Window.Newest), len(g.Window.Gaps))
}
