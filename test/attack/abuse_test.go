package attack

import (
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var abuseTechniques = []technique{
	{does: "deletes one thing after the other", rules: []string{"mass-deletion"}, do: func(a *attacker) error {
		for i := range 21 {
			c := fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: c-%d, namespace: NS}}", i)
			if err := a.given(c); err != nil {
				return err
			}
			if err := a.remove(c); err != nil {
				return err
			}
		}
		return nil
	}},
	{does: "deletes volumes", rules: []string{"data-deleted"}, do: func(a *attacker) error {
		for i := range 4 {
			c := fmt.Sprintf("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c-%d, namespace: NS}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}", i)
			if err := a.given(c); err != nil {
				return err
			}
			if err := a.remove(c); err != nil {
				return err
			}
		}
		return nil
	}},
	{does: "makes requests without a pause", rules: []string{"request-storm"}, do: func(a *attacker) error {
		var all sync.WaitGroup
		wrong := make(chan error, 8)
		for range cap(wrong) {
			all.Go(func() {
				for range 450 {
					if _, err := a.kube.CoreV1().ConfigMaps(a.ns).List(a.ctx(), metav1.ListOptions{ResourceVersion: "0"}); err != nil {
						wrong <- err
						return
					}
				}
			})
		}
		all.Wait()
		close(wrong)
		return <-wrong
	}},
}
