package cli

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	rbacv1client "k8s.io/client-go/kubernetes/typed/rbac/v1"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
)

// longestGrant keeps a slip of the finger from making a grant for good.
const longestGrant = 366 * 24 * time.Hour

// grant is what a command line asks for.
type grant struct {
	subject   subject
	role      rbacv1.RoleRef
	namespace string // empty for the whole cluster
	end       time.Time
	reason    string
	by        string // who grants; empty where that is not known
}

func newGrant() *cobra.Command {
	var target clusterFlags
	var wholeCluster bool
	var length, reason, dryRun, output string
	cmd := &cobra.Command{
		Use:   "grant USER ROLE --for TIME --reason TEXT",
		Short: "Give somebody a role for a limited time",
		Long: `Create a RoleBinding that ends: it carries the instant in the annotation
gatehouse.io/expires-at, and why and by whom beside it. With --cluster it is a
ClusterRoleBinding.

USER is a user's name, group:NAME or sa:NAMESPACE/NAME; ROLE is role/NAME or
clusterrole/NAME. The API server lets you grant what you hold yourself, or may
bind.

Under gatehouse serve, and behind gatehouse attach where it alone decides, the
binding counts until that instant and not after. Where the cluster's own RBAC
decides, it counts until it is deleted, which gatehouse does when it runs there.

--dry-run client prints the binding, and asks no cluster.
` + exitCodesHelp,
		Example: `  gatehouse grant jane clusterrole/edit -n shop --for 2h --reason "incident 4711"
  gatehouse grant group:oncall role/restarter -n shop --for 8h --reason "night shift"
  gatehouse grant sa:ci/builder clusterrole/view --cluster --for 30m --reason "inventory"
  gatehouse grant jane clusterrole/edit -n shop --for 2h --reason x --dry-run client -o yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) != 2:
				return &hintError{problem: "want USER ROLE", hint: `gatehouse grant jane clusterrole/edit -n shop --for 2h --reason "incident 4711"`}
			case wholeCluster && target.namespace != "":
				return errors.New("--cluster and --namespace are two things")
			case !wholeCluster && target.namespace == "":
				return &hintError{problem: "where is missing", hint: "-n NAMESPACE, or --cluster for everywhere"}
			case length == "":
				return &hintError{problem: "--for is missing", hint: "--for 2h"}
			case strings.TrimSpace(reason) == "":
				return &hintError{problem: "--reason is missing", hint: "say what it is for: whoever finds the binding will want to know"}
			}
			if err := checkOneOf("--dry-run", dryRun, "none", "client", "server"); err != nil {
				return err
			}
			return checkOutput(output, "text", "name", "json", "yaml")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			g := grant{namespace: target.namespace, reason: strings.TrimSpace(reason)}
			if err := g.read(args[0], args[1], length, time.Now()); err != nil {
				return err
			}
			if dryRun == "client" {
				return printGrant(cmd, &g, g.binding(), output, "would be granted")
			}
			config, _, err := target.connect()
			if err != nil {
				return err
			}
			created, err := g.create(cmd.Context(), config, dryRun == "server")
			if err != nil {
				return err
			}
			if dryRun == "server" {
				return printGrant(cmd, &g, created, output, "would be granted")
			}
			if err := printGrant(cmd, &g, created, output, "granted"); err != nil {
				return err
			}
			g.explain(cmd, config)
			return nil
		},
	}
	target.add(cmd)
	f := cmd.Flags()
	f.Lookup("namespace").Usage = "namespace in which the role is given"
	f.BoolVar(&wholeCluster, "cluster", false, "give the role in the whole cluster")
	f.StringVar(&length, "for", "", "how long: 30m, 2h, 7d")
	f.StringVar(&reason, "reason", "", "what it is for, in a sentence")
	f.StringVar(&dryRun, "dry-run", "none", "none, client or server")
	f.StringVarP(&output, "output", "o", "text", "text, name, json or yaml")
	return cmd
}

func checkOneOf(flag, value string, known ...string) error {
	for _, k := range known {
		if value == k {
			return nil
		}
	}
	return coded(exitUsage, &hintError{problem: fmt.Sprintf("%s %q is not known", flag, value), hint: "known: " + strings.Join(known, ", ")})
}

// read fills in the subject, the role and the end.
func (g *grant) read(who, role, length string, now time.Time) (err error) {
	if g.subject, err = readSubject(who); err != nil {
		return err
	}
	kind, name, _ := strings.Cut(role, "/")
	g.role = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Name: name}
	switch strings.ToLower(kind) {
	case "role", "roles":
		g.role.Kind = "Role"
	case "clusterrole", "clusterroles":
		g.role.Kind = "ClusterRole"
	}
	switch {
	case g.role.Kind == "" || name == "" || strings.Contains(name, "/"):
		return coded(exitUsage, &hintError{problem: fmt.Sprintf("%q is no role", role), hint: "write role/NAME or clusterrole/NAME"})
	case g.role.Kind == "Role" && g.namespace == "":
		return coded(exitUsage, &hintError{problem: "a Role is in a namespace, and cannot be given in the whole cluster", hint: "-n NAMESPACE, or clusterrole/NAME"})
	}
	d, err := readLength(length)
	if err != nil {
		return err
	}
	// To the second, and never less than what was asked for.
	g.end = now.Add(d + time.Second - 1).UTC().Truncate(time.Second)
	return nil
}

var daysPattern = regexp.MustCompile(`^([0-9]{1,4})d(.*)$`)

// readLength reads a duration that may begin with days.
func readLength(text string) (time.Duration, error) {
	var days time.Duration
	rest := text
	if m := daysPattern.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1])
		days, rest = time.Duration(n)*24*time.Hour, m[2]
	}
	var d time.Duration
	var err error
	if rest != "" || days == 0 {
		d, err = time.ParseDuration(rest)
	}
	d += days
	switch {
	case err != nil:
		return 0, coded(exitUsage, &hintError{problem: fmt.Sprintf("--for %q is no length of time", text), hint: "write 30m, 2h or 7d"})
	case d < time.Second:
		return 0, coded(exitUsage, fmt.Errorf("--for %s has ended before it begins", text))
	case d > longestGrant:
		return 0, coded(exitUsage, &hintError{problem: fmt.Sprintf("--for %s is longer than a year", text), hint: "for good, create a RoleBinding: kubectl create rolebinding --help"})
	}
	return d, nil
}

// binding is the object of the grant: a RoleBinding, or a ClusterRoleBinding.
func (g *grant) binding() metav1.Object {
	meta := metav1.ObjectMeta{
		Name: g.name(), Namespace: g.namespace,
		Annotations: map[string]string{
			v1alpha1.AnnotationExpiresAt: g.end.Format(time.RFC3339),
			v1alpha1.AnnotationReason:    g.reason,
		},
	}
	if g.by != "" {
		meta.Annotations[v1alpha1.AnnotationGrantedBy] = g.by
	}
	s := rbacv1.Subject{Kind: g.subject.kind, Name: g.subject.name, Namespace: g.subject.namespace}
	if s.Kind != rbacv1.ServiceAccountKind {
		s.APIGroup = rbacv1.GroupName
	}
	version := rbacv1.SchemeGroupVersion.String()
	if g.namespace == "" {
		return &rbacv1.ClusterRoleBinding{TypeMeta: metav1.TypeMeta{APIVersion: version, Kind: "ClusterRoleBinding"}, ObjectMeta: meta, RoleRef: g.role, Subjects: []rbacv1.Subject{s}}
	}
	return &rbacv1.RoleBinding{TypeMeta: metav1.TypeMeta{APIVersion: version, Kind: "RoleBinding"}, ObjectMeta: meta, RoleRef: g.role, Subjects: []rbacv1.Subject{s}}
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// name is one that tells people what the binding is, and that no other grant has.
func (g *grant) name() string {
	slug := func(text string) string {
		text = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(text), "-"), "-")
		return strings.Trim(text[:min(len(text), 60)], "-")
	}
	h := fnv.New32a()
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00%s\x00%s\x00%d", g.subject.kind, g.subject.namespace, g.subject.name, g.role.Kind, g.role.Name, g.end.Unix())
	parts := []string{"grant", slug(g.subject.name), slug(g.role.Name), fmt.Sprintf("%08x", h.Sum32())}
	return strings.ReplaceAll(strings.Join(parts, "-"), "--", "-")
}

// create makes the binding in a cluster, in which the role must be.
func (g *grant) create(ctx context.Context, config *rest.Config, dryRun bool) (metav1.Object, error) {
	client, err := rbacv1client.NewForConfig(config)
	if err != nil {
		return nil, coded(exitInternal, err)
	}
	if err := g.checkRole(ctx, client); err != nil {
		return nil, err
	}
	me, err := whoAmI(ctx, config)
	if err != nil {
		return nil, err
	}
	g.by = me.Username
	opts := metav1.CreateOptions{FieldManager: "gatehouse-grant"}
	if dryRun {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	var created metav1.Object
	switch b := g.binding().(type) {
	case *rbacv1.RoleBinding:
		created, err = client.RoleBindings(g.namespace).Create(ctx, b, opts)
		if err == nil {
			created.(*rbacv1.RoleBinding).TypeMeta = b.TypeMeta
		}
	case *rbacv1.ClusterRoleBinding:
		created, err = client.ClusterRoleBindings().Create(ctx, b, opts)
		if err == nil {
			created.(*rbacv1.ClusterRoleBinding).TypeMeta = b.TypeMeta
		}
	}
	switch {
	case apierrors.IsForbidden(err):
		return nil, coded(exitDenied, &hintError{problem: err.Error(), hint: "you can grant what you hold yourself in the same place, or what you may bind"})
	case apierrors.IsNotFound(err):
		return nil, coded(exitUsage, &hintError{problem: fmt.Sprintf("there is no namespace %q", g.namespace), hint: "kubectl get namespaces"})
	case err != nil:
		return nil, coded(exitInternal, fmt.Errorf("create binding: %w", err))
	}
	created.SetManagedFields(nil)
	return created, nil
}

// checkRole reports a role that is not there: a binding to it would grant nothing,
// and say nothing. Whoever may not read roles is not stopped by that.
func (g *grant) checkRole(ctx context.Context, client rbacv1client.RbacV1Interface) error {
	var err error
	where := ""
	if g.role.Kind == "Role" {
		_, err = client.Roles(g.namespace).Get(ctx, g.role.Name, metav1.GetOptions{})
		where = fmt.Sprintf(" in namespace %q", g.namespace)
	} else {
		_, err = client.ClusterRoles().Get(ctx, g.role.Name, metav1.GetOptions{})
	}
	switch {
	case apierrors.IsNotFound(err):
		hint := "kubectl get clusterroles"
		if g.role.Kind == "Role" {
			hint = "kubectl get roles -n " + g.namespace
		}
		return coded(exitUsage, &hintError{problem: fmt.Sprintf("there is no %s %q%s", g.role.Kind, g.role.Name, where), hint: hint})
	case apierrors.IsForbidden(err), err == nil:
		return nil
	}
	return coded(exitInternal, fmt.Errorf("look up the role: %w", err))
}

func printGrant(cmd *cobra.Command, g *grant, b metav1.Object, output, verb string) error {
	kind := "rolebinding"
	if g.namespace == "" {
		kind = "clusterrolebinding"
	}
	switch output {
	case "json", "yaml":
		return printObject(cmd.OutOrStdout(), output, b)
	case "name":
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s.%s/%s\n", kind, rbacv1.GroupName, b.GetName())
		return coded(exitInternal, err)
	}
	where := "in the whole cluster"
	if g.namespace != "" {
		where = "in namespace " + g.namespace
	}
	lines := []string{
		fmt.Sprintf("%s %s %s to %s %s", g.role.Kind, g.role.Name, verb, showSubject(g.subject.kind, g.subject.namespace, g.subject.name), where),
		"until " + g.end.Format(time.RFC3339),
		fmt.Sprintf("by %s %s", kind, b.GetName()),
		"to end it early: " + g.deletion(b.GetName()),
	}
	for i, line := range lines {
		if i > 0 {
			line = "  " + line
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), gate.Plain(line)); err != nil {
			return coded(exitInternal, err)
		}
	}
	return nil
}

func (g *grant) deletion(name string) string {
	if g.namespace == "" {
		return "kubectl delete clusterrolebinding " + name
	}
	return "kubectl delete rolebinding " + name + " -n " + g.namespace
}

// explain says who sees to it that the grant ends.
func (g *grant) explain(cmd *cobra.Command, config *rest.Config) {
	note := "this is not gatehouse serve. Where the cluster's own RBAC decides, the binding counts until it is deleted: " +
		"gatehouse attach does that when it runs there; else delete it yourself"
	if client, err := discovery.NewDiscoveryClientForConfig(config); err == nil {
		if v, err := client.ServerVersion(); err == nil && strings.Contains(v.GitVersion, "+gatehouse.") {
			return
		}
	}
	for i, line := range wrap("note: "+note, tableWidth) {
		if i > 0 {
			line = "  " + line
		}
		fmt.Fprintln(cmd.ErrOrStderr(), line)
	}
}
