package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/gatehouse-io/gatehouse/check"
	"github.com/gatehouse-io/gatehouse/check/lint"
	"github.com/gatehouse-io/gatehouse/check/manifest"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/builtin"
	"github.com/gatehouse-io/gatehouse/policy/engines"
)

// policyFlags say which policies are meant: those of files, or of a cluster.
type policyFlags struct {
	clusterFlags
	output string
}

func newPolicy() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "List policies, show one, and find what is wrong with them"}
	cmd.AddCommand(newPolicyList(), newPolicyShow(), newPolicyLint())
	return cmd
}

const policySourceHelp = `
A PATH is a file or a folder with policies of any language; without one they are
those of the cluster of the kubeconfig, which is read and not changed.
`

// loadedPolicies are policies, compiled.
type loadedPolicies struct {
	objects    []policy.Object
	loaded     policy.Loaded
	exceptions *policy.Exceptions
	kinds      *catalog
	// live says that they are those of a cluster.
	live bool
}

func (f *policyFlags) load(ctx context.Context, paths []string) (*loadedPolicies, error) {
	kinds := builtInCatalog()
	all, err := engines.All(engines.Options{Namespaced: func(kind schema.GroupVersionKind) (namespaced, known bool, err error) {
		_, namespaced, known = kinds.ResourceOf(kind.GroupKind())
		return namespaced, known, nil
	}})
	if err != nil {
		return nil, coded(exitInternal, err)
	}
	p := &loadedPolicies{live: len(paths) == 0}
	if len(paths) > 0 {
		p.objects, err = check.Collect(ctx, paths, manifest.Options{}, func(kind schema.GroupKind) bool { return isPolicy(all, kind) || kind == definitionKind })
		if err != nil {
			return nil, coded(exitUnreadable, err)
		}
		kinds.define(check.Plain(p.objects))
		p.objects = slices.DeleteFunc(p.objects, func(o policy.Object) bool { return o.GroupVersionKind().GroupKind() == definitionKind })
	} else {
		config, _, err := f.connect()
		if err != nil {
			return nil, err
		}
		live, err := newLiveCluster(config)
		if err != nil {
			return nil, coded(exitInternal, err)
		}
		if p.objects, err = live.policies(ctx, all); err != nil {
			return nil, coded(exitInternal, fmt.Errorf("read the policies of the cluster: %w", err))
		}
		if kinds, _, err = liveCatalog(config); err != nil {
			return nil, coded(exitInternal, fmt.Errorf("discover resources: %w", err))
		}
	}
	if len(p.objects) == 0 && len(paths) > 0 {
		return nil, coded(exitUnreadable, &hintError{problem: "there is no policy in " + strings.Join(paths, " "), hint: "name the files of ValidatingAdmissionPolicies, BuiltinPolicies and the like"})
	}
	loaded, others := policy.Load(all, p.objects)
	exceptions, problems := policy.LoadExceptions(others, nil)
	loaded.Problems = append(loaded.Problems, problems...)
	p.loaded, p.exceptions, p.kinds = loaded, exceptions, kinds
	return p, nil
}

// listed is a policy as it is listed.
type listed struct {
	Policy  string   `json:"policy"`
	Does    string   `json:"does"`
	Matches []string `json:"matches"`
	From    string   `json:"from,omitempty"`
	// Cost is an estimate, where one can be had.
	Cost string `json:"cost,omitempty"`
	// Needs is the first release of Kubernetes that takes it as a new policy.
	Needs    string   `json:"needs,omitempty"`
	Problems []string `json:"problems,omitempty"`
}

// list is every policy in force, and every object that is none for a problem.
func (p *loadedPolicies) list() []listed {
	var all []listed
	var environments lint.Environments
	told := map[gate.Source]bool{}
	problems := func(of gate.Source) (texts []string) {
		for _, one := range p.loaded.Problems {
			if one.Source.Kind == of.Kind && one.Source.Namespace == of.Namespace && one.Source.Name == of.Name {
				texts = append(texts, gate.Plain(one.Message))
				told[one.Source] = true
			}
		}
		return texts
	}
	for _, one := range p.loaded.Policies {
		source := one.Source()
		name := source
		name.File, name.Line = "", 0
		l := listed{Policy: gate.Plain(name.String()), Matches: matchesOf(one), Problems: problems(source)}
		_, mutates := one.(policy.Mutator)
		_, validates := one.(policy.Validator)
		l.Does = map[[2]bool]string{{true, false}: "changes", {false, true}: "judges", {true, true}: "changes, judges"}[[2]bool{mutates, validates}]
		l.From = p.from(source)
		p.estimate(&environments, one, &l)
		all = append(all, l)
	}
	for _, one := range p.loaded.Problems {
		if told[one.Source] {
			continue
		}
		name := one.Source
		name.File, name.Line = "", 0
		l := listed{Policy: gate.Plain(name.String()), Does: "nothing", Problems: []string{gate.Plain(one.Message)}}
		l.From = p.from(one.Source)
		all = append(all, l)
	}
	slices.SortStableFunc(all, func(a, b listed) int { return cmp.Compare(a.Policy, b.Policy) })
	return all
}

// from is where a policy was read.
func (p *loadedPolicies) from(source gate.Source) string {
	switch {
	case source.File != "":
		return gate.Plain(source.Place())
	case p.live:
		return "the cluster"
	}
	return ""
}

// estimate says what the objects that a policy is made of cost and need.
func (p *loadedPolicies) estimate(environments *lint.Environments, one policy.Policy, l *listed) {
	sources := []gate.Source{one.Source()}
	if c, ok := one.(policy.Compound); ok {
		sources = c.Sources()
	}
	most := lint.Needs{}
	for _, o := range p.objects {
		if !slices.ContainsFunc(sources, func(s gate.Source) bool {
			return s.Kind == o.GetKind() && s.Namespace == o.GetNamespace() && s.Name == o.GetName()
		}) {
			continue
		}
		if cost, ok := environments.CostOf(o); ok {
			l.Cost = cost.String()
		}
		if n := environments.NeedsOf(o); n.Minor > most.Minor {
			most = n
		}
	}
	if most.Minor > 0 {
		l.Needs = fmt.Sprintf("Kubernetes 1.%d", most.Minor)
	}
}

// matchesOf says in words what a policy can match at all.
func matchesOf(p policy.Policy) (all []string) {
	for _, s := range p.Selectors() {
		text := "everything"
		what := append(slices.Clone(s.Resources), s.Kinds...)
		if len(s.Kinds) > 0 {
			what = s.Kinds
		}
		if len(what) > 0 {
			text = strings.Join(what, ",")
		}
		var groups []string
		for _, g := range s.Groups {
			if g != "" {
				groups = append(groups, g)
			}
		}
		if len(groups) > 0 {
			text += "." + strings.Join(groups, ",")
		}
		var operations []string
		for _, o := range s.Operations {
			operations = append(operations, strings.ToLower(string(o)))
		}
		if len(operations) > 0 {
			text = strings.Join(operations, ",") + " " + text
		}
		if len(s.Namespaces) > 0 {
			text += " in " + strings.Join(s.Namespaces, ",")
		}
		if s.NamespaceSelector != nil && !s.NamespaceSelector.Empty() {
			text += " in namespaces with " + s.NamespaceSelector.String()
		}
		all = append(all, gate.Plain(text))
	}
	return all
}

func newPolicyList() *cobra.Command {
	var f policyFlags
	var catalogue bool
	cmd := &cobra.Command{
		Use:   "list [PATH...]",
		Short: "List policies: what each does, what it can match, its cost, and where it is from",
		Long: `List policies of every language: what each does, what it can match, what it costs, and
where it is from. A policy that does not compile does nothing, and is listed with why.

The cost is an estimate for one request, in the units of which an API server allows a
policy 10,000,000, and is known of CEL alone. Where the text says that it grows with
the object, it has a loop. With -o wide and in json it is also said which release of
Kubernetes takes the policy as a new one.
` + policySourceHelp + exitCodesHelp,
		Example: `  gatehouse policy list
  gatehouse policy list policies/ -o wide
  gatehouse policy list policies/ -o json
  gatehouse policy list --builtin`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			if err := checkOutput(f.output, "table", "wide", "json", "yaml"); err != nil {
				return err
			}
			if catalogue {
				return printCatalogue(cmd, f.output)
			}
			p, err := f.load(cmd.Context(), paths)
			if err != nil {
				return err
			}
			all := p.list()
			if f.output == "json" || f.output == "yaml" {
				return printObject(cmd.OutOrStdout(), f.output, map[string]any{"policies": all})
			}
			t := table{head: []string{"POLICY", "DOES", "MATCHES", "COST", "FROM"}}
			if f.output == "wide" {
				t.head = append(t.head, "NEEDS")
			}
			for _, l := range all {
				matches := strings.Join(l.Matches, "; ")
				if more := len(l.Matches) - 1; more > 0 && f.output != "wide" {
					matches = fmt.Sprintf("%s; and %d more", l.Matches[0], more)
				}
				if len(l.Problems) > 0 {
					matches = "problem: " + strings.Join(l.Problems, "; ")
				}
				row := []string{l.Policy, l.Does, matches, orNone(l.Cost), orNone(l.From)}
				if f.output == "wide" {
					row = append(row, orNone(l.Needs))
				}
				t.rows = append(t.rows, row)
			}
			return t.print(cmd.OutOrStdout(), widthOf(f.output))
		},
	}
	f.clusterFlags.add(cmd)
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "table, wide, json or yaml")
	cmd.Flags().BoolVar(&catalogue, "builtin", false, "list the policies that can be switched on by BuiltinPolicies")
	return cmd
}

func orNone(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func widthOf(output string) int {
	if output == "wide" {
		return 0
	}
	return tableWidth
}

func printCatalogue(cmd *cobra.Command, output string) error {
	all := builtin.Catalog()
	if output == "json" || output == "yaml" {
		return printObject(cmd.OutOrStdout(), output, map[string]any{"policies": all})
	}
	t := table{head: []string{"POLICY", "SET", "ABOUT"}}
	for _, p := range all {
		set := p.Set
		if p.NeedsParameters {
			set = "-"
		}
		t.rows = append(t.rows, []string{p.Name, set, p.About})
	}
	return t.print(cmd.OutOrStdout(), widthOf(output))
}

func newPolicyShow() *cobra.Command {
	var f policyFlags
	cmd := &cobra.Command{
		Use:   "show NAME [PATH...]",
		Short: "Show a policy: what it matches, costs and is excepted by, and its text",
		Long: `Show the policies of a name, of whatever language: what they match and cost, which
release of Kubernetes takes them, where they are from, which Exceptions name them, what is wrong with them, and their text.
` + policySourceHelp + exitCodesHelp,
		Example: `  gatehouse policy show must-have-owner
  gatehouse policy show two policies/`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &hintError{problem: "want NAME", hint: "gatehouse policy list shows the names"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := f.load(cmd.Context(), args[1:])
			if err != nil {
				return err
			}
			out, name, found := cmd.OutOrStdout(), args[0], false
			for _, l := range p.list() {
				if !slices.Contains(strings.Fields(l.Policy), gate.Plain(name)) {
					continue
				}
				found = true
				fmt.Fprintf(out, "%s\n  does      %s\n", l.Policy, l.Does)
				for _, m := range l.Matches {
					fmt.Fprintf(out, "  matches   %s\n", m)
				}
				for _, line := range []struct{ what, text string }{{"costs", l.Cost}, {"needs", l.Needs}, {"from", l.From}} {
					if line.text != "" {
						fmt.Fprintf(out, "  %-9s %s\n", line.what, line.text)
					}
				}
				for _, problem := range l.Problems {
					fmt.Fprintf(out, "  problem   %s\n", problem)
				}
				fmt.Fprintln(out)
			}
			for _, x := range p.exceptions.All() {
				for _, of := range x.Spec.Policies {
					if of.Name == name {
						fmt.Fprintf(out, "Exception %s\n  owner     %s\n  until     %s\n  reason    %s\n\n", gate.Plain(x.Source.Name), gate.Plain(x.Spec.Owner), x.Spec.ExpiresAt.UTC().Format("2006-01-02T15:04:05Z"), gate.Plain(x.Spec.Reason))
						break
					}
				}
			}
			for _, o := range p.objects {
				if o.GetName() != name {
					continue
				}
				found = true
				fmt.Fprintln(out, "---")
				o.SetManagedFields(nil)
				if err := printObject(out, "yaml", o.Object); err != nil {
					return err
				}
			}
			if !found {
				return coded(exitUnreadable, &hintError{problem: fmt.Sprintf("there is no policy %q", name), hint: "gatehouse policy list shows them"})
			}
			return nil
		},
	}
	f.clusterFlags.add(cmd)
	return cmd
}

func newPolicyLint() *cobra.Command {
	var f policyFlags
	var release string
	cmd := &cobra.Command{
		Use:   "lint [PATH...]",
		Short: "Find policies that do not compile, match nothing, or do nothing",
		Long: `Find what is wrong with policies before they are in force: those that do not compile,
bindings and constraints without their policy, policies that no binding names, two
policies of one name, and Exceptions that have ended or name no policy there is.

Also those that can match nothing (a resource that is not known, selectors that
contradict each other, namespaces that are all excluded), those that another one
shadows (it says the same of all that they match), and those that need a later
Kubernetes than --kube-version. CustomResourceDefinitions among the PATHs are known.
` + policySourceHelp + exitCodesHelp,
		Example: `  gatehouse policy lint policies/
  gatehouse policy lint policies/ --kube-version 1.31
  gatehouse policy lint`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			taken, err := version.ParseGeneric(release)
			if err != nil || taken.Major() != 1 {
				return &hintError{problem: fmt.Sprintf("--kube-version %q is no release of Kubernetes", release), hint: "write it as " + kubernetesMinor}
			}
			p, err := f.load(cmd.Context(), paths)
			if err != nil {
				return err
			}
			found := p.lint(int(taken.Minor()), time.Now())
			for _, l := range found {
				fmt.Fprintln(cmd.OutOrStdout(), l)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d policies, %d problems\n", len(p.loaded.Policies), len(found))
			if len(found) > 0 {
				return errDenied
			}
			return nil
		},
	}
	f.clusterFlags.add(cmd)
	cmd.Flags().StringVar(&release, "kube-version", kubernetesMinor, "release of Kubernetes that is to take the policies")
	return cmd
}

// lint is a line for everything that is wrong now, in order. minor is that of the release
// that is to take the policies.
func (p *loadedPolicies) lint(minor int, now time.Time) (found []string) {
	say := func(source gate.Source, format string, args ...any) {
		place := ""
		if source.File != "" {
			place = source.Place() + ": "
		}
		source.File, source.Line = "", 0
		found = append(found, gate.Plain(place+source.String()+": "+fmt.Sprintf(format, args...)))
	}
	for _, one := range p.loaded.Problems {
		text := one.Message
		if one.Hint != "" {
			text += " (" + one.Hint + ")"
		}
		say(one.Source, "%s", text)
	}
	for _, f := range lint.Run(p.objects, p.loaded.Policies, lint.Options{Kinds: p.kinds, Minor: minor}) {
		say(f.Source, "%s", f.Message)
	}
	named := map[string]bool{}
	seen := map[string]gate.Source{}
	for _, o := range p.objects {
		spec, _ := o.Object["spec"].(map[string]any)
		if name, _ := spec["policyName"].(string); strings.HasSuffix(o.GetKind(), "PolicyBinding") {
			named[strings.TrimSuffix(o.GetKind(), "Binding")+"/"+name] = true
		}
		if strings.HasPrefix(o.GroupVersionKind().Group, "constraints.") {
			named["ConstraintTemplate/"+o.GetKind()] = true
		}
		key := o.GroupVersionKind().GroupKind().String() + "/" + o.GetNamespace() + "/" + o.GetName()
		if first, twice := seen[key]; twice {
			say(o.Source, "it is there twice, at %s too", first.Place())
		}
		seen[key] = o.Source
	}
	for _, o := range p.objects {
		switch o.GetKind() {
		case "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy":
			if !named[o.GetKind()+"/"+o.GetName()] {
				say(o.Source, "no binding names it, and it does nothing")
			}
		case "ConstraintTemplate":
			if kind := templateKind(o); !named["ConstraintTemplate/"+kind] {
				say(o.Source, "there is no constraint of the kind %s, and it does nothing", kind)
			}
		}
	}
	ended := map[gate.Source]bool{}
	for _, x := range p.exceptions.All() {
		if x.Expired(now) {
			ended[x.Source] = true
			say(x.Source, "it has ended at %s, and counts for nothing", x.Spec.ExpiresAt.UTC().Format("2006-01-02T15:04:05Z"))
		}
		if !slices.ContainsFunc(p.loaded.Policies, func(one policy.Policy) bool { return x.Names(one.Source()) }) &&
			!slices.ContainsFunc(p.objects, func(o policy.Object) bool { return o.GetKind() != exceptionKind.Kind && x.Names(o.Source) }) {
			say(x.Source, "it names no policy that there is")
		}
	}
	for _, o := range p.objects {
		if unused := lint.Unused(o, now); unused != "" && !ended[o.Source] {
			say(o.Source, "%s", unused)
		}
	}
	slices.Sort(found)
	return found
}

// templateKind is the kind of the constraints of a ConstraintTemplate.
func templateKind(o policy.Object) string {
	at := o.Object
	for _, field := range []string{"spec", "crd", "spec", "names"} {
		at, _ = at[field].(map[string]any)
	}
	kind, _ := at["kind"].(string)
	return kind
}
