package attack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// technique is something that an attacker does.
type technique struct {
	// does says it, for the table.
	does string
	// rules have to notice it. The first is the one it is there for.
	rules []string
	// by is who is named; empty for the attacker of the technique, "-" for nobody.
	by string
	// may is what the attacker is allowed: "admin" for everything, by default; or "nothing".
	may string
	// do does it. An error says that it did not work, so that nothing can be told.
	do func(a *attacker) error
}

// attacker does one technique.
type attacker struct {
	*testing.T
	place  *place
	user   string
	config *rest.Config
	kube   kubernetes.Interface
	any    dynamic.Interface
	// ns is a namespace of its own.
	ns string
}

func (a *attacker) ctx() context.Context { return a.Context() }

func kindOf(o *unstructured.Unstructured) schema.GroupVersionResource {
	gvk := o.GroupVersionKind()
	plural := strings.ToLower(gvk.Kind) + "s"
	switch gvk.Kind {
	case "Ingress":
		plural = "ingresses"
	case "NetworkPolicy", "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy":
		plural = strings.ToLower(strings.TrimSuffix(gvk.Kind, "y")) + "ies"
	case "Endpoints":
		plural = "endpoints"
	}
	return schema.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: plural}
}

// objects reads YAML; NS stands for the attacker's namespace.
func (a *attacker) objects(text string) (all []*unstructured.Unstructured, err error) {
	for _, part := range strings.Split(strings.ReplaceAll(text, "NS", a.ns), "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(part), &o.Object); err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, part)
		}
		all = append(all, o)
	}
	return all, nil
}

func (a *attacker) of(o *unstructured.Unstructured, client dynamic.Interface) dynamic.ResourceInterface {
	if ns := o.GetNamespace(); ns != "" {
		return client.Resource(kindOf(o)).Namespace(ns)
	}
	return client.Resource(kindOf(o))
}

// create creates objects as the attacker.
func (a *attacker) create(text string) error { return a.createBy(a.any, text) }

// given creates objects as the administrator: what is there before.
func (a *attacker) given(text string) error { return a.createBy(a.place.any, text) }

func (a *attacker) createBy(client dynamic.Interface, text string) error {
	objects, err := a.objects(text)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if _, err := a.of(o, client).Create(a.ctx(), o, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// patch merges something into an object, which is named by its kind in YAML.
func (a *attacker) patch(text, patch string, sub ...string) error {
	objects, err := a.objects(text)
	if err != nil {
		return err
	}
	_, err = a.of(objects[0], a.any).Patch(a.ctx(), objects[0].GetName(), types.MergePatchType, []byte(strings.ReplaceAll(patch, "NS", a.ns)), metav1.PatchOptions{}, sub...)
	return err
}

// remove deletes an object.
func (a *attacker) remove(text string) error {
	objects, err := a.objects(text)
	if err != nil {
		return err
	}
	return a.of(objects[0], a.any).Delete(a.ctx(), objects[0].GetName(), metav1.DeleteOptions{})
}

// refused is nil where a request was refused by authorization.
func refused(err error) error {
	if apierrors.IsForbidden(err) {
		return nil
	}
	return fmt.Errorf("it was not refused: %w", err)
}

// let is nil where a request came through the gates, whatever became of it behind them:
// there is no container to go into.
func let(err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || err != nil && strings.Contains(err.Error(), "forbidden") {
		return fmt.Errorf("it was refused: %w", err)
	}
	return nil
}

func pod(name, ns, spec string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s}, spec: %s}", name, ns, spec)
}

// plain is the spec of a pod that is nothing special; on the node where a kubelet is.
const plain = "{nodeName: worker, containers: [{name: c, image: registry.example.com/web}]}"

var every = slices.Concat(secretTechniques, credentialTechniques, privilegeTechniques, workloadTechniques, reachTechniques, tamperingTechniques, exposureTechniques, abuseTechniques)
