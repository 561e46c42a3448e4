package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/abac"
	"github.com/gatehouse-io/gatehouse/check"
	"github.com/gatehouse-io/gatehouse/check/manifest"
	"github.com/gatehouse-io/gatehouse/check/replay"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/engines"
	"github.com/gatehouse-io/gatehouse/serve"
)

// simulateFlags say what would change, and which past that is held against.
type simulateFlags struct {
	viewFlags
	auditFlags
	change      []string
	gone        []string
	abac        string
	changeABAC  string
	auditPolicy string
	failOn      string
	limit       int
}

func newSimulate() *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate --change FILE",
		Short: "Say which past requests a change would refuse or allow",
		Long: `Put the requests that were made before the permissions of today, and before those
with a change, and list what would be decided otherwise: who, what, how often, when
last, what allows it now, and what would decide then.

A change is files with Roles, ClusterRoles, bindings, Guards, Namespaces and policies of
any language: each object takes the place of the one of the same kind, namespace and
name, or comes besides. --delete takes one away. --abac and --change-abac are the ABAC
policy files of today and of then. Policies are put before the objects that were
created and updated, where the audit level has them.

What cannot be judged is counted with its cause. How many of the recorded decisions
today's permissions reproduce says how far to trust the rest.
` + auditSourceHelp + sourceHelp + exitCodesHelp,
		Example: `  gatehouse simulate --change role.yaml --audit audit.log --from cluster/
  gatehouse simulate --delete rolebinding/shop/devs --audit logs/ --since 30d
  gatehouse simulate --change policies/ --audit logs/ --from cluster/ -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 0:
				return &hintError{problem: fmt.Sprintf("%q is no flag", args[0]), hint: "name the files of the change with --change"}
			case len(f.change)+len(f.gone) == 0 && f.changeABAC == "":
				return &hintError{problem: "want --change FILE", hint: "gatehouse simulate --change role.yaml --audit audit.log --from cluster/"}
			case !slices.Contains([]string{"refused", "allowed", "any", "never"}, f.failOn):
				return &hintError{problem: fmt.Sprintf("--fail-on %q is not known", f.failOn), hint: "known: refused, allowed, any, never"}
			}
			if err := f.auditFlags.check(f.from, f.change); err != nil {
				return err
			}
			return checkOutput(f.output, "table", "wide", "json", "yaml")
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.viewFlags.add(cmd)
	f.auditFlags.add(cmd)
	cmd.Flags().Lookup("namespace").Usage = "namespace of objects that name none (default: as the kubeconfig says, or default)"
	flags := cmd.Flags()
	flags.StringArrayVar(&f.change, "change", nil, "files with the objects as they would be: a folder, a file or -; may be repeated")
	flags.StringArrayVar(&f.gone, "delete", nil, "an object that would be gone, KIND/NAME or KIND/NAMESPACE/NAME; may be repeated")
	flags.StringVar(&f.abac, "abac", "", "the ABAC policy file that is in force")
	flags.StringVar(&f.changeABAC, "change-abac", "", "the ABAC policy file that would be (default: that of --abac)")
	flags.StringVar(&f.auditPolicy, "audit-policy", "", "the audit policy of the log, to tell what it leaves out")
	flags.StringVar(&f.failOn, "fail-on", "refused", "what ends with exit code 1: refused, allowed, any or never")
	flags.IntVar(&f.limit, "limit", 1000, "how many changed decisions are listed")
	return cmd
}

// changed is a change, as it was read.
type changed struct {
	view     *cluster.View
	policies []policy.Object
	gone     []cluster.Identity
	// authorization says that it is one of who may do what.
	authorization bool
}

func (f *simulateFlags) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	w, err := f.viewFlags.open(cmd)
	if err != nil {
		return err
	}
	all, err := engines.All(engines.Options{})
	if err != nil {
		return coded(exitInternal, err)
	}
	change, err := f.read(cmd, w, all)
	if err != nil {
		return err
	}
	current := replay.World{View: w.view, Scopes: w.catalog}
	if current.ABAC, err = readABAC(f.abac); err != nil {
		return err
	}
	proposed := replay.World{Scopes: w.catalog, ABAC: current.ABAC}
	if f.changeABAC != "" {
		if proposed.ABAC, err = readABAC(f.changeABAC); err != nil {
			return err
		}
	}
	var missing []cluster.Identity
	proposed.View, missing = w.view.With(change.view, change.gone)
	then := &world{view: proposed.View, catalog: w.catalog, config: w.config, notes: cmd.ErrOrStderr(), namespace: w.namespace}
	if err := then.compile(true); err != nil {
		return err
	}
	recording, err := readRecording(f.auditPolicy)
	if err != nil {
		return err
	}
	var judges *policyJudges
	if len(change.policies)+len(missing) > 0 {
		if judges, err = f.judges(ctx, w, then, all, change, missing); err != nil {
			return err
		}
	}
	past, err := f.auditFlags.open(cmd, w.config, time.Now())
	if err != nil {
		return err
	}
	defer past.close()
	done := progress(cmd.ErrOrStderr(), "judging")
	report := &replay.Report{Flips: []replay.Flip{}}
	if change.authorization || f.changeABAC != "" {
		report, err = replay.Run(ctx, past, replay.Options{Current: current, Proposed: proposed, From: past.from, To: past.to, MaxFlips: f.limit})
	} else {
		report.Window, err = replay.WindowOf(ctx, past, past.from, past.to)
	}
	if err == nil && judges != nil {
		report.Policies, err = replay.Judge(ctx, past.events(ctx, replay.WriteFilter(past.from, past.to)), replay.PolicyOptions{
			Current: judges.current, Proposed: judges.proposed, MaxFlips: f.limit,
		})
	}
	done()
	if err != nil {
		return coded(exitInternal, err)
	}
	if recording != nil {
		report.NotRecorded = recording.Leaves(w.catalog.rulable())
	}
	if err := f.print(cmd, report); err != nil {
		return err
	}
	refused, allowed := report.Refused.Distinct > 0, report.Allowed.Distinct > 0
	if p := report.Policies; p != nil {
		refused, allowed = refused || p.Refused > 0, allowed || p.Allowed > 0
	}
	if refused && (f.failOn == "refused" || f.failOn == "any") || allowed && (f.failOn == "allowed" || f.failOn == "any") {
		return errDenied
	}
	if err := past.incomplete(); err != nil {
		return err
	}
	return incomplete(w.dangling())
}

func readABAC(file string) (*abac.Policies, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, coded(exitUnreadable, err)
	}
	policies, err := abac.Parse(file, data)
	return policies, coded(exitUnreadable, err)
}

func readRecording(file string) (*replay.Recording, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, coded(exitUnreadable, err)
	}
	recording, err := replay.NewRecording(data)
	if err != nil {
		return nil, coded(exitUnreadable, fmt.Errorf("%s: %w", file, err))
	}
	return recording, nil
}

// rulable are the resources and subresources there are, as rules name them.
func (c *catalog) rulable() (all []schema.GroupResource) {
	for i := range c.all {
		r := &c.all[i]
		if r.kind == "" {
			continue // it stands in rules alone
		}
		all = append(all, schema.GroupResource{Group: r.group, Resource: r.resource})
		for _, sub := range r.subresources {
			all = append(all, schema.GroupResource{Group: r.group, Resource: r.resource + "/" + sub})
		}
	}
	return all
}

// read reads the change.
func (f *simulateFlags) read(cmd *cobra.Command, w *world, all []policy.Engine) (c *changed, err error) {
	c = &changed{view: &cluster.View{}}
	var stdin []byte
	if slices.Contains(f.change, "-") {
		if stdin, err = readStdin(cmd.InOrStdin()); err != nil {
			return nil, err
		}
	}
	if len(f.change) > 0 {
		if c.view, err = cluster.FromFiles(cmd.Context(), f.change, bytes.NewReader(stdin), cluster.FileOptions{Namespace: w.namespace}); err != nil {
			return nil, coded(exitUnreadable, err)
		}
		if c.policies, err = check.Collect(cmd.Context(), f.change, manifest.Options{Stdin: bytes.NewReader(stdin)}, func(kind schema.GroupKind) bool { return isPolicy(all, kind) }); err != nil {
			return nil, coded(exitUnreadable, err)
		}
		for _, note := range c.view.Notes {
			w.note("the change: %s", note)
		}
	}
	for _, text := range f.gone {
		one, err := w.deletion(text)
		if err != nil {
			return nil, err
		}
		c.gone = append(c.gone, one)
	}
	v := c.view
	objects := len(v.Roles) + len(v.RoleBindings) + len(v.ClusterRoles) + len(v.ClusterRoleBindings) + len(v.Guards) + len(v.Namespaces)
	if objects+len(c.policies) == 0 && len(f.change) > 0 {
		return nil, coded(exitUnreadable, &hintError{problem: "there is nothing to judge in " + strings.Join(f.change, " "), hint: "name files with Roles, bindings, Guards or policies"})
	}
	if left := v.Aside - len(c.policies); left > 0 {
		w.note("%d objects of the change decide nothing, and are left aside", left)
	}
	c.authorization = objects > 0 || slices.ContainsFunc(c.gone, func(o cluster.Identity) bool {
		return slices.ContainsFunc(cluster.AllKinds, func(k cluster.Kind) bool { return string(k) == o.Kind })
	})
	return c, nil
}

// deletion reads KIND/NAME or KIND/NAMESPACE/NAME.
func (w *world) deletion(text string) (o cluster.Identity, err error) {
	kind, rest, ok := strings.Cut(text, "/")
	if !ok || rest == "" || kind == "" {
		return o, coded(exitUsage, &hintError{problem: fmt.Sprintf("--delete %q names no object", text), hint: "write --delete rolebinding/shop/devs"})
	}
	o.Kind, o.Name = kind, rest
	for _, known := range cluster.AllKinds {
		if strings.EqualFold(kind, string(known)) || strings.EqualFold(kind, string(known)+"s") {
			o.Kind = string(known)
		}
	}
	if namespace, name, ok := strings.Cut(rest, "/"); ok {
		o.Namespace, o.Name = namespace, name
	} else if o.Kind == string(cluster.Roles) || o.Kind == string(cluster.RoleBindings) {
		o.Namespace = cmp.Or(w.namespace, metav1.NamespaceDefault)
	}
	return o, nil
}

// policyJudges ask the policies of today, and those of then.
type policyJudges struct{ current, proposed *check.Judge }

// judges makes them. gone are deletions of objects that are no part of authorization.
func (f *simulateFlags) judges(ctx context.Context, now, then *world, all []policy.Engine, change *changed, gone []cluster.Identity) (*policyJudges, error) {
	policies, lookups, err := now.policyWorld(ctx, all)
	if err != nil {
		return nil, err
	}
	same := func(a, b *policy.Object) bool {
		return a.GroupVersionKind().GroupKind() == b.GroupVersionKind().GroupKind() && a.GetNamespace() == b.GetNamespace() && a.GetName() == b.GetName()
	}
	left := slices.DeleteFunc(slices.Clone(policies), func(o policy.Object) bool {
		return slices.ContainsFunc(change.policies, func(c policy.Object) bool { return same(&o, &c) })
	})
	for _, g := range gone {
		before := len(left)
		left = slices.DeleteFunc(left, func(o policy.Object) bool {
			return strings.EqualFold(o.GetKind(), g.Kind) && o.GetName() == g.Name && o.GetNamespace() == g.Namespace
		})
		if len(left) == before {
			return nil, coded(exitUnreadable, &hintError{problem: fmt.Sprintf("--delete: there is no %s", identity(g)), hint: "what is deleted must be there: look for it in the cluster, or in the files of --from"})
		}
	}
	if len(change.policies) == 0 && len(left) == len(policies) {
		return nil, nil
	}
	j := &policyJudges{}
	if j.current, err = newJudge(policies, lookups, now.catalog, now.chain()); err != nil {
		return nil, err
	}
	for _, p := range j.current.Loaded.Problems {
		now.note("%s: %s", p.Source.String(), p.Message)
	}
	if j.proposed, err = newJudge(append(left, change.policies...), lookups, now.catalog, then.chain()); err != nil {
		return nil, err
	}
	var wrong v1alpha1.FieldErrorList
	for _, p := range j.proposed.Loaded.Problems {
		if slices.ContainsFunc(change.policies, func(o policy.Object) bool { return o.Source.File == p.Source.File && o.Source.Name == p.Source.Name }) {
			wrong = append(wrong, &v1alpha1.FieldError{File: p.Source.File, Line: p.Source.Line, Col: 1, Message: p.Source.Kind + " " + p.Source.Name + ": " + p.Message, Hint: p.Hint})
		}
	}
	if len(wrong) > 0 {
		return nil, coded(exitUnreadable, wrong)
	}
	return j, nil
}

func identity(o cluster.Identity) string {
	if o.Namespace != "" {
		return o.Kind + " " + o.Namespace + "/" + o.Name
	}
	return o.Kind + " " + o.Name
}

// policyWorld are the policies of the cluster or the files, and what they look things
// up in.
func (w *world) policyWorld(ctx context.Context, all []policy.Engine) (policies []policy.Object, lookups policy.Cluster, err error) {
	if w.config != nil {
		live, err := newLiveCluster(w.config)
		if err != nil {
			return nil, nil, coded(exitInternal, err)
		}
		policies, err := live.policies(ctx, all)
		if err != nil {
			return nil, nil, coded(exitInternal, fmt.Errorf("read the policies of the cluster: %w", err))
		}
		return policies, live, nil
	}
	objects, err := check.Collect(ctx, w.from, manifest.Options{Stdin: bytes.NewReader(w.stdin)}, func(schema.GroupKind) bool { return true })
	if err != nil {
		return nil, nil, coded(exitUnreadable, err)
	}
	w.catalog.define(check.Plain(objects))
	known := &cluster.Known{}
	for _, o := range objects {
		if isPolicy(all, o.GroupVersionKind().GroupKind()) {
			policies = append(policies, o)
		} else if prepared, err := serve.Defaulted(o.Unstructured); err == nil {
			known.Add(prepared)
		}
	}
	known.Seal()
	return policies, known, nil
}
