package gates

import (
	"context"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
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

// TestAPolicyThatDoesNotCompile is told of in the status of its object and by an Event,
// and the last good one stays in force.
func TestAPolicyThatDoesNotCompile(t *testing.T) {
	s := server.Start(t, server.Options{})
	admin := s.Admin(t)
	ns := namespace(t, admin, "pod-security.kubernetes.io/enforce=privileged")
	objects := server.ObjectsOf(t, s.AdminConfig(t))
	spec := func(policies string) *unstructured.Unstructured {
		return fromYAML(t, "{apiVersion: gatehouse.io/v1alpha1, kind: BuiltinPolicies, metadata: {name: told}, spec: {policies: ["+policies+"]}}")
	}
	objects.Apply(t, spec("{name: DisallowHostPID}"))
	bad := plainPod("bad")
	bad.Spec.HostPID = true
	judged := func(ctx context.Context) error {
		_, err := admin.CoreV1().Pods(ns).Create(ctx, bad, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "DisallowHostPID") {
			return notYet("the answer is %v", err)
		}
		return nil
	}
	server.Eventually(t, patience, judged)
	client, err := objects.Of(spec("{name: DisallowHostPID}"))
	passes(t, err)
	// accepted waits for a status, and says what its condition Accepted says.
	accepted := func(status, reason string) string {
		t.Helper()
		said := ""
		server.Eventually(t, patience, func(ctx context.Context) error {
			o, err := client.Get(ctx, "told", metav1.GetOptions{})
			if err != nil {
				return err
			}
			conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
			for _, c := range conditions {
				c := c.(map[string]any)
				if c["type"] == "Accepted" && c["status"] == status && c["reason"] == reason && c["observedGeneration"] == o.GetGeneration() {
					said, _ = c["message"].(string)
					return nil
				}
			}
			return notYet("the conditions are %v", conditions)
		})
		return said
	}
	accepted("True", "InForce")
	objects.Apply(t, spec("{name: TrustedRepositories}"))
	if said := accepted("False", "Invalid"); !strings.Contains(said, "trustedRepositories") || !strings.Contains(said, "stays in force") {
		t.Errorf("the status says %q", said)
	}
	awaitEvent(t, admin, "told", "PolicyInvalid", "trustedRepositories")
	passes(t, judged(t.Context()))
	objects.Apply(t, spec("{name: DisallowHostNetwork}"))
	accepted("True", "InForce")
	server.Eventually(t, patience, func(ctx context.Context) error {
		_, err := admin.CoreV1().Pods(ns).Create(ctx, bad, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	})
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
