package engines_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/component-base/metrics"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

// inCEL and inRego are what is asked of Pods in the test below: what each reads, another
// does not.
var (
	inCEL = []string{
		"!object.spec.?hostNetwork.orValue(false)",
		"object.spec.containers.all(c, c.image.startsWith('registry/'))",
		"object.spec.containers.all(c, has(c.resources) && has(c.resources.limits) && 'memory' in c.resources.limits)",
		"object.spec.containers.all(c, !has(c.resources.limits) || c.resources.limits.all(k, quantity(string(c.resources.limits[k])).isLessThan(quantity('2Gi'))))",
		"object.spec.containers.all(c, c.?securityContext.?runAsNonRoot.orValue(false))",
		"has(object.metadata.labels) && 'app' in object.metadata.labels",
		"!has(object.metadata.labels) || object.metadata.labels.all(k, object.metadata.labels[k] != 'bad')",
		"size(object.spec.containers) < 3",
		"object.spec.containers.exists_one(c, c.name == 'a')",
		"object.spec.containers.map(c, c.name).exists(n, n == 'a')",
		"object.spec.?volumes.orValue([]).all(v, !has(v.hostPath))",
		"!has(object.metadata.annotations) || object.metadata.annotations.size() < 2",
		"object.spec.containers.all(c, !has(c.livenessProbe) || c.livenessProbe.httpGet.port != 80)",
		"namespaceObject.metadata.?labels.?env.orValue('') != 'prod' || !object.spec.?hostPID.orValue(false)",
		"request.userInfo.username != 'mallory' && !('evil' in request.userInfo.groups)",
		"object.metadata.name != 'forbidden'",
		"object.spec.containers[0].name == 'a' || object.spec.?hostIPC.orValue(false) == false",
	}
	inRego = []string{
		`input.review.object.spec.hostNetwork`,
		`c := input.review.object.spec.containers[_]; not startswith(c.image, "registry/")`,
		`c := input.review.object.spec.containers[_]; not c.resources.limits.memory`,
		`c := input.review.object.spec.containers[_]; not c.securityContext.runAsNonRoot`,
		`not input.review.object.metadata.labels.app`,
		`input.review.object.metadata.labels[_] == "bad"`,
		`count(input.review.object.spec.containers) > 2`,
		`count({n | n := input.review.object.spec.containers[_].name}) < count(input.review.object.spec.containers)`,
		`input.review.object.spec.volumes[_].hostPath`,
		`input.review.object.spec.containers[_].livenessProbe.httpGet.port == 80`,
		`input.review.namespaceObject.metadata.labels.env == "prod"; input.review.object.spec.hostPID`,
		`input.review.userInfo.groups[_] == "evil"`,
		`input.review.object.metadata.name == "forbidden"`,
		`object.get(input.review.object.metadata, ["annotations", "gate"], "open") == "shut"`,
		`walk(input.review.object.spec, [path, value]); path[count(path)-1] == "privileged"; value == true`,
	}
)

func podPolicies() (texts []string) {
	quoted := func(text string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
	}
	for i, expression := range inCEL {
		texts = append(texts,
			fmt.Sprintf("{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: p%d}, spec: {matchConstraints: {resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}, validations: [{expression: %s}]}}", i, quoted(expression)),
			fmt.Sprintf("{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: b%d}, spec: {policyName: p%d, validationActions: [Deny], matchResources: %s}}", i, i,
				[]string{"{}", "{objectSelector: {matchLabels: {tier: front}}}", "{namespaceSelector: {matchExpressions: [{key: env, operator: Exists}]}}"}[i%3]),
			fmt.Sprintf("{apiVersion: templates.gatekeeper.sh/v1, kind: ConstraintTemplate, metadata: {name: cel%d}, spec: {crd: {spec: {names: {kind: CEL%d}}}, targets: [{target: admission.k8s.gatekeeper.sh, code: [{engine: K8sNativeValidation, source: {validations: [{expression: %s, message: broken}]}}]}]}}", i, i, quoted(strings.ReplaceAll(expression, "object.spec", "variables.anyObject.spec"))),
			constraintOf("CEL", i))
	}
	for i, body := range inRego {
		texts = append(texts,
			fmt.Sprintf("{apiVersion: templates.gatekeeper.sh/v1, kind: ConstraintTemplate, metadata: {name: rego%d}, spec: {crd: {spec: {names: {kind: Rego%d}}}, targets: [{target: admission.k8s.gatekeeper.sh, rego: %s}]}}", i, i,
				quoted("package x\nviolation[{\"msg\": msg}] { "+body+"; msg := sprintf(\"%v\", [input.review.object.metadata.name]) }")),
			constraintOf("Rego", i))
	}
	return texts
}

func constraintOf(kind string, i int) string {
	return fmt.Sprintf("{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: %s%d, metadata: {name: one}, spec: {match: {kinds: [{apiGroups: [''], kinds: [Pod]}]%s}}}", kind, i,
		[]string{"", ", labelSelector: {matchLabels: {tier: front}}", ", namespaceSelector: {matchLabels: {env: prod}}", ", excludedNamespaces: [bank]"}[i%4])
}

func one[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// randomPod has a name of its own, and is else made of little.
func randomPod(r *rand.Rand) *corev1.Pod {
	p := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{
		Name: one(r, "forbidden", "web", fmt.Sprint("web-", r.Uint32())), Namespace: one(r, "shop", "bank"), UID: types.UID(fmt.Sprint(r.Uint64())), CreationTimestamp: metav1.NewTime(time.Unix(r.Int64N(1<<31), 0))}}
	for _, key := range []string{"app", "tier", "x"} {
		if r.IntN(2) == 0 {
			metav1.SetMetaDataLabel(&p.ObjectMeta, key, one(r, "front", "bad", "c"))
		}
	}
	for _, key := range []string{"gate", "note"} {
		if r.IntN(3) == 0 {
			metav1.SetMetaDataAnnotation(&p.ObjectMeta, key, one(r, "shut", "open"))
		}
	}
	p.Spec.HostNetwork, p.Spec.HostPID, p.Spec.HostIPC = r.IntN(4) == 0, r.IntN(3) == 0, r.IntN(4) == 0
	for range 1 + r.IntN(3) {
		c := corev1.Container{Name: one(r, "a", "b"), Image: one(r, "registry/a", "registry/b", "elsewhere/a"),
			VolumeMounts: []corev1.VolumeMount{{Name: fmt.Sprint("kube-api-access-", r.IntN(1000)), MountPath: "/t"}}}
		if r.IntN(3) > 0 {
			c.Resources.Limits = corev1.ResourceList{one[corev1.ResourceName](r, "memory", "cpu"): resource.MustParse(one(r, "1Gi", "1024Mi", "3Gi"))}
		}
		if r.IntN(3) > 0 {
			c.SecurityContext = &corev1.SecurityContext{}
			if yes := r.IntN(2) == 0; r.IntN(3) > 0 {
				c.SecurityContext.RunAsNonRoot = &yes
			}
			if yes := r.IntN(2) == 0; r.IntN(3) == 0 {
				c.SecurityContext.Privileged = &yes
			}
		}
		if r.IntN(3) == 0 {
			c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: one(r, intstr.FromInt32(80), intstr.FromInt32(81), intstr.FromString("80"))}}}
		}
		p.Spec.Containers = append(p.Spec.Containers, c)
	}
	if r.IntN(3) == 0 {
		v := corev1.Volume{Name: fmt.Sprint("v", r.IntN(1000))}
		if r.IntN(2) == 0 {
			v.HostPath = &corev1.HostPathVolumeSource{Path: "/" + v.Name}
		}
		p.Spec.Volumes = append(p.Spec.Volumes, v)
	}
	return p
}

// A Set that has seen thousands of Pods says of the next what one says that has seen none,
// in every language, of Go types as of what they are in JSON.
func TestWhatASetRemembersChangesNoAnswer(t *testing.T) {
	loaded := load(t, podPolicies()...)
	if len(loaded.Problems) > 0 {
		t.Fatalf("%+v", loaded.Problems[0])
	}
	var native []policy.Policy
	for _, p := range loaded.Policies {
		if p.Source().Kind == "ValidatingAdmissionPolicyBinding" {
			native = append(native, p)
		}
	}
	counts := policy.NewMetrics()
	registry := metrics.NewKubeRegistry()
	registry.MustRegister(counts.Registerables()...)
	seen, seenNative := policy.NewSet(loaded.Policies, policy.Options{Metrics: counts}), policy.NewSet(native, policy.Options{})
	known := &cluster.Known{}
	for name, labels := range map[string]map[string]any{"shop": {"env": "prod"}, "bank": {}} {
		known.Add(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name, "labels": labels}}})
	}
	known.Seal()
	r := rand.New(rand.NewPCG(4, 2))
	answers, holds := map[string]int{}, map[bool]int{}
	for range 3000 {
		pod := randomPod(r)
		who := &user.DefaultInfo{Name: one(r, "jane", "jane", "mallory"), Groups: one(r, []string{"devs"}, []string{"devs"}, []string{"evil"})}
		typed := r.IntN(2) == 0
		request := func() *policy.Request {
			toUnstructured := func(o runtime.Object) (*unstructured.Unstructured, error) {
				content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
				return &unstructured.Unstructured{Object: content}, err
			}
			var o runtime.Object = pod
			if !typed {
				u, err := toUnstructured(pod)
				if err != nil {
					t.Fatal(err)
				}
				o = u
			}
			q := policy.NewRequest(admission.NewAttributesRecord(o, nil, pod.GroupVersionKind(), pod.Namespace, pod.Name, corev1.SchemeGroupVersion.WithResource("pods"), "", admission.Create, &metav1.CreateOptions{}, false, who), toUnstructured, known)
			if typed {
				q.Objects = admission.NewObjectInterfacesFromScheme(scheme.Scheme)
			}
			return q
		}
		drawn := func(out *policy.Outcome) string {
			var b strings.Builder
			for i := range out.Denials {
				fmt.Fprintf(&b, "%s: %s\n", out.Denials[i].By.Source(), out.Denials[i].Text())
			}
			return fmt.Sprint(b.String(), len(out.Warnings), len(out.Audits), len(out.Ignored))
		}
		got := drawn(seen.Validate(context.Background(), request()))
		want := drawn(policy.NewSet(loaded.Policies, policy.Options{}).Validate(context.Background(), request()))
		if got != want {
			t.Fatalf("typed %v: %+v by %v\nis answered\n%s\nand by who has seen nothing\n%s", typed, pod, who, got, want)
		}
		answers[got]++
		if typed {
			got, want := cel.Holds(context.Background(), seenNative, request()), cel.Holds(context.Background(), policy.NewSet(native, policy.Options{}), request())
			if got != want {
				t.Fatalf("%+v by %v holds: %v, and for who has seen nothing %v", pod, who, got, want)
			}
			holds[got]++
		}
	}
	gathered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	times := 0.0
	for _, family := range gathered {
		if family.GetName() == "gatehouse_policy_known_total" {
			times = family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Logf("%d different answers; %v policies of %d were known; all hold: %v", len(answers), times, 3000*len(loaded.Policies), holds)
	if times < 3000*float64(len(loaded.Policies))/4 {
		t.Errorf("only %v policies of %d were known", times, 3000*len(loaded.Policies))
	}
	if len(answers) < 100 || holds[true] == 0 || holds[false] == 0 {
		t.Errorf("%d different answers; holds: %v", len(answers), holds)
	}
}
