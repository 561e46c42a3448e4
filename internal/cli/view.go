package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/guard"
	"github.com/gatehouse-io/gatehouse/authz/rbac"
	"github.com/gatehouse-io/gatehouse/authz/review"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/internal/version"
)

const sourceHelp = `
The cluster is that of the kubeconfig, of which RBAC objects, Guards and
Namespaces are read and nothing is changed. With --from it is files instead:
folders, files or - for stdin, in YAML or JSON, lists and dumps of kubectl get
included.
`

// requestTimeout bounds one request to a cluster.
const requestTimeout = 30 * time.Second

// clusterFlags say which cluster is meant.
type clusterFlags struct {
	kubeconfig, context string
	namespace           string
}

func (c *clusterFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: $KUBECONFIG or ~/.kube/config)")
	f.StringVar(&c.context, "context", "", "context of that kubeconfig")
	f.StringVarP(&c.namespace, "namespace", "n", "", "namespace of the request (default: as the kubeconfig says, or default)")
}

// connect reads the kubeconfig. namespace is the one that is meant where --namespace
// does not say it.
func (c *clusterFlags) connect() (config *rest.Config, namespace string, err error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{
		CurrentContext: c.context, Context: clientcmdapi.Context{Namespace: c.namespace},
	})
	config, err = loader.ClientConfig()
	if err == nil {
		namespace, _, err = loader.Namespace()
	}
	if clientcmd.IsEmptyConfig(err) {
		return nil, "", coded(exitUnreadable, &hintError{problem: "there is no kubeconfig", hint: "name one with --kubeconfig FILE, or in KUBECONFIG"})
	}
	if err != nil {
		return nil, "", coded(exitUnreadable, &hintError{problem: "read kubeconfig: " + err.Error(), hint: "name one with --kubeconfig FILE"})
	}
	config.UserAgent = "gatehouse/" + version.Release
	config.Timeout = requestTimeout
	return config, namespace, nil
}

// viewFlags say what a question is asked about, and how it is answered.
type viewFlags struct {
	clusterFlags
	from   []string
	output string
}

func (v *viewFlags) add(cmd *cobra.Command) {
	v.clusterFlags.add(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&v.from, "from", nil, "files to read in place of a cluster: a folder, a file or -; may be repeated")
	f.StringVarP(&v.output, "output", "o", "table", "table, wide, json or yaml")
	cmd.MarkFlagsMutuallyExclusive("from", "kubeconfig")
	cmd.MarkFlagsMutuallyExclusive("from", "context")
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "wide", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
}

// world is what a question is asked about.
type world struct {
	view    *cluster.View
	catalog *catalog
	config  *rest.Config // nil for files
	index   *rbac.Index
	guards  *guard.Authorizer
	// namespace is the one that is meant where a request names none.
	namespace string
	notes     io.Writer
	// from and stdin are what was read, where it is files.
	from  []string
	stdin []byte
}

func (v *viewFlags) offline() bool { return len(v.from) > 0 }

// open reads the cluster or the files.
func (v *viewFlags) open(cmd *cobra.Command) (*world, error) {
	w := &world{namespace: v.namespace, notes: cmd.ErrOrStderr()}
	var err error
	done := progress(cmd.ErrOrStderr(), "reading")
	if v.offline() {
		err = w.readFiles(cmd.Context(), v.from, cmd.InOrStdin())
	} else {
		err = w.readCluster(cmd.Context(), &v.clusterFlags)
	}
	done()
	if err != nil {
		return nil, err
	}
	if v := w.view; len(v.RoleBindings)+len(v.ClusterRoleBindings) == 0 {
		w.note("there is no RoleBinding and no ClusterRoleBinding in what was read")
	}
	for _, note := range w.view.Notes {
		w.note("%s", note)
	}
	return w, w.compile(v.offline())
}

func (w *world) readFiles(ctx context.Context, from []string, stdin io.Reader) (err error) {
	w.catalog = builtInCatalog()
	if w.namespace == "" {
		w.namespace = metav1.NamespaceDefault
	}
	w.from = from
	if slices.Contains(from, "-") {
		// Policies are read from it once more.
		if w.stdin, err = readStdin(stdin); err != nil {
			return err
		}
	}
	w.view, err = cluster.FromFiles(ctx, from, bytes.NewReader(w.stdin), cluster.FileOptions{})
	return coded(exitUnreadable, err)
}

func (w *world) readCluster(ctx context.Context, flags *clusterFlags) (err error) {
	if w.config, w.namespace, err = flags.connect(); err != nil {
		return err
	}
	var silent []string
	if w.catalog, silent, err = liveCatalog(w.config); err != nil {
		return coded(exitInternal, fmt.Errorf("discover resources: %w", err))
	}
	if len(silent) > 0 {
		w.note("the servers of %s do not answer, and their resources are not known", strings.Join(silent, ", "))
	}
	kinds := []cluster.Kind{cluster.Roles, cluster.RoleBindings, cluster.ClusterRoles, cluster.ClusterRoleBindings}
	if _, ok := w.catalog.find("guards." + v1alpha1.GroupName); ok {
		kinds = append(kinds, cluster.Guards, cluster.Namespaces) // which Guards may select by labels
	}
	w.view, err = cluster.FromLive(ctx, w.config, cluster.LiveOptions{Kinds: kinds})
	if _, ok := errors.AsType[*cluster.ForbiddenError](err); ok {
		return coded(exitUnreadable, err)
	}
	return coded(exitInternal, err)
}

// compile makes the engines of what was read.
func (w *world) compile(files bool) error {
	w.index = rbac.New(rbac.Options{})
	var changes []rbac.Change
	change := func(object any, source *gate.Source) {
		if !files {
			source = nil
		}
		changes = append(changes, rbac.Change{New: object, Source: source})
	}
	v := w.view
	for i := range v.ClusterRoles {
		change(v.ClusterRoles[i].Object, &v.ClusterRoles[i].Source)
	}
	for i := range v.Roles {
		change(v.Roles[i].Object, &v.Roles[i].Source)
	}
	for i := range v.ClusterRoleBindings {
		change(v.ClusterRoleBindings[i].Object, &v.ClusterRoleBindings[i].Source)
	}
	for i := range v.RoleBindings {
		change(v.RoleBindings[i].Object, &v.RoleBindings[i].Source)
	}
	if err := w.index.Apply(changes...); err != nil {
		return coded(exitInternal, err)
	}
	w.guards = guard.New(guard.Options{Namespaces: v, Scopes: w.catalog})
	var guards []v1alpha1.Guard
	var wrong v1alpha1.FieldErrorList
	for _, h := range v.Guards {
		guards = append(guards, *h.Object)
		if err := w.guards.Check(h.Object); err != nil && files {
			wrong = append(wrong, &v1alpha1.FieldError{File: h.Source.File, Line: h.Source.Line, Col: 1, Message: err.Error()})
		} else if err != nil {
			w.note("%v; it holds as far as it can be read", err)
		}
	}
	if len(wrong) > 0 {
		return coded(exitUnreadable, wrong)
	}
	w.guards.Replace(guards) // its errors are those of Check
	return nil
}

// chain are the authorizers that are asked, in their order.
func (w *world) chain() review.Chain {
	return review.Chain{{Name: "Guard", Authorizer: w.guards}, {Name: "RBAC", Authorizer: w.index}}
}

// note says something that is no part of the answer.
func (w *world) note(format string, args ...any) {
	fmt.Fprintln(w.notes, "note: "+gate.Plain(fmt.Sprintf(format, args...)))
}

// dangling are the bindings of files whose roles are not in the files. A cluster
// may have them: its built-in roles stand in no folder.
func (w *world) dangling() (missing []string) {
	if w.config != nil {
		return nil
	}
	say := func(binding gate.Source, ref rbacv1.RoleRef, namespace string) {
		if ref.Kind == string(cluster.ClusterRoles) {
			namespace = ""
		}
		if _, ok := w.view.Source(cluster.Kind(ref.Kind), namespace, ref.Name); !ok {
			missing = append(missing, fmt.Sprintf("%s refers to %s, which is not in the files", binding, gate.Source{Kind: ref.Kind, Namespace: namespace, Name: ref.Name}))
		}
	}
	for _, h := range w.view.ClusterRoleBindings {
		say(h.Source, h.Object.RoleRef, "")
	}
	for _, h := range w.view.RoleBindings {
		say(h.Source, h.Object.RoleRef, h.Object.Namespace)
	}
	slices.Sort(missing)
	return missing
}

// incompleteError is an answer that was given and may lack something.
type incompleteError struct{ missing []string }

func (e *incompleteError) Error() string {
	const most = 3
	text := "the answer may be incomplete: " + strings.Join(e.missing[:min(len(e.missing), most)], "; ")
	if more := len(e.missing) - most; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

func (e *incompleteError) Hint() string {
	return "add the roles of the cluster: kubectl get clusterroles,roles -A -o yaml > roles.yaml, and --from roles.yaml"
}

func incomplete(missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	return coded(exitUnreadable, &incompleteError{missing})
}
