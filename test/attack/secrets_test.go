package attack

import (
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// secrets puts so many into the attacker's namespace.
func (a *attacker) secrets(n int) error {
	for i := range n {
		if err := a.given(fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: s-%d, namespace: NS}, stringData: {k: v}}", i)); err != nil {
			return err
		}
	}
	return nil
}

var secretTechniques = []technique{
	{does: "lists the Secrets of all namespaces", rules: []string{"secret-list-everywhere"}, do: func(a *attacker) error {
		_, err := a.kube.CoreV1().Secrets("").List(a.ctx(), metav1.ListOptions{})
		return err
	}},
	{does: "watches the Secrets of all namespaces", rules: []string{"secret-list-everywhere"}, do: func(a *attacker) error {
		w, err := a.kube.CoreV1().Secrets("").Watch(a.ctx(), metav1.ListOptions{})
		if err == nil {
			// It goes on while the alert is waited for.
			a.Cleanup(w.Stop)
		}
		return err
	}},
	{does: "lists the Secrets of a namespace", rules: []string{"secret-list"}, do: func(a *attacker) error {
		_, err := a.kube.CoreV1().Secrets(a.ns).List(a.ctx(), metav1.ListOptions{})
		return err
	}},
	{does: "reads twenty Secrets one by one", rules: []string{"secret-burst"}, do: func(a *attacker) error {
		err := a.secrets(20)
		for i := range 20 {
			if _, wrong := a.kube.CoreV1().Secrets(a.ns).Get(a.ctx(), fmt.Sprintf("s-%d", i), metav1.GetOptions{}); wrong != nil {
				err = errors.Join(err, wrong)
			}
		}
		return err
	}},
	{does: "reads twenty Secrets with the token of a pod's account", rules: []string{"secret-burst"}, by: "system:serviceaccount:NS:default", do: func(a *attacker) error {
		if err := a.secrets(20); err != nil {
			return err
		}
		if err := a.given("{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: careless, namespace: NS}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: given-secrets}, subjects: [{kind: ServiceAccount, name: default, namespace: NS}]}"); err != nil {
			return err
		}
		client, err := a.place.account(a)
		if err != nil {
			return err
		}
		for i := range 20 {
			if err = a.soon(func() error {
				_, err := client.CoreV1().Secrets(a.ns).Get(a.ctx(), fmt.Sprintf("s-%d", i), metav1.GetOptions{})
				return err
			}); err != nil {
				return err
			}
		}
		return nil
	}},
	{does: "reads Secrets in one namespace after the other", rules: []string{"secret-across-namespaces"}, do: func(a *attacker) error {
		for i := range 7 {
			if _, err := a.kube.CoreV1().Secrets(fmt.Sprintf("team-%d", i)).List(a.ctx(), metav1.ListOptions{}); err != nil {
				return err
			}
		}
		return nil
	}},
	{does: "tries Secrets without the right", rules: []string{"secret-refused"}, may: "nothing", do: func(a *attacker) error {
		for range 6 {
			if _, err := a.kube.CoreV1().Secrets(a.ns).List(a.ctx(), metav1.ListOptions{}); refused(err) != nil {
				return refused(err)
			}
		}
		return nil
	}},
	{does: "looks around without rights, and then reads a Secret", rules: []string{"recon-then-secret"}, may: "secrets", do: func(a *attacker) error {
		for i := range 5 {
			if _, err := a.kube.CoreV1().Pods(fmt.Sprintf("team-%d", i)).List(a.ctx(), metav1.ListOptions{}); refused(err) != nil {
				return refused(err)
			}
		}
		_, err := a.kube.CoreV1().Secrets(a.ns).List(a.ctx(), metav1.ListOptions{})
		return err
	}},
	{does: "downloads a long list page by page", rules: []string{"bulk-download"}, do: func(a *attacker) error {
		next, pages := "", 0
		for range 40 {
			list, err := a.kube.RbacV1().ClusterRoles().List(a.ctx(), metav1.ListOptions{Limit: 1, Continue: next})
			if err != nil {
				return err
			}
			if next = list.Continue; next == "" {
				break
			}
			pages++
		}
		if pages < 21 {
			return fmt.Errorf("there are %d pages", pages)
		}
		return nil
	}},
	{does: "lists every kind in all namespaces", rules: []string{"cluster-export"}, do: func(a *attacker) error {
		lists, err := a.kube.Discovery().ServerPreferredResources()
		if err != nil {
			return err
		}
		for _, list := range lists {
			gv, err := schema.ParseGroupVersion(list.GroupVersion)
			if err != nil {
				return err
			}
			for _, r := range list.APIResources {
				if r.Name != "secrets" {
					_, _ = a.any.Resource(gv.WithResource(r.Name)).List(a.ctx(), metav1.ListOptions{Limit: 1})
				}
			}
		}
		return nil
	}},
}
