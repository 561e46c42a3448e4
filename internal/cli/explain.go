package cli

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/review"
	"github.com/gatehouse-io/gatehouse/check/manifest"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
)

// errDenied ends a command whose answer is no. The answer has been printed.
var errDenied = coded(exitDenied, errors.New("denied"))

func newExplain() *cobra.Command {
	var v viewFlags
	var request requestFlags
	var as, file string
	var groups []string
	cmd := &cobra.Command{
		Use:   "explain VERB RESOURCE [NAME]",
		Short: "Say whether a request is allowed, and why",
		Long: `Put one request before every gate, and say what each makes of it: what allows
it, what refuses it, and where nothing allows it what came nearest.

Gates are Guards, RBAC and policies. What other authorizers of a cluster would say,
such as Node or a webhook, and its other admission plugins, is not asked: a
RequestReview under gatehouse serve asks them all. Policies judge objects: give one
with -f, or name one that is there to be deleted.
` + resourceHelp + `
With -f the object in a file is what is requested: gatehouse explain create -f FILE.
` + sourceHelp + exitCodesHelp,
		Example: `  gatehouse explain delete pods -n shop
  gatehouse explain get pods/log --as jane --as-group developers -n shop
  gatehouse explain list secrets --as sa:ci/builder -A
  gatehouse explain get /metrics --as jane
  gatehouse explain create -f pod.yaml --as jane --from cluster/
  kubectl get clusterroles,clusterrolebindings,roles,rolebindings -A -o yaml |
    gatehouse explain get secrets db -n shop --as jane --from -`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case file == "" && (len(args) < 2 || len(args) > 3):
				return &hintError{problem: "want VERB RESOURCE [NAME]", hint: "gatehouse explain delete pods -n shop"}
			case file != "" && len(args) != 1:
				return &hintError{problem: "want VERB alone beside -f", hint: "gatehouse explain create -f pod.yaml"}
			case file == "-" && slices.Contains(v.from, "-"):
				return errors.New("stdin can be read once: -f and --from are both -")
			}
			return checkOutput(v.output, "table", "wide", "json", "yaml")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := v.open(cmd)
			if err != nil {
				return err
			}
			actions, err := w.actions(cmd, args, file, request)
			if err != nil {
				return err
			}
			judge, err := w.judge(cmd.Context())
			if err != nil {
				return err
			}
			who, extra, err := w.requester(cmd.Context(), as, groups)
			if err != nil {
				return err
			}
			for _, group := range []struct{ name, says string }{
				{user.SystemPrivilegedGroup, "an API server that is not gatehouse serve lets the group %s do everything, and asks nobody"},
				{user.NodesGroup, "the Node authorizer, which is not asked, may allow the group %s more"},
			} {
				if slices.Contains(who.Groups, group.name) {
					w.note(group.says, group.name)
				}
			}
			var reviews []v1alpha1.RequestReview
			var traces []*gate.Trace
			var missing []string
			denied := false
			for i := range actions {
				r := v1alpha1.RequestReview{TypeMeta: typeMeta("RequestReview")}
				r.Spec = v1alpha1.RequestReviewSpec{User: who.Name, UID: who.UID, Groups: who.Groups, Extra: extra}
				r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes = actions[i].attributes()
				if o := actions[i].object; o != nil {
					data, err := o.MarshalJSON()
					if err != nil {
						return coded(exitInternal, err)
					}
					r.Spec.Object = &runtime.RawExtension{Raw: data}
				}
				trace, err := w.explain(cmd.Context(), judge, &r.Spec)
				if err != nil {
					return coded(exitUsage, err)
				}
				w.locate(trace)
				r.Status = review.Status(trace)
				if !r.Status.Allowed {
					denied = true
					missing = append(missing, w.missingRoles(who, actions[i].namespace)...)
				}
				reviews, traces = append(reviews, r), append(traces, trace)
			}
			if err := printReviews(cmd, v.output, reviews, traces); err != nil {
				return err
			}
			if err := incomplete(missing); err != nil || !denied {
				return err
			}
			return errDenied
		},
	}
	v.add(cmd)
	f := cmd.Flags()
	f.StringVar(&as, "as", "", "whose request it is: a user, or sa:NAMESPACE/NAME (default: who the kubeconfig is)")
	f.StringArrayVar(&groups, "as-group", nil, "a group the user is in; may be repeated")
	f.StringVarP(&file, "filename", "f", "", "file with the object that is requested, or -")
	f.StringVar(&request.subresource, "subresource", "", "subresource such as log")
	f.BoolVarP(&request.allNamespaces, "all-namespaces", "A", false, "request it in all namespaces at once")
	cmd.MarkFlagsMutuallyExclusive("namespace", "all-namespaces")
	return cmd
}

// actions are the one on the command line, or one for each object of the file.
func (w *world) actions(cmd *cobra.Command, args []string, file string, flags requestFlags) ([]action, error) {
	if file == "" {
		a, err := w.action(args, flags)
		return []action{a}, err
	}
	var all []action
	for o, err := range manifest.Objects(cmd.Context(), []string{file}, manifest.Options{Stdin: cmd.InOrStdin()}) {
		if err != nil {
			return nil, coded(exitUnreadable, err)
		}
		a := w.actionOn(args[0], &cluster.Identity{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(), Source: o.Source}, flags)
		if verb := a.verb; verb == "create" || verb == "update" || verb == "patch" {
			a.object = &o.Unstructured
		}
		all = append(all, a)
	}
	return all, nil
}

// missingRoles are the roles that files bind somebody to and do not hold. Whoever
// is refused without them may be allowed in the cluster.
func (w *world) missingRoles(who user.Info, namespace string) (missing []string) {
	if w.config != nil {
		return nil
	}
	_, err := w.index.PolicyRulesFor(who, namespace)
	if all, ok := err.(utilerrors.Aggregate); ok {
		for _, err := range all.Errors() {
			missing = append(missing, err.Error())
		}
	}
	return missing
}

// locate adds to the sources of a trace the places in files that the gates do not
// know: those of Guards, and of single rules.
func (w *world) locate(t *gate.Trace) {
	each := func(sources []gate.Source) {
		for i := range sources {
			s := &sources[i]
			s.File, s.Line = w.placeOf(s.Kind, s.Namespace, s.Name, s.Part, s.File, s.Line)
		}
	}
	for i := range t.Steps {
		each(t.Steps[i].Sources)
		for j := range t.Steps[i].Misses {
			each(t.Steps[i].Misses[j].Sources)
		}
	}
}

// placeOf is where an object, or a part of it, was read from; file and line where
// nothing better is known.
func (w *world) placeOf(kind, namespace, name, part, file string, line int) (string, int) {
	found, ok := w.view.Source(cluster.Kind(kind), namespace, name)
	var rule int
	if n, _ := fmt.Sscanf(part, "rules[%d]", &rule); n == 1 {
		found, ok = w.view.Rule(cluster.Kind(kind), namespace, name, rule)
	}
	if !ok {
		return file, line
	}
	return found.File, found.Line
}

// locateAPI is locate for a source of an API kind.
func (w *world) locateAPI(s *v1alpha1.TraceSource) {
	var line int
	s.File, line = w.placeOf(s.Kind, s.Namespace, s.Name, s.Part, s.File, int(s.Line))
	s.Line = int32(line)
}

func printReviews(cmd *cobra.Command, output string, reviews []v1alpha1.RequestReview, traces []*gate.Trace) error {
	if output != "json" && output != "yaml" {
		for i, trace := range traces {
			if i > 0 {
				fmt.Fprintln(cmd.OutOrStdout())
			}
			if err := printTrace(cmd, trace, output == "wide"); err != nil {
				return err
			}
		}
		return nil
	}
	if len(reviews) == 1 {
		return printObject(cmd.OutOrStdout(), output, &reviews[0])
	}
	return printObject(cmd.OutOrStdout(), output, &struct {
		metav1.TypeMeta `json:",inline"`
		Items           []v1alpha1.RequestReview `json:"items"`
	}{metav1.TypeMeta{APIVersion: "v1", Kind: "List"}, reviews})
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: kind}
}
