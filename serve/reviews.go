package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	kubejson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/rbac"
	"github.com/gatehouse-io/gatehouse/authz/review"
)

// maxReview bounds the body of a review: a request with its attributes, groups and
// selectors, and two objects of the size the server takes.
const maxReview = 8 << 20

// reviewKinds are the kinds that are answered when they are created, and never
// stored. Their definitions are stored all the same, so that discovery and kubectl
// explain know them.
var reviewKinds = map[string]func(*authorizerChain, context.Context, user.Info, []byte) (any, error){
	"requestreviews":  (*authorizerChain).reviewRequest,
	"subjectsreviews": (*authorizerChain).reviewSubjects,
	"accesslists":     (*authorizerChain).reviewAccess,
}

// serveReviews answers reviews, behind authorization: who may create one is for
// the authorizers to say, as for a SubjectAccessReview. Nothing else can be done
// with the kinds.
func (c *authorizerChain) serveReviews(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		info, ok := request.RequestInfoFrom(ctx)
		if !ok || !info.IsResourceRequest || info.APIGroup != v1alpha1.GroupName || info.APIVersion != v1alpha1.SchemeGroupVersion.Version {
			next.ServeHTTP(w, r)
			return
		}
		answer, ok := reviewKinds[info.Resource]
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		resource := v1alpha1.SchemeGroupVersion.WithResource(info.Resource).GroupResource()
		u, known := request.UserFrom(ctx)
		var reviewed any
		var err error
		switch {
		case info.Subresource == "" && (info.Verb == "get" || info.Verb == "list" || info.Verb == "watch" || info.Verb == "delete" || info.Verb == "deletecollection"):
			next.ServeHTTP(w, r) // there are none; controllers ask all the same
			return
		case info.Verb != "create" || info.Subresource != "":
			err = apierrors.NewMethodNotSupported(resource, info.Verb)
		case !known:
			err = apierrors.NewInternalError(errors.New("the request has no user"))
		default:
			var body []byte
			if body, err = readReview(w, r); err == nil {
				reviewed, err = answer(c, ctx, u, body)
			}
		}
		code := http.StatusCreated
		if err != nil {
			status := apierrors.NewInternalError(err)
			if !errors.As(err, &status) {
				status = apierrors.NewBadRequest(err.Error())
			}
			status.ErrStatus.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
			reviewed, code = status.ErrStatus, int(status.ErrStatus.Code)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(reviewed) // a client that has gone
	})
}

func readReview(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("a review has at most %d bytes", maxReview))
	}
	if err != nil {
		return nil, apierrors.NewBadRequest("the body cannot be read")
	}
	return body, nil
}

// decodeReview reads JSON or YAML strictly: a field that is misspelt would make
// another request of it.
func decodeReview(body []byte, kind string, into any, meta *metav1.TypeMeta) error {
	data, err := yaml.YAMLToJSONStrict(body)
	if err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("the body is neither JSON nor YAML: %v", err))
	}
	strict, err := kubejson.UnmarshalStrict(data, into)
	if err == nil {
		err = errors.Join(strict...)
	}
	if err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("%s in the body: %v", kind, err))
	}
	if want := v1alpha1.SchemeGroupVersion.String(); meta.Kind != kind || meta.APIVersion != want {
		return apierrors.NewBadRequest(fmt.Sprintf("the body is a %q of %q, and not a %s of %s", meta.Kind, meta.APIVersion, kind, want))
	}
	return nil
}

func invalid(kind, name, at string, err error) error {
	return apierrors.NewInvalid(v1alpha1.SchemeGroupVersion.WithKind(kind).GroupKind(), name,
		field.ErrorList{field.Invalid(field.NewPath("spec", at), field.OmitValueType{}, err.Error())})
}

func (c *authorizerChain) reviewRequest(ctx context.Context, u user.Info, body []byte) (any, error) {
	var r v1alpha1.RequestReview
	if err := decodeReview(body, "RequestReview", &r, &r.TypeMeta); err != nil {
		return nil, err
	}
	asked := r.Spec
	if asked.User == "" {
		if len(asked.Groups) > 0 || asked.UID != "" || len(asked.Extra) > 0 {
			return nil, invalid(r.Kind, r.Name, "user", errors.New("groups, uid and extra need user"))
		}
		asked.User, asked.Groups, asked.UID = u.GetName(), u.GetGroups(), u.GetUID()
		asked.Extra = map[string]authorizationv1.ExtraValue{}
		for key, values := range u.GetExtra() {
			asked.Extra[key] = values
		}
	}
	trace, err := c.explain(ctx, &asked)
	if err != nil {
		return nil, invalid(r.Kind, r.Name, "resourceAttributes", err)
	}
	r.Status = review.Status(trace)
	return &r, nil
}

var errNoRBAC = apierrors.NewServiceUnavailable("authorizer RBAC is not in the chain, and the others cannot be asked this")

// notAsked are the authorizers of the chain that list nobody.
func (c *authorizerChain) notAsked() review.Options {
	var opts review.Options
	for _, part := range c.current.Load().parts {
		switch part.Name {
		case "Guard", "RBAC", "Node": // Node's are kubelets, each bound to its own objects
		default:
			opts.NotAsked = append(opts.NotAsked, part.Name)
		}
	}
	return opts
}

func (c *authorizerChain) reviewSubjects(_ context.Context, _ user.Info, body []byte) (any, error) {
	var r v1alpha1.SubjectsReview
	if err := decodeReview(body, "SubjectsReview", &r, &r.TypeMeta); err != nil {
		return nil, err
	}
	switch {
	case c.rbac == nil:
		return nil, errNoRBAC
	case r.Spec.Verb == "":
		return nil, invalid(r.Kind, r.Name, "verb", errors.New("is required"))
	case (r.Spec.Resource == "") == (r.Spec.NonResourceURL == ""):
		return nil, invalid(r.Kind, r.Name, "resource", errors.New("set exactly one of resource and nonResourceURL"))
	case r.Spec.Limit < 0 || r.Spec.Limit > 5000:
		return nil, invalid(r.Kind, r.Name, "limit", errors.New("is between 1 and 5000"))
	}
	status, err := review.Subjects(c.rbac, &r.Spec, c.notAsked())
	if errors.Is(err, rbac.ErrContinue) {
		return nil, invalid(r.Kind, r.Name, "continue", err)
	}
	if err != nil {
		return nil, err
	}
	r.Status = status
	return &r, nil
}

func (c *authorizerChain) reviewAccess(_ context.Context, u user.Info, body []byte) (any, error) {
	var r v1alpha1.AccessList
	if err := decodeReview(body, "AccessList", &r, &r.TypeMeta); err != nil {
		return nil, err
	}
	asked := r.Spec
	switch {
	case c.rbac == nil:
		return nil, errNoRBAC
	case asked.ServiceAccount != nil && (asked.User != "" || len(asked.Groups) > 0):
		return nil, invalid(r.Kind, r.Name, "serviceAccount", errors.New("set serviceAccount, or user and groups"))
	case asked.ServiceAccount == nil && asked.User == "" && len(asked.Groups) == 0:
		asked.User, asked.Groups = u.GetName(), u.GetGroups()
	}
	r.Status = review.Access(c.rbac, &asked, c.notAsked())
	return &r, nil
}
