package attack

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func role(name, rules string) string {
	return "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: " + name + "-NS}, rules: " + rules + "}"
}

func clusterBinding(name, role, subject string) string {
	return "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: " + name + "-NS}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: " + role + "}, subjects: [" + subject + "]}"
}

const robot = "{kind: ServiceAccount, name: robot, namespace: NS}"

// impersonate is the attacker as somebody else.
func (a *attacker) impersonate(user string, groups ...string) (kubernetes.Interface, error) {
	config := rest.CopyConfig(a.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return kubernetes.NewForConfig(config)
}

var privilegeTechniques = []technique{
	{does: "makes a role that allows everything", rules: []string{"rbac-wildcard"}, do: func(a *attacker) error {
		return a.create(role("everything", `[{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]`))
	}},
	{does: "makes a role that lets escalate, bind and impersonate", rules: []string{"rbac-escalation-verbs"}, do: func(a *attacker) error {
		return a.create(role("more", `[{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], verbs: [escalate, bind]}, {apiGroups: [""], resources: [users], verbs: [impersonate]}]`))
	}},
	{does: "makes a role for Secrets and exec", rules: []string{"rbac-dangerous-grant"}, do: func(a *attacker) error {
		return a.create(role("reader", `[{apiGroups: [""], resources: [secrets, pods/exec], verbs: [get, create]}]`))
	}},
	{does: "makes an account cluster-admin", rules: []string{"cluster-admin-binding"}, do: func(a *attacker) error {
		return a.create(clusterBinding("root", "cluster-admin", robot))
	}},
	{does: "adds an account to a binding of cluster-admin by a patch", rules: []string{"cluster-admin-binding"}, do: func(a *attacker) error {
		binding := clusterBinding("old", "cluster-admin", "{kind: ServiceAccount, name: operator, namespace: NS}")
		if err := a.given(binding); err != nil {
			return err
		}
		return a.patch(binding, `{"subjects":[{"kind":"ServiceAccount","name":"robot","namespace":"NS"}]}`)
	}},
	{does: "makes an account master of a namespace", rules: []string{"cluster-admin-rolebinding"}, do: func(a *attacker) error {
		return a.create("{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: root, namespace: NS}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [" + robot + "]}")
	}},
	{does: "grants rights to everybody", rules: []string{"grant-to-everybody"}, do: func(a *attacker) error {
		if err := a.given(role("harmless", "[]")); err != nil { // others are to be refused
			return err
		}
		return a.create(clusterBinding("all", "harmless-NS", `{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:authenticated"}`))
	}},
	{does: "adds Secrets to the role view by a label", rules: []string{"rbac-aggregated"}, do: func(a *attacker) error {
		return a.create(strings.Replace(role("viewer", `[{apiGroups: [""], resources: [secrets], verbs: [get]}]`), "viewer-NS", `viewer-NS, labels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}`, 1))
	}},
	{does: "changes a role of the system", rules: []string{"system-role-changed"}, do: func(a *attacker) error {
		return a.patch("{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: \"system:public-info-viewer\"}}", `{"metadata":{"labels":{"changed":"NS"}}}`)
	}},
	{does: "tries to grant more than it has", rules: []string{"escalation-refused"}, may: "roles", do: func(a *attacker) error {
		return refused(a.create(role("mine", `[{apiGroups: [""], resources: [secrets], verbs: [get]}]`)))
	}},
	{does: "acts as a controller of the system", rules: []string{"impersonate-privileged"}, do: func(a *attacker) error {
		client, err := a.impersonate("system:serviceaccount:kube-system:generic-garbage-collector")
		if err != nil {
			return err
		}
		_, err = client.CoreV1().Pods(a.ns).List(a.ctx(), metav1.ListOptions{})
		return err
	}},
	{does: "tries to act as others", rules: []string{"impersonate-refused"}, may: "nothing", do: func(a *attacker) error {
		for _, user := range []string{"admin", "root", "ops"} {
			client, err := a.impersonate(user)
			if err != nil {
				return err
			}
			if _, err = client.CoreV1().Pods(a.ns).List(a.ctx(), metav1.ListOptions{}); refused(err) != nil {
				return refused(err)
			}
		}
		return nil
	}},
	{does: "makes an admin account, and takes a token for it", rules: []string{"backdoor-account", "cluster-admin-binding", "token-for-another"}, do: func(a *attacker) error {
		if err := a.create("{apiVersion: v1, kind: ServiceAccount, metadata: {name: robot, namespace: NS}}"); err != nil {
			return err
		}
		if err := a.create(clusterBinding("backdoor", "cluster-admin", robot)); err != nil {
			return err
		}
		return a.token("robot", 3600)
	}},
	{does: "changes rights, and starts a workload", rules: []string{"rights-then-workload"}, do: func(a *attacker) error {
		if err := a.create("{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: edit, namespace: NS}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}, subjects: [" + robot + "]}"); err != nil {
			return err
		}
		return a.create(pod("p", "NS", plain))
	}},
	{does: "asks with the account of a pod what that may do", rules: []string{"rights-asked"}, by: "system:serviceaccount:NS:default", do: func(a *attacker) error {
		client, err := a.place.account(a)
		if err != nil {
			return err
		}
		for range 4 {
			if err := client.AuthorizationV1().RESTClient().Post().Resource("selfsubjectrulesreviews").Body([]byte(fmt.Sprintf(`{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectRulesReview","spec":{"namespace":%q}}`, a.ns))).SetHeader("Content-Type", "application/json").Do(a.ctx()).Error(); err != nil {
				return err
			}
		}
		return nil
	}},
	{does: "is refused many different things", rules: []string{"forbidden-storm"}, may: "nothing", do: func(a *attacker) error {
		for i := range 16 {
			if _, err := a.kube.CoreV1().Pods(fmt.Sprintf("team-%d", i)).List(a.ctx(), metav1.ListOptions{}); refused(err) != nil {
				return refused(err)
			}
		}
		return nil
	}},
	{does: "runs into a Guard", rules: []string{"guard-refused"}, do: func(a *attacker) error {
		if err := a.given(fmt.Sprintf("{apiVersion: gatehouse.io/v1alpha1, kind: Guard, metadata: {name: guard-NS}, spec: {subjects: {users: [%q]}, verbs: [delete], resources: [configmaps], reason: not by them}}", a.user)); err != nil {
			return err
		}
		return a.soon(func() error {
			return refused(a.kube.CoreV1().ConfigMaps(a.ns).Delete(a.ctx(), "none", metav1.DeleteOptions{}))
		})
	}},
	{does: "runs into a Guard that only looks", rules: []string{"guard-audit"}, do: func(a *attacker) error {
		if err := a.given(fmt.Sprintf("{apiVersion: gatehouse.io/v1alpha1, kind: Guard, metadata: {name: looks-NS}, spec: {mode: audit, subjects: {users: [%q]}, verbs: [list], resources: [limitranges], reason: not by them}}", a.user)); err != nil {
			return err
		}
		for range 30 { // it is in force within a second
			if _, err := a.kube.CoreV1().LimitRanges(a.ns).List(a.ctx(), metav1.ListOptions{}); err != nil {
				return err
			}
			pause()
		}
		return nil
	}},
}
