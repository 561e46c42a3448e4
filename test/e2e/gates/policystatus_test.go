package gates

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

func fromYAML(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	passes(t, yaml.Unmarshal([]byte(text), &u.Object))
	return u
}

// awaitEvent waits for an Event about an object, of a reason, that says a text.
func awaitEvent(t *testing.T, admin kubernetes.Interface, about, reason, text string) {
	t.Helper()
	server.Eventually(t, patience, func(ctx context.Context) error {
		all, err := admin.EventsV1().Events(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range all.Items {
			if e.Regarding.Name == about && e.Type == "Warning" && e.Reason == reason && strings.Contains(e.Note, text) {
				return nil
			}
		}
		return notYet("none of %d events says %q of %s", len(all.Items), text, about)
	})
}

// TestAPolicyThatDoesNotCompile is told of in the status of its object and by an Event.
func TestAPolicyThatDoesNotCompile(t *testing.T) {
	s := server.Start(t, server.Options{})
	objects := server.ObjectsOf(t, s.AdminConfig(t))
	template := fromYAML(t, `{apiVersion: templates.gatekeeper.sh/v1, kind: ConstraintTemplate, metadata: {name: told}, spec: {crd: {spec: {names: {kind: Told}}},
		targets: [{target: admission.k8s.gatekeeper.sh, rego: "package x\nviolation[{\"msg\": \"m\"}] { nowhere(input) }"}]}}`)
	objects.Apply(t,
		fromYAML(t, `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: constrainttemplates.templates.gatekeeper.sh}, spec: {group: templates.gatekeeper.sh, scope: Cluster,
			names: {kind: ConstraintTemplate, listKind: ConstraintTemplateList, plural: constrainttemplates, singular: constrainttemplate},
			versions: [{name: v1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}`),
		template)
	client, err := objects.Of(template)
	passes(t, err)
	server.Eventually(t, patience, func(ctx context.Context) error {
		o, err := client.Get(ctx, "told", metav1.GetOptions{})
		if err != nil {
			return err
		}
		byPod, _, _ := unstructured.NestedSlice(o.Object, "status", "byPod")
		if len(byPod) != 1 || !strings.Contains(fmt.Sprint(byPod[0].(map[string]any)["errors"]), "nowhere") {
			return notYet("status.byPod is %v", byPod)
		}
		return nil
	})
	awaitEvent(t, s.Admin(t), "told", "PolicyInvalid", "nowhere")
}

// TestPoliciesOfKyvernoAreToldOf: nobody is to think that they are in force.
func TestPoliciesOfKyvernoAreToldOf(t *testing.T) {
	s := server.Start(t, server.Options{})
	server.ObjectsOf(t, s.AdminConfig(t)).Apply(t,
		fromYAML(t, `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: clusterpolicies.kyverno.io}, spec: {group: kyverno.io, scope: Cluster,
			names: {kind: ClusterPolicy, listKind: ClusterPolicyList, plural: clusterpolicies, singular: clusterpolicy},
			versions: [{name: v1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}`),
		fromYAML(t, `{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: require-labels}, spec: {rules: []}}`))
	awaitEvent(t, s.Admin(t), "require-labels", "PolicyInvalid", "they come in the next round")
}
