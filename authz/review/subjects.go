package review

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/rbac"
)

// Options say what a question is asked about besides its specification.
type Options struct {
	// AnyNamespace asks who can in any one namespace, where the specification
	// names none. Default: who can in all of them.
	AnyNamespace bool
	// NotAsked are the authorizers that answers leave out, since they list nobody:
	// each becomes an error that says so, and the answer incomplete.
	NotAsked []string
}

// Subjects says who can do something, through which binding and role.
func Subjects(index *rbac.Index, spec *v1alpha1.SubjectsReviewSpec, opts Options) (v1alpha1.SubjectsReviewStatus, error) {
	var status v1alpha1.SubjectsReviewStatus
	a := authorizer.AttributesRecord{Verb: spec.Verb, Path: spec.NonResourceURL}
	if spec.NonResourceURL == "" {
		a = authorizer.AttributesRecord{
			Verb: spec.Verb, ResourceRequest: true, APIGroup: spec.Group, Resource: spec.Resource,
			Subresource: spec.Subresource, Name: spec.Name, Namespace: spec.Namespace,
		}
	}
	found, err := index.WhoCan(a, rbac.WhoCanOptions{Limit: int(spec.Limit), Continue: spec.Continue, AnyNamespace: opts.AnyNamespace})
	if err != nil {
		return status, err
	}
	for _, h := range found.Holders {
		status.Subjects = append(status.Subjects, v1alpha1.SubjectAccess{
			Kind: h.Subject.Kind, Namespace: h.Subject.Namespace, Name: h.Subject.Name,
			Binding: Source(h.Binding), Role: Source(h.Role), Rule: h.Rule,
			Wildcard: h.Wildcard, ViaGroup: h.Subject.Kind == rbacv1.GroupKind, ExpiresAt: h.ExpiresAt,
		})
	}
	status.Continue = found.Continue
	status.Errors = opts.notAsked()
	status.Incomplete = len(status.Errors) > 0
	return status, nil
}

func (o *Options) notAsked() []string {
	var all []string
	for _, name := range o.NotAsked {
		all = append(all, "authorizer "+name+" cannot list whom it allows; explain asks it about one request")
	}
	return all
}
