package cel_test

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

// usual are what policies over Pods ask: those of the Pod Security Standards and of
// most clusters' own rules.
var usual = []string{
	"object.spec.containers.all(c, !c.image.endsWith(':latest'))",
	"!has(object.spec.hostNetwork) || !object.spec.hostNetwork",
	"!has(object.spec.hostPID) || !object.spec.hostPID",
	"object.spec.containers.all(c, c.image.startsWith('registry.example/'))",
	"has(object.metadata.labels) && 'app' in object.metadata.labels",
	"object.spec.containers.all(c, !has(c.securityContext) || !has(c.securityContext.privileged) || !c.securityContext.privileged)",
	"!has(object.spec.volumes) || object.spec.volumes.all(v, !has(v.hostPath))",
	"object.metadata.name.size() <= 63",
}

// policies over Pods, of which the request meets all.
func policies(t testing.TB, count int) (all []policy.Object) {
	for i := range count {
		name := fmt.Sprintf("p%d", i)
		all = append(all,
			asPolicy(object(t, fmt.Sprintf(`{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: %s}, spec: {
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [pods]}]}, validations: [{expression: %q}]}}`, name, usual[i%len(usual)]))),
			asPolicy(object(t, fmt.Sprintf(`{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: %s}, spec: {policyName: %s, validationActions: [Deny]}}`, name, name))))
	}
	return all
}

func BenchmarkValidate(b *testing.B) {
	in := &cluster{namespaces: map[string]*corev1.Namespace{"shop": namespace("shop", map[string]string{"env": "prod"})}}
	for _, count := range []int{1, 16, 100, 1000} {
		all := policies(b, count)
		a := attributes(admission.Create, pod(b), nil, pods, "")
		b.Run(fmt.Sprintf("policies=%d/gatehouse", count), func(b *testing.B) {
			set := newSet(b, all)
			b.ReportAllocs()
			for b.Loop() {
				r := policy.NewRequest(a, nil, in)
				r.Authorizer = permissions{}
				if out := set.Validate(context.Background(), r); len(out.Denials) > 0 || out.Asked != count {
					b.Fatal(out.Message(), out.Asked)
				}
			}
		})
		// What stands before an API server's own plugin.
		b.Run(fmt.Sprintf("policies=%d/holds", count), func(b *testing.B) {
			set, served := newSet(b, all), asServed(b, a)
			interfaces := newInterfaces()
			b.ReportAllocs()
			for b.Loop() {
				r := policy.NewRequest(served, nil, in)
				r.Authorizer, r.Objects = permissions{}, interfaces
				if !cel.Holds(context.Background(), set, r) {
					b.Fatal("a policy does not hold")
				}
			}
		})
		// An API server's own plugin, asked the same.
		b.Run(fmt.Sprintf("policies=%d/upstream", count), func(b *testing.B) {
			u, served := newUpstream(b, all, in), asServed(b, a)
			u.ready(b)
			interfaces := newInterfaces()
			b.ReportAllocs()
			for b.Loop() {
				if err := u.validating.Validate(context.Background(), served, interfaces); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOthers is a request that no policy is for.
func BenchmarkOthers(b *testing.B) {
	in := &cluster{namespaces: map[string]*corev1.Namespace{"shop": namespace("shop", nil)}}
	set := newSet(b, policies(b, 1000))
	a := attributes(admission.Create, object(b, "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}}"), nil, pods.GroupVersion().WithResource("secrets"), "")
	b.ReportAllocs()
	for b.Loop() {
		set.Validate(context.Background(), policy.NewRequest(a, nil, in))
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, count := range []int{1, 100} {
		all := policies(b, count)
		b.Run(fmt.Sprint("policies=", count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				newSet(b, all)
			}
		})
	}
}
