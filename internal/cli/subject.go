package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/rest"
)

// subject is somebody on the command line.
type subject struct {
	kind      string // User, Group or ServiceAccount, as RBAC has them
	namespace string // of a ServiceAccount
	name      string
}

// readSubject reads NAME, user:NAME, group:NAME, sa:NAMESPACE/NAME or
// system:serviceaccount:NAMESPACE:NAME.
func readSubject(text string) (subject, error) {
	prefix, rest, _ := strings.Cut(text, ":")
	s := subject{kind: "User", name: text}
	switch prefix {
	case "user":
		s.name = rest
	case "group":
		s = subject{kind: "Group", name: rest}
	case "sa":
		namespace, name, _ := strings.Cut(rest, "/")
		if namespace == "" || name == "" {
			return s, coded(exitUsage, &hintError{problem: fmt.Sprintf("%q names no service account", text), hint: "write sa:NAMESPACE/NAME"})
		}
		s = subject{kind: "ServiceAccount", namespace: namespace, name: name}
	case "system":
		if namespace, name, err := serviceaccount.SplitUsername(text); err == nil {
			s = subject{kind: "ServiceAccount", namespace: namespace, name: name}
		}
	}
	if s.name == "" {
		return s, coded(exitUsage, fmt.Errorf("%q names nobody", text))
	}
	return s, nil
}

// info is the subject as an API server knows it: with the groups that everybody of
// the kind is in. A group is whoever is in it.
func (s subject) info(groups []string) *user.DefaultInfo {
	switch s.kind {
	case "Group":
		return &user.DefaultInfo{Groups: append([]string{s.name}, groups...)}
	case "ServiceAccount":
		if len(groups) == 0 {
			groups = serviceaccount.MakeGroupNames(s.namespace)
		}
		return &user.DefaultInfo{Name: serviceaccount.MakeUsername(s.namespace, s.name), Groups: authenticated(groups)}
	}
	if s.name == user.Anonymous {
		return &user.DefaultInfo{Name: s.name, Groups: append(slices.Clone(groups), user.AllUnauthenticated)}
	}
	return &user.DefaultInfo{Name: s.name, Groups: authenticated(groups)}
}

func authenticated(groups []string) []string {
	if slices.Contains(groups, user.AllAuthenticated) {
		return groups
	}
	return append(slices.Clone(groups), user.AllAuthenticated)
}

// whoAmI asks a cluster who the kubeconfig is.
func whoAmI(ctx context.Context, config *rest.Config) (*authenticationv1.UserInfo, error) {
	client, err := authenticationclient.NewForConfig(config)
	if err != nil {
		return nil, coded(exitInternal, err)
	}
	review, err := client.SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return nil, coded(exitInternal, fmt.Errorf("ask the cluster who you are: %w", err))
	}
	return &review.Status.UserInfo, nil
}

// requester is whose request is explained: who --as names, or who the kubeconfig is.
func (w *world) requester(ctx context.Context, as string, groups []string) (*user.DefaultInfo, map[string]authorizationv1.ExtraValue, error) {
	if as != "" {
		s, err := readSubject(as)
		if err != nil {
			return nil, nil, err
		}
		if s.kind == "Group" {
			return nil, nil, coded(exitUsage, &hintError{problem: "a group makes no requests", hint: "name somebody: --as USER --as-group " + s.name})
		}
		return s.info(groups), nil, nil
	}
	if len(groups) > 0 {
		return nil, nil, coded(exitUsage, errors.New("--as-group needs --as"))
	}
	if w.config == nil {
		return nil, nil, coded(exitUsage, &hintError{problem: "--as is missing: files do not say who you are", hint: "--as USER, or --as sa:NAMESPACE/NAME"})
	}
	info, err := whoAmI(ctx, w.config)
	if err != nil {
		return nil, nil, err
	}
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range info.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	return &user.DefaultInfo{Name: info.Username, UID: info.UID, Groups: info.Groups}, extra, nil
}
