package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/review"
)

func newWhoCan() *cobra.Command {
	var v viewFlags
	var request requestFlags
	var limit int32
	var from string
	cmd := &cobra.Command{
		Use:   "who-can VERB RESOURCE [NAME]",
		Short: "List who may do something, and through which binding and role",
		Long: `List every user, group and service account that RBAC lets do something, with the
binding and the rule that let it. A group stands for everybody in it; a rule is
marked * where it is for more than what was asked. A line whose subject a Guard
refuses says so.
` + resourceHelp + `
With -A the question is who may in any namespace at all.
` + sourceHelp + exitCodesHelp,
		Example: `  gatehouse who-can delete pods -n shop
  gatehouse who-can get secrets db-password -n shop
  gatehouse who-can create pods/exec -A -o wide
  gatehouse who-can get /metrics --from cluster/`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) > 3 {
				return &hintError{problem: "want VERB RESOURCE [NAME]", hint: "gatehouse who-can delete pods -n shop"}
			}
			if limit < 0 {
				return errors.New("--limit is negative")
			}
			return checkOutput(v.output, "table", "wide", "json", "yaml")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := v.open(cmd)
			if err != nil {
				return err
			}
			a, err := w.action(args, request)
			if err != nil {
				return err
			}
			r := &v1alpha1.SubjectsReview{TypeMeta: typeMeta("SubjectsReview"), Spec: v1alpha1.SubjectsReviewSpec{
				Verb: a.verb, Group: a.group, Resource: a.resource, Subresource: a.subresource, Name: a.name,
				Namespace: a.namespace, NonResourceURL: a.path, Limit: limit, Continue: from,
			}}
			if err := w.whoCan(r, request.allNamespaces); err != nil {
				return err
			}
			missing := w.dangling()
			r.Status.Errors = append(r.Status.Errors, missing...)
			r.Status.Incomplete = len(r.Status.Errors) > 0
			if v.output == "json" || v.output == "yaml" {
				err = printObject(cmd.OutOrStdout(), v.output, r)
			} else {
				err = w.printSubjects(cmd, r, &a, v.output == "wide")
			}
			if err != nil {
				return err
			}
			if r.Status.Continue != "" {
				w.note("there are more: --continue %s", r.Status.Continue)
			}
			return incomplete(missing)
		},
	}
	v.add(cmd)
	f := cmd.Flags()
	f.StringVar(&request.subresource, "subresource", "", "subresource such as log")
	f.BoolVarP(&request.allNamespaces, "all-namespaces", "A", false, "who may in any namespace")
	f.Int32Var(&limit, "limit", 0, "most lines of the answer (default: all)")
	f.StringVar(&from, "continue", "", "go on where an answer with --limit ended")
	cmd.MarkFlagsMutuallyExclusive("namespace", "all-namespaces")
	return cmd
}

// whoCan fills in who can: all of them where the review has no limit.
func (w *world) whoCan(r *v1alpha1.SubjectsReview, anyNamespace bool) error {
	spec := r.Spec
	all := spec.Limit == 0
	for {
		status, err := review.Subjects(w.index, &spec, review.Options{AnyNamespace: anyNamespace})
		if err != nil {
			return coded(exitUsage, err)
		}
		for i := range status.Subjects {
			w.locateAPI(&status.Subjects[i].Role)
		}
		status.Subjects = append(r.Status.Subjects, status.Subjects...)
		r.Status = status
		if !all || status.Continue == "" {
			return nil
		}
		spec.Continue = status.Continue
	}
}

func (w *world) printSubjects(cmd *cobra.Command, r *v1alpha1.SubjectsReview, a *action, wide bool) error {
	if len(r.Status.Subjects) == 0 {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "nobody, as far as RBAC goes")
		return coded(exitInternal, err)
	}
	t := table{head: []string{"SUBJECT", "IN", "BINDING", "ROLE", "NOTE"}}
	for i := range r.Status.Subjects {
		s := &r.Status.Subjects[i]
		in := s.Binding.Namespace
		if in == "" {
			in = everywhere
		}
		binding, role := s.Binding.Name, s.Role.Name
		if wide {
			binding, role = whole(&s.Binding), whole(&s.Role)
		}
		t.add(showSubject(s.Kind, s.Namespace, s.Name), in, binding, role, w.subjectNote(cmd, s, a))
	}
	width := tableWidth
	if wide {
		width = 0
	}
	return t.print(cmd.OutOrStdout(), width)
}

// subjectNote is what else there is to say of somebody who can.
func (w *world) subjectNote(cmd *cobra.Command, s *v1alpha1.SubjectAccess, a *action) string {
	var notes []string
	if s.Wildcard {
		notes = append(notes, "*")
	}
	if s.ExpiresAt != nil {
		notes = append(notes, "until "+showTime(s.ExpiresAt))
	}
	who := subject{kind: s.Kind, namespace: s.Namespace, name: s.Name}
	request := authorizer.AttributesRecord{User: who.info(nil), Verb: a.verb, Path: a.path}
	if a.path == "" {
		namespace := a.namespace
		if s.Binding.Namespace != "" {
			namespace = s.Binding.Namespace
		}
		request = authorizer.AttributesRecord{User: who.info(nil), Verb: a.verb, ResourceRequest: true, APIGroup: a.group,
			Resource: a.resource, Subresource: a.subresource, Name: a.name, Namespace: namespace}
	}
	if decision, reason, _ := w.guards.Authorize(cmd.Context(), request); decision == authorizer.DecisionDeny {
		notes = append(notes, "refused by "+reason)
	}
	return strings.Join(notes, "; ")
}

// showSubject is a subject as the command line takes it too.
func showSubject(kind, namespace, name string) string {
	switch kind {
	case rbacv1.GroupKind:
		return "group:" + name
	case rbacv1.ServiceAccountKind:
		return "sa:" + namespace + "/" + name
	}
	if s, err := readSubject(name); err != nil || s.kind != rbacv1.UserKind || s.name != name {
		return "user:" + name
	}
	return name
}

// whole is everything about a source.
func whole(s *v1alpha1.TraceSource) string {
	text := s.Kind + " " + s.Name
	if s.Namespace != "" {
		text = s.Kind + " " + s.Namespace + "/" + s.Name
	}
	if s.Part != "" {
		text += " " + s.Part
	}
	if s.File != "" {
		text += fmt.Sprintf(" (%s:%d)", s.File, s.Line)
	}
	return text
}

func showTime(t *metav1.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
