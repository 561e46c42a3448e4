package station

import (
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

func rule(binding string, verbs, groups, resources []string) v1alpha1.AccessRule {
	return v1alpha1.AccessRule{
		PolicyRule: rbacv1.PolicyRule{Verbs: verbs, APIGroups: groups, Resources: resources},
		Sources:    []v1alpha1.TraceSource{{Kind: "ClusterRoleBinding", Name: binding}},
	}
}

func TestTheGravestFirst(t *testing.T) {
	list := v1alpha1.AccessListStatus{
		Cluster: []v1alpha1.AccessRule{
			{PolicyRule: rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz"}}},
			rule("view", []string{"get", "list"}, []string{"apps"}, []string{"deployments"}),
			rule("self", []string{"create"}, []string{"authorization.k8s.io"}, []string{"selfsubjectaccessreviews"}),
			rule("ops", []string{"get", "list"}, []string{""}, []string{"secrets"}),
			rule("root", []string{"*"}, []string{"*"}, []string{"*"}),
		},
		Namespaces: []v1alpha1.NamespaceAccess{{Namespace: "shop", Rules: []v1alpha1.AccessRule{
			rule("roles", []string{"bind"}, []string{"rbac.authorization.k8s.io"}, []string{"roles"}),
			rule("pods", []string{"create"}, []string{""}, []string{"pods"}),
			rule("pods", []string{"create"}, []string{""}, []string{"pods"}),
		}}},
	}
	r := reachOf(list)
	want := []string{
		"* * in every namespace, by ClusterRoleBinding root",
		"bind roles of rbac.authorization.k8s.io in namespace shop, by ClusterRoleBinding roles",
		"get, list secrets in every namespace, by ClusterRoleBinding ops",
		"create pods in namespace shop, by ClusterRoleBinding pods",
		"get, list deployments of apps in every namespace, by ClusterRoleBinding view",
		"create selfsubjectaccessreviews of authorization.k8s.io in every namespace, by ClusterRoleBinding self",
		"get /healthz",
	}
	if !slices.Equal(r.Can, want) || r.More != 0 || r.Incomplete {
		t.Errorf("got %d and %d more:\n%s", len(r.Can), r.More, strings.Join(r.Can, "\n"))
	}
	many := v1alpha1.AccessListStatus{Incomplete: true}
	for i := range alert.MaxReach + 7 {
		many.Cluster = append(many.Cluster, rule(strings.Repeat("b", i+1), []string{"get"}, []string{""}, []string{"pods"}))
	}
	if r := reachOf(many); len(r.Can) != alert.MaxReach || r.More != 7 || !r.Incomplete {
		t.Errorf("of many: %d and %d more", len(r.Can), r.More)
	}
}

func TestWhoseReach(t *testing.T) {
	var asked *v1alpha1.AccessListSpec
	s := &Station{o: Options{MastersBypass: true, Access: func(spec *v1alpha1.AccessListSpec) v1alpha1.AccessListStatus {
		asked = spec
		return v1alpha1.AccessListStatus{}
	}}}
	for name, c := range map[string]struct {
		finding    detect.Finding
		user       string
		account    string
		groups     []string
		incomplete bool
		can        int
	}{
		"who asked":         {detect.Finding{Subject: detect.Subject{User: "jane", Groups: []string{"devs"}}}, "jane", "", []string{"devs"}, false, 0},
		"a master":          {detect.Finding{Subject: detect.Subject{User: "jane", Groups: []string{"system:masters"}}}, "jane", "", []string{"system:masters"}, false, 1},
		"who was meant":     {detect.Finding{Subject: detect.Subject{User: "jane", As: "root", Groups: []string{"system:masters"}}}, "root", "", []string{"system:authenticated"}, true, 0},
		"an account":        {detect.Finding{Subject: detect.Subject{User: "system:serviceaccount:shop:web"}}, "", "web", nil, false, 0},
		"who began it":      {detect.Finding{Subject: detect.Subject{User: "system:serviceaccount:kube-system:job-controller"}, Began: &detect.Began{User: "eve"}}, "eve", "", []string{"system:authenticated"}, true, 0},
		"who began it as":   {detect.Finding{Began: &detect.Began{User: "eve as ann"}}, "ann", "", []string{"system:authenticated"}, true, 0},
		"an account's work": {detect.Finding{Began: &detect.Began{User: "system:serviceaccount:ci:deployer"}}, "", "deployer", nil, false, 0},
	} {
		r := s.reach(&c.finding)
		account := ""
		if asked.ServiceAccount != nil {
			account = asked.ServiceAccount.Name
		}
		if asked.User != c.user || account != c.account || !slices.Equal(asked.Groups, c.groups) || r.Incomplete != c.incomplete || len(r.Can) != c.can {
			t.Errorf("%s: asked for %+v, got %+v", name, asked, r)
		}
	}
	if r := s.reach(&detect.Finding{}); r != nil {
		t.Errorf("of nobody: %+v", r)
	}
}
