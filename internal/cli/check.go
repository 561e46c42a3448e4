package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/check"
	"github.com/gatehouse-io/gatehouse/check/manifest"
	"github.com/gatehouse-io/gatehouse/check/report"
	checkschema "github.com/gatehouse-io/gatehouse/check/schema"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/internal/version"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/builtin"
	"github.com/gatehouse-io/gatehouse/policy/engines"
	"github.com/gatehouse-io/gatehouse/policy/podsecurity"
	"github.com/gatehouse-io/gatehouse/serve"
)

// checkFlags say what is checked, against what, and how it is told.
type checkFlags struct {
	clusterFlags
	policies    []string
	from        []string
	live        bool
	builtin     string
	providers   providerFlag
	clusterName string
	podSecurity string
	as          string
	groups      []string
	rbac        bool
	mutations   bool
	fix         string

	format        string
	failOn        string
	baseline      string
	writeBaseline string

	helm manifest.HelmOptions
}

func newCheck() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check PATH...",
		Short: "Check manifests against policies, as the cluster would",
		Long: `Check manifests before they are applied: YAML and JSON files, folders, kustomizations,
Helm charts, or - for stdin. Every object is put before the same policies, in the
same order, as in gatehouse serve and attach, and what each says is told with file,
line and column.

Policies are those among the manifests, those of --policies, those of the built-in
sets (--builtin, --pod-security), and those of a cluster that runs (--live). What
policies look up, and Namespaces with their labels, are among the manifests, in
--from, or in the cluster. Fields, kinds and versions that Kubernetes ` + kubernetesMinor + ` or
the CustomResourceDefinitions given, or with --live those of the cluster, do not have
are findings.

Where a policy states a patch, the finding has it as a diff. --fix shows the diff of
all of them, those of mutating policies too, and writes the files: what is not
changed keeps every byte, comments included. --fix=diff writes nothing, and prints
nothing but the diff to stdout. What a chart or a kustomization makes is not fixed.
` + exitCodesHelp,
		Example: `  gatehouse check deploy/ --pod-security restricted
  gatehouse check deploy/ --policies policies/ --format sarif > check.sarif
  helm template shop | gatehouse check - --builtin
  gatehouse check deploy/ --live --as sa:ci/deployer --rbac
  gatehouse check deploy/ --policies policies/ --baseline baseline.yaml
  gatehouse check deploy/ --builtin --fix
  gatehouse check deploy/ --builtin --fix=diff | git apply`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &hintError{problem: "want PATH", hint: "gatehouse check deploy/ --pod-security restricted"}
			}
			if err := checkOutput(f.format, report.Formats()...); err != nil {
				return err
			}
			if !slices.Contains([]string{"deny", "warn", "audit", "never"}, f.failOn) {
				return &hintError{problem: fmt.Sprintf("--fail-on %q is not known", f.failOn), hint: "known: deny, warn, audit, never"}
			}
			if !slices.Contains([]string{"", fixWrite, fixDiff}, f.fix) {
				return &hintError{problem: fmt.Sprintf("--fix %q is not known", f.fix), hint: "--fix writes the files, --fix=diff shows what would be written"}
			}
			if f.fix == fixDiff && f.format != "text" {
				return &hintError{problem: "--fix=diff prints a diff and no report", hint: "leave --format out, or --fix: findings have their diffs in every report"}
			}
			if slices.Contains([]string{"", "Enforce", "Warn", "Report"}, f.builtin) {
				return nil
			}
			return &hintError{problem: fmt.Sprintf("--builtin %q is not known", f.builtin), hint: "known: Enforce, Warn, Report"}
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.clusterFlags.add(cmd)
	cmd.Flags().Lookup("namespace").Usage = "namespace of objects that name none (default: default)"
	flags := cmd.Flags()
	flags.StringArrayVar(&f.policies, "policies", nil, "files or folders with policies and Exceptions; may be repeated")
	flags.StringArrayVar(&f.from, "from", nil, "files of the cluster that policies look things up in; may be repeated")
	flags.BoolVar(&f.live, "live", false, "ask the policies of the cluster of the kubeconfig, and look things up there")
	flags.Var(&f.providers, "allow-provider", "an external data provider that policies of Gatekeeper may ask, NAME=URL; may be repeated (default: none)")
	flags.StringVar(&f.clusterName, "cluster-name", "", "name of the cluster that the manifests are for, as exemptions of BuiltinPolicies have it (default: none, and no exemption by cluster matches)")
	flags.StringVar(&f.builtin, "builtin", "", "every built-in policy, as Enforce, Warn or Report")
	flags.Lookup("builtin").NoOptDefVal = "Enforce"
	flags.StringVar(&f.podSecurity, "pod-security", "", "Pod Security level of namespaces that name none: privileged, baseline or restricted, with a version as restricted:v1.37")
	flags.StringVar(&f.as, "as", "", "who creates the objects: a user, or sa:NAMESPACE/NAME")
	flags.StringArrayVar(&f.groups, "as-group", nil, "a group the user is in; may be repeated")
	flags.BoolVar(&f.rbac, "rbac", false, "tell of objects that --as may not create")
	flags.BoolVar(&f.mutations, "mutations", false, "tell of objects that policies would change, with the patch")
	flags.StringVar(&f.fix, "fix", "", "write the patches that policies state into the files; with --fix=diff show them alone")
	flags.Lookup("fix").NoOptDefVal = fixWrite
	flags.StringVar(&f.format, "format", "text", strings.Join(report.Formats(), ", "))
	flags.StringVar(&f.failOn, "fail-on", "deny", "the least that ends with exit code 1: deny, warn, audit or never")
	flags.StringVar(&f.baseline, "baseline", "", "file with findings that are known and count for nothing")
	flags.StringVar(&f.writeBaseline, "write-baseline", "", "write all findings into a baseline, and end with 0")
	flags.StringArrayVar(&f.helm.Values, "values", nil, "values file of charts; may be repeated")
	flags.StringArrayVar(&f.helm.Set, "set", nil, "a value of charts, KEY=VALUE; may be repeated")
	flags.StringVar(&f.helm.Release, "release", "", "name of the release of charts (default: release)")
	flags.StringVar(&f.helm.KubeVersion, "kube-version", "", "version of Kubernetes that charts see (default: "+kubernetesMinor+")")
	cmd.MarkFlagsMutuallyExclusive("baseline", "write-baseline")
	cmd.MarkFlagsMutuallyExclusive("fix", "write-baseline")
	return cmd
}

// kubernetesMinor is the release that is linked.
const kubernetesMinor = "1.37"

// checking is one run of the command.
type checking struct {
	*checkFlags
	cmd     *cobra.Command
	paths   []string
	stdin   []byte
	catalog *catalog
	crds    checkschema.Definitions
	engines []policy.Engine
	report  report.Report
	fixes   fixes
	judged  judgedObjects
	// unread says that input cannot be read, or policies do not compile.
	unread bool
}

func (f *checkFlags) run(cmd *cobra.Command, paths []string) error {
	c := &checking{checkFlags: f, cmd: cmd, paths: paths, catalog: builtInCatalog(), judged: judgedObjects{begun: time.Now()}}
	c.report.Version = version.Release
	for _, all := range [][]string{paths, f.policies, f.from} {
		if slices.Contains(all, "-") && c.stdin == nil {
			// It is read several times: for policies, and for what is judged.
			data, err := readStdin(cmd.InOrStdin())
			if err != nil {
				return err
			}
			c.stdin = data
		}
	}
	done := tell(cmd.ErrOrStderr(), c.judged.line)
	err := c.check(cmd.Context())
	done()
	if err != nil {
		return err
	}
	return c.tell()
}

// mostStdin is how much is read of it.
const mostStdin = 1 << 30

func readStdin(stdin io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(stdin, mostStdin+1))
	if err == nil && len(data) > mostStdin {
		err = errors.New("stdin is too large: name files")
	}
	return data, coded(exitUnreadable, err)
}

func (c *checking) manifests() manifest.Options {
	helm := c.helm
	helm.Namespace = c.namespace // where its objects go that name none
	return manifest.Options{Stdin: bytes.NewReader(c.stdin), Helm: helm}
}

// read collects the objects of some paths that are wanted.
func (c *checking) read(ctx context.Context, paths []string, want func(schema.GroupKind) bool) ([]policy.Object, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	return check.Collect(ctx, paths, c.manifests(), want)
}

func (c *checking) check(ctx context.Context) error {
	var err error
	c.engines, err = engines.All(engines.Options{Cluster: c.clusterName, ExternalData: c.providers.options(), Namespaced: func(kind schema.GroupVersionKind) (namespaced, known bool, err error) {
		_, namespaced, known = c.catalog.ResourceOf(kind.GroupKind())
		return namespaced, known, nil
	}})
	if err != nil {
		return coded(exitInternal, err)
	}
	wanted := func(kind schema.GroupKind) bool { return isPolicy(c.engines, kind) || describes(kind) }

	// What cannot be read of the manifests themselves is told when they are judged.
	there, err := c.read(ctx, c.paths, func(kind schema.GroupKind) bool {
		if !isPolicy(c.engines, kind) {
			c.judged.found.Add(1)
		}
		return wanted(kind)
	})
	if err != nil && !check.Unreadable(err) {
		return coded(exitInternal, err)
	}
	given, err := c.read(ctx, c.policies, wanted)
	if err != nil {
		return coded(exitUnreadable, err)
	}
	around, err := c.read(ctx, c.from, describes)
	if err != nil {
		return coded(exitUnreadable, err)
	}
	if len(given) == 0 && len(c.policies) > 0 {
		return coded(exitUnreadable, &hintError{problem: "there is no policy in " + strings.Join(c.policies, " "), hint: "name the files of ValidatingAdmissionPolicies, BuiltinPolicies and the like"})
	}
	policies := slices.DeleteFunc(slices.Concat(there, given), func(o policy.Object) bool { return !isPolicy(c.engines, o.GroupVersionKind().GroupKind()) })
	describing := slices.DeleteFunc(slices.Concat(around, there, given), func(o policy.Object) bool { return !describes(o.GroupVersionKind().GroupKind()) })
	c.catalog.define(check.Plain(describing))
	for _, o := range describing {
		if o.GroupVersionKind().GroupKind() != definitionKind {
			continue
		}
		if err := c.crds.Add(o.Unstructured); err != nil {
			c.report.Findings = append(c.report.Findings, report.Unreadable(o.Source.File, o.Source.Line, 1, "CustomResourceDefinition "+o.GetName()+": "+err.Error(), ""))
		}
	}
	var live *liveCluster
	if c.live {
		config, namespace, err := c.connect()
		if err != nil {
			return err
		}
		if c.namespace == "" {
			c.namespace = namespace
		}
		if live, err = newLiveCluster(config); err != nil {
			return coded(exitInternal, err)
		}
		found, err := live.policies(ctx, c.engines)
		if err != nil {
			return coded(exitInternal, fmt.Errorf("read the policies of the cluster: %w", err))
		}
		policies = append(policies, found...)
		if err := c.liveDefinitions(ctx, live, describing); err != nil {
			return coded(exitInternal, err)
		}
		whole, silent, err := liveCatalog(config)
		if err != nil {
			return coded(exitInternal, fmt.Errorf("discover resources: %w", err))
		}
		if len(silent) > 0 {
			c.report.Notes = append(c.report.Notes, "the servers of "+strings.Join(silent, ", ")+" do not answer, and their kinds are not known")
		}
		whole.define(check.Plain(describing))
		c.catalog = whole
	}
	if c.builtin != "" {
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(builtin.All(v1alpha1.BuiltinAction(c.builtin)))
		if err != nil {
			return coded(exitInternal, err)
		}
		delete(object, "status")
		policies = append(policies, policy.Object{Unstructured: &unstructured.Unstructured{Object: object}, Source: gate.Source{Kind: builtin.Kind, Name: "builtin"}})
	}
	var extra []policy.Policy
	if c.podSecurity != "" {
		p, err := podsecurity.New(podsecurity.Options{Level: c.podSecurity})
		if err != nil {
			return coded(exitUsage, fmt.Errorf("--pod-security: %w", err))
		}
		extra = append(extra, p)
	}

	known := &cluster.Known{}
	for _, o := range describing {
		known.Add(o.Unstructured)
	}
	known.Seal()
	lookups := policy.Cluster(known)
	if live != nil {
		lookups = overlaid{known, live}
	}
	w, err := c.authorizers(ctx, describing)
	if err != nil {
		return err
	}
	opts := check.Options{Engines: c.engines, Policies: policies, Extra: extra, Cluster: lookups, Kinds: c.catalog, Chain: w.chain(), Prepare: c.prepare, Objects: serve.KnownTypes()}
	judge := check.New(opts)
	if needs := judge.Loaded.Needs; len(needs) > 0 {
		// Policies look up objects of these kinds: those of the manifests are there, too.
		looked := func(kind schema.GroupKind) bool {
			return slices.ContainsFunc(needs, func(n schema.GroupVersionKind) bool { return n.GroupKind() == kind })
		}
		found, err := c.read(ctx, slices.Concat(c.from, c.paths), looked)
		if err != nil && !check.Unreadable(err) {
			return coded(exitInternal, err)
		}
		for _, o := range found {
			if prepared, err := c.prepare(o.Unstructured.DeepCopy()); err == nil {
				known.Add(prepared)
			}
		}
		known.Seal()
	}
	for _, p := range judge.Loaded.Problems {
		c.unread = true
		source := p.Source
		source.File, source.Line = "", 0
		c.report.Findings = append(c.report.Findings, report.Unreadable(p.Source.File, p.Source.Line, 1, source.String()+": "+p.Message, p.Hint))
	}
	if len(judge.Loaded.Policies) == 0 {
		c.report.Notes = append(c.report.Notes, "there is no policy: only the form of the manifests was checked. Name policies with --policies, --builtin, --pod-security or --live")
	}
	who, err := c.who()
	if err != nil {
		return err
	}
	c.judged.begin()
	summary, err := check.Run(ctx, check.RunOptions{
		Paths: c.paths, Manifest: c.manifests(), Judge: judge, Namespace: c.namespace, User: who, Authorize: c.rbac, Mutations: c.mutations || c.fix != "", Fix: true,
		Before: c.form, Progress: func(objects int) { c.judged.done.Store(int64(objects)) },
		Skip: func(kind schema.GroupKind) bool { return isPolicy(c.engines, kind) }, Skipped: c.formOfPolicy,
	}, func(f check.Finding) {
		c.report.Findings = append(c.report.Findings, report.Of(f))
		c.fixes.add(len(c.report.Findings)-1, f)
	})
	c.report.Checked = summary.Checked
	list := v1alpha1.FieldErrorList{}
	switch {
	case errors.As(err, &list):
		c.unread = true
		for _, e := range list {
			c.report.Findings = append(c.report.Findings, report.Unreadable(e.File, e.Line, e.Col, e.Message, e.Hint))
		}
	case err != nil:
		return coded(exitInternal, err)
	}
	c.report.Notes = append(c.report.Notes, summary.Notes...)
	if names := judge.Assumed(); len(names) > 0 {
		c.report.Notes = append(c.report.Notes, "taken to have no labels, for nobody gave them: "+gate.Plain(few("Namespace", "Namespaces", names)))
	}
	if summary.Aside > 0 {
		c.report.Notes = append(c.report.Notes, fmt.Sprintf("%d documents of the folders are no Kubernetes objects", summary.Aside))
	}
	if summary.Checked+summary.Skipped == 0 && !c.unread {
		return coded(exitUnreadable, &hintError{problem: "there is no object in " + strings.Join(c.paths, " "), hint: "name files, folders, charts or kustomizations, or - for stdin"})
	}
	c.planFixes(ctx)
	return nil
}

// liveDefinitions adds the CustomResourceDefinitions of the cluster to those of the
// files, which hold where a file has one of the same name: it is about to be applied.
func (c *checking) liveDefinitions(ctx context.Context, live *liveCluster, describing []policy.Object) error {
	all, err := live.definitions(ctx)
	switch {
	case apierrors.IsForbidden(err):
		c.report.Notes = append(c.report.Notes, "the CustomResourceDefinitions of the cluster may not be listed: of custom resources only those are checked for their fields whose CustomResourceDefinition is given")
		return nil
	case apierrors.IsNotFound(err):
		return nil // a server without custom resources
	case err != nil:
		return fmt.Errorf("read the CustomResourceDefinitions of the cluster: %w", err)
	}
	given := map[string]bool{}
	for _, o := range describing {
		if o.GroupVersionKind().GroupKind() == definitionKind {
			given[o.GetName()] = true
		}
	}
	for i := range all {
		if name := all[i].GetName(); !given[name] {
			if err := c.crds.Add(&all[i]); err != nil {
				c.report.Notes = append(c.report.Notes, gate.Plain(fmt.Sprintf("the fields of %s are not checked, for its CustomResourceDefinition in the cluster cannot be read: %v", name, err)))
			}
		}
	}
	return nil
}

// few names some of several things.
func few(one, many string, names []string) string {
	const most = 5
	text := one
	if len(names) > 1 {
		text = many
	}
	text += " " + strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// prepare makes of an object what the API server would.
func (c *checking) prepare(o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	c.crds.Default(o)
	return serve.Defaulted(o)
}

// form is what is wrong with an object before any policy is asked.
func (c *checking) form(o *manifest.Object) (found []check.Finding) {
	hidden := false
	say := func(path, message string) {
		f := check.Finding{Rule: "schema", Action: policy.Deny, Message: message, Object: o, Path: path, Position: o.Position(path), Hidden: hidden}
		if path != "" {
			f.Position = o.NamePosition(path)
		}
		found = append(found, f)
	}
	errs, known := serve.Strict(&o.Unstructured)
	for _, err := range errs {
		path := ""
		if _, rest, ok := strings.Cut(err.Error(), `unknown field "`); ok {
			path = strings.TrimSuffix(rest, `"`)
			say(path, fmt.Sprintf("%s of %s has no field %s", o.GetKind(), o.GetAPIVersion(), path))
			continue
		}
		say("", err.Error())
	}
	if !known {
		faults, _ := c.crds.Check(&o.Unstructured)
		for _, f := range faults {
			hidden = !f.Unknown // a value that is wrong may be a secret
			say(f.Path, f.Message)
		}
		hidden = false
	}
	if path, message := c.unserved(o.GroupVersionKind(), known); message != "" {
		say(path, message)
	}
	return found
}

// formOfPolicy is what is wrong with a policy that its engine does not look at: a version
// in which no cluster has it. Of kinds whose definitions are not here nothing is said, nor
// of those of Gatehouse, which its engine refuses.
func (c *checking) formOfPolicy(o *manifest.Object) []check.Finding {
	kind := o.GroupVersionKind()
	if _, _, known := c.catalog.ResourceOf(kind.GroupKind()); !known || kind.Group == v1alpha1.GroupName {
		return nil
	}
	path, message := c.unserved(kind, true)
	if message == "" {
		return nil
	}
	return []check.Finding{{Rule: "schema", Action: policy.Deny, Message: message, Object: o, Path: path, Position: o.NamePosition(path)}}
}

// unserved says that nobody serves a kind in its version, and which field that is of;
// message is empty where somebody does. compiled says that the linked release has a Go
// type for it, as it has for many that no server serves any more.
func (c *checking) unserved(kind schema.GroupVersionKind, compiled bool) (path, message string) {
	what := fmt.Sprintf("%s of %s", kind.Kind, kind.GroupVersion())
	r, there := c.catalog.ofKind(kind.Group, kind.Kind)
	by := "Kubernetes " + kubernetesMinor
	switch {
	case there && slices.Contains(r.versions, kind.Version):
		return "", ""
	case c.crds.Known(kind.GroupKind()):
		by = "its CustomResourceDefinition"
	case c.live:
		by = "the cluster"
	case kind.Group == v1alpha1.GroupName:
		by = "Gatehouse"
	}
	if !there && kind.Group == "extensions" {
		// All that this group had has moved to others, under the same name.
		r, there = c.catalog.find(kind.Kind)
	}
	switch {
	case there && len(r.versions) > 0:
		served := schema.GroupVersion{Group: r.group, Version: r.version}
		if !slices.Contains(r.versions, r.version) {
			served.Version = r.versions[0]
		}
		return "apiVersion", fmt.Sprintf("%s is not served in this version by %s: write apiVersion: %s", what, by, served)
	case there || compiled:
		return "apiVersion", fmt.Sprintf("%s is not served by %s, in this version or another", what, by)
	}
	return "kind", fmt.Sprintf("the kind %s of %s is not known: give its CustomResourceDefinition among the manifests or in --from", kind.Kind, kind.GroupVersion())
}

// authorizers are what --rbac and policies ask about permissions.
func (c *checking) authorizers(ctx context.Context, describing []policy.Object) (*world, error) {
	w := &world{catalog: c.catalog, notes: io.Discard}
	if c.live && c.rbac {
		if err := w.readCluster(ctx, &c.clusterFlags); err != nil {
			return nil, err
		}
		return w, w.compile(false)
	}
	view, err := viewOfObjects(ctx, check.Plain(describing))
	if err != nil {
		return nil, coded(exitUnreadable, err)
	}
	w.view = view
	return w, w.compile(true)
}

func (c *checking) who() (user.Info, error) {
	if c.as == "" {
		if c.rbac {
			return nil, coded(exitUsage, &hintError{problem: "--rbac needs --as", hint: "say whose requests they are: --as sa:ci/deployer"})
		}
		return nil, nil
	}
	s, err := readSubject(c.as)
	if err != nil {
		return nil, err
	}
	return s.info(c.groups), nil
}

// tell writes the report, and ends with the code that it comes to.
func (c *checking) tell() error {
	unwritten := c.writeFixes()
	c.report.Sort()
	if c.writeBaseline != "" {
		if c.unread {
			// What was not checked must not be taken for known.
			if err := report.Write(c.cmd.OutOrStdout(), c.format, &c.report, report.Options{Color: color(c.cmd)}); err != nil {
				return coded(exitInternal, err)
			}
			return coded(exitUnreadable, errors.New("some input cannot be read, or does not compile: no baseline is written"))
		}
		n, err := report.WriteBaseline(c.writeBaseline, &c.report)
		if err != nil {
			return coded(exitInternal, fmt.Errorf("write the baseline: %w", err))
		}
		fmt.Fprintf(c.cmd.ErrOrStderr(), "note: %d findings are in %s\n", n, printable(c.writeBaseline))
		return nil
	}
	if c.baseline != "" {
		b, err := report.ReadBaseline(c.baseline)
		if err != nil {
			return coded(exitUnreadable, err)
		}
		if stale := b.Apply(&c.report); stale > 0 {
			c.report.Notes = append(c.report.Notes, fmt.Sprintf("%d findings of the baseline are not there any more: write it again with --write-baseline", stale))
		}
	}
	if c.fix == fixDiff {
		c.tellDiff()
	} else if err := report.Write(c.cmd.OutOrStdout(), c.format, &c.report, report.Options{Color: color(c.cmd)}); err != nil {
		return coded(exitInternal, err)
	}
	if f, ok := c.cmd.OutOrStdout().(*os.File); ok {
		_ = f.Sync() // of a pipe or terminal there is nothing to sync
	}
	if c.unread {
		return coded(exitUnreadable, errors.New("some input cannot be read, or does not compile"))
	}
	if unwritten != nil {
		return coded(exitInternal, unwritten)
	}
	for _, action := range []policy.Action{policy.Deny, policy.Warn, policy.Audit} {
		if c.report.Count(action) > 0 && c.failOn != "never" {
			return errDenied
		}
		if c.failOn == string(action) {
			break
		}
	}
	return nil
}
