package builtin_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/builtin"
)

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return u
}

// set compiles a BuiltinPolicies with this spec.
func set(t testing.TB, spec string) *policy.Set {
	t.Helper()
	loaded := compile(t, builtin.New(builtin.Options{Cluster: "prod-eu"}), spec)
	if len(loaded.Problems) > 0 {
		t.Fatalf("%v in:\n%s", loaded.Problems, spec)
	}
	return policy.NewSet(loaded.Policies, policy.Options{})
}

func compile(t testing.TB, e *builtin.Engine, spec string) policy.Loaded {
	t.Helper()
	o := object(t, "apiVersion: gatehouse.io/v1alpha1\nkind: BuiltinPolicies\nmetadata: {name: all}\nspec:\n"+indent(spec))
	return e.Compile([]policy.Object{{Unstructured: o, Source: gate.Source{Kind: o.GetKind(), Name: o.GetName()}}})
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}

// resources of the kinds of these tests.
var resources = map[string]string{"Ingress": "ingresses", "PersistentVolume": "persistentvolumes"}

func request(operation admission.Operation, now, before *unstructured.Unstructured, subresource string, known policy.Cluster) *policy.Request {
	of := now
	if of == nil || before != nil && operation == admission.Connect {
		of = before
	}
	resource := resources[of.GetKind()]
	if resource == "" {
		resource = strings.ToLower(of.GetKind()) + "s"
	}
	var object, old runtime.Object
	if now != nil {
		object = now
	}
	if before != nil {
		old = before
	}
	kind := of.GroupVersionKind()
	gvr := kind.GroupVersion().WithResource(resource)
	if subresource == "exec" {
		gvr = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	}
	if known == nil {
		known = &cluster.Known{}
	}
	return policy.NewRequest(admission.NewAttributesRecord(object, old, kind, of.GetNamespace(), of.GetName(), gvr, subresource, operation, &metav1.CreateOptions{}, false,
		&user.DefaultInfo{Name: "jane", Groups: []string{"devs"}}), nil, known)
}

// pod is one that breaks nothing, with fields added to its spec and its container.
func pod(spec, container string) string {
	text := `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
  - name: web
    image: registry.example.org/web@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
`
	if container != "" {
		text += "    " + strings.ReplaceAll(container, "\n", "\n    ") + "\n"
	}
	if spec != "" {
		text += "  " + strings.ReplaceAll(spec, "\n", "\n  ") + "\n"
	}
	return text
}

const nonRoot = "securityContext: {runAsNonRoot: true}"

// cases say of each policy what it refuses, at which field, and what it lets pass.
var cases = []struct {
	policy, parameters string
	object             string
	path               string // empty: nothing is wrong
	says               string
}{
	{"DisallowHostPath", "", pod("volumes: [{name: v, hostPath: {path: /etc}}]", ""), "spec.volumes[0].hostPath", `volume "v" mounts "/etc" of its node`},
	{"DisallowHostPath", "", pod("volumes: [{name: v, emptyDir: {}}]", ""), "", ""},
	{"DisallowContainerSockets", "", pod("volumes: [{name: v, hostPath: {path: /var/run/docker.sock}}]", ""), "spec.volumes[0].hostPath.path", "docker.sock"},
	{"DisallowContainerSockets", "", pod("volumes: [{name: v, hostPath: {path: /run/../run/containerd/}}]", ""), "spec.volumes[0].hostPath.path", "containerd.sock"},
	{"DisallowContainerSockets", "", pod("volumes: [{name: v, hostPath: {path: /}}]", ""), "spec.volumes[0].hostPath.path", "root of the node"},
	{"DisallowContainerSockets", "", pod("volumes: [{name: v, hostPath: {path: /var/log}}]", ""), "", ""},
	{"RequireNonRoot", "", pod("", ""), "spec.containers[0].securityContext", "may run as root"},
	{"RequireNonRoot", "", pod(nonRoot, ""), "", ""},
	{"RequireNonRoot", "", pod("", "securityContext: {runAsUser: 1000}"), "", ""},
	{"RequireNonRoot", "", pod(nonRoot, "securityContext: {runAsNonRoot: false}"), "spec.containers[0].securityContext", "may run as root"},
	{"RequireNonRoot", "", pod(nonRoot+"\ninitContainers: [{name: i, image: x, securityContext: {runAsNonRoot: false, runAsUser: 0}}]", ""), "spec.initContainers[0].securityContext", `init container "i"`},
	{"RequireNonRoot", "", pod(nonRoot+"\nephemeralContainers: [{name: e, image: x, securityContext: {runAsNonRoot: false}}]", ""), "spec.ephemeralContainers[0].securityContext", `ephemeral container "e"`},
	{"EmptyDirSizeLimit", "", pod("volumes: [{name: v, emptyDir: {sizeLimit: 2Gi}}]", ""), "spec.volumes[0].emptyDir.sizeLimit", "at most 1Gi is allowed"},
	{"EmptyDirSizeLimit", "", pod("volumes: [{name: v, emptyDir: {sizeLimit: 1Gi}}]", ""), "", ""},
	{"EmptyDirSizeLimit", "", pod("volumes: [{name: v, emptyDir: {sizeLimit: 0}}]", ""), "spec.volumes[0].emptyDir.sizeLimit", "limits nothing"},
	{"EmptyDirSizeLimit", "emptyDirSizeLimit: {default: 1Mi, maximum: 2Mi}", pod("volumes: [{name: v, emptyDir: {sizeLimit: 1Gi}}]", ""), "spec.volumes[0].emptyDir.sizeLimit", "at most 2Mi"},
	{"RequireImageDigest", "", pod("", ""), "", ""},
	{"RequireImageDigest", "", pod("initContainers: [{name: i, image: 'busybox:1'}]", ""), "spec.initContainers[0].image", "named by no digest"},
	{"RequireImageDigest", "", pod("volumes: [{name: v, image: {reference: 'data:1'}}]", ""), "spec.volumes[0].image.reference", `image "data:1" of volume "v"`},
	{"RequireImageDigest", "", pod("initContainers: [{name: i, image: 'busybox@sha256:abc'}]", ""), "spec.initContainers[0].image", "named by no digest"},
	{"DisallowTiller", "", pod("initContainers: [{name: i, image: 'gcr.io/kubernetes-helm/tiller:v2'}]", ""), "spec.initContainers[0].image", "Tiller"},
	{"DisallowTiller", "", pod("initContainers: [{name: i, image: 'gcr.io/retiller:v2'}]", ""), "", ""},
	{"TrustedRepositories", "trustedRepositories: {images: ['registry.example.org/*']}", pod("", ""), "", ""},
	{"TrustedRepositories", "trustedRepositories: {images: ['registry.example.org/*']}", pod("initContainers: [{name: i, image: 'nginx'}]", ""), "spec.initContainers[0].image", "no repository that is trusted"},
	{"TrustedRepositories", "trustedRepositories: {images: ['registry.example.org/*', 'docker.io/library/*']}", pod("initContainers: [{name: i, image: 'nginx'}]", ""), "", ""},
	{"TrustedRepositories", "trustedRepositories: {expressions: ['registry\\.example\\.org/.*']}", pod("initContainers: [{name: i, image: 'registry.example.org.evil.org/x'}]", ""), "spec.initContainers[0].image", "no repository that is trusted"},
	{"DisallowHostNetwork", "", pod("hostNetwork: true", ""), "spec.hostNetwork", "network of its node"},
	{"DisallowHostNetwork", "", pod("hostNetwork: false", ""), "", ""},
	{"DisallowHostPID", "", pod("hostPID: true", ""), "spec.hostPID", "processes of its node"},
	{"DisallowHostIPC", "", pod("hostIPC: true", ""), "spec.hostIPC", "memory with its node"},
	{"DisallowShareProcessNamespace", "", pod("shareProcessNamespace: true", ""), "spec.shareProcessNamespace", "each other's processes"},
	{"DisallowPrivileged", "", pod("", "securityContext: {privileged: true}"), "spec.containers[0].securityContext.privileged", "is privileged"},
	{"DisallowPrivileged", "", pod("", "securityContext: {windowsOptions: {hostProcess: true}}"), "spec.containers[0].securityContext.windowsOptions.hostProcess", "process of its node"},
	{"DisallowPrivileged", "", pod("", "securityContext: {privileged: false}"), "", ""},
	{"DisallowAddedCapabilities", "", pod("", "securityContext: {capabilities: {add: [NET_ADMIN]}}"), "spec.containers[0].securityContext.capabilities.add", `adds capabilities ("NET_ADMIN")`},
	{"DisallowAddedCapabilities", "", pod("", "securityContext: {capabilities: {drop: [ALL]}}"), "", ""},
	{"SafeToEvict", "", pod("volumes: [{name: v, emptyDir: {}}]", ""), "metadata.annotations", "storage on its node"},
	{"SafeToEvict", "", strings.Replace(pod("volumes: [{name: v, emptyDir: {}}]", ""), "namespace: shop", `namespace: shop, annotations: {cluster-autoscaler.kubernetes.io/safe-to-evict: "true"}`, 1), "", ""},
	{"DisallowUnconfinedAppArmor", "", pod("", "securityContext: {appArmorProfile: {type: Unconfined}}"), "spec.containers[0].securityContext.appArmorProfile.type", "leaves AppArmor"},
	{"DisallowUnconfinedAppArmor", "", strings.Replace(pod("", ""), "namespace: shop", "namespace: shop, annotations: {container.apparmor.security.beta.kubernetes.io/web: unconfined}", 1), "metadata.annotations[container.apparmor.security.beta.kubernetes.io/web]", "by an annotation"},
	{"IngressClassExemption", "ingressClassExemption: {classes: ['public*']}", "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i, namespace: shop}, spec: {ingressClassName: public-eu}}", "spec.ingressClassName", "needs an exemption"},
	{"IngressClassExemption", "ingressClassExemption: {classes: ['public']}", "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i, namespace: shop}, spec: {ingressClassName: public-eu}}", "", ""},
	{"UniqueIngressHost", "", "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i, namespace: shop}, spec: {rules: [{host: mine.example.org}, {host: www.example.org}]}}", "spec.rules[1].host", "belongs to the namespace lab"},
	{"UniqueIngressHost", "", "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: j, namespace: lab}, spec: {rules: [{host: www.example.org}]}}", "", ""},
	{"DisallowNginxSnippets", "", `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i, namespace: shop, annotations: {nginx.ingress.kubernetes.io/server-snippet: "x"}}, spec: {}}`, "metadata.annotations[nginx.ingress.kubernetes.io/server-snippet]", "configuration for NGINX"},
	{"LoadBalancerExemption", "", "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop}, spec: {type: LoadBalancer}}", "spec.type", "needs an exemption"},
	{"LoadBalancerExemption", "", "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop}, spec: {type: ClusterIP}}", "", ""},
	{"LoadBalancerExemption", "loadBalancerExemption: {annotations: [{annotation: lb/type, values: [Internal]}]}", "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop}, spec: {type: LoadBalancer}}", "metadata.annotations", "is annotated lb/type"},
	{"LoadBalancerExemption", "loadBalancerExemption: {annotations: [{annotation: lb/type, values: [Internal]}]}", "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop, annotations: {lb/type: Internal}}, spec: {type: LoadBalancer}}", "", ""},
	{"DisallowExternalIPs", "", "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop}, spec: {externalIPs: [10.0.0.1]}}", "spec.externalIPs[0]", "takes the traffic"},
	{"VirtualServiceGateway", "virtualServiceGateway: {gateways: [mesh]}", "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: s, namespace: shop}, spec: {gateways: [mesh], http: [{match: [{gateways: [public]}]}]}}", "spec.http[0].match[0].gateways[0]", "is not allowed"},
	{"VirtualServiceGateway", "", "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: s, namespace: shop}, spec: {}}", "spec", "names no gateway"},
	{"DisallowAnonymousClusterRoleBinding", "", "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: b}, subjects: [{kind: Group, name: devs}, {kind: Group, name: 'system:unauthenticated'}]}", "subjects[1].name", "whoever reaches the API"},
	{"DisallowAnonymousRoleBinding", "", "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: b, namespace: shop}, subjects: [{kind: User, name: 'system:anonymous'}]}", "subjects[0].name", "whoever reaches the API"},
	{"DisallowHostPathPersistentVolume", "", "{apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {hostPath: {path: /data}}}", "spec.hostPath", `"/data" of a node`},
	{"InvalidPodDisruptionBudget", "", "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: b, namespace: shop}, spec: {maxUnavailable: 0, selector: {}}}", "spec.maxUnavailable", "no pod may ever be evicted"},
	{"InvalidPodDisruptionBudget", "", "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: b, namespace: shop}, spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}}", "spec.minAvailable", "2 of the 2 pods"},
	{"InvalidPodDisruptionBudget", "", "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: b, namespace: shop}, spec: {minAvailable: '51%', selector: {matchLabels: {app: web}}}}", "spec.minAvailable", "2 of the 2 pods"},
	{"InvalidPodDisruptionBudget", "", "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: b, namespace: shop}, spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}}", "", ""},
	{"DisallowPlaintextSecrets", "", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}, data: {app.properties: \"a=b\\ndb.password=x7Kq2Lm9Zt4Wp8Rv\\n\"}}", "data[app.properties]", `the key "app.properties" holds a value that looks generated, under a name for secrets at line 2, column 13`},
	{"DisallowPlaintextSecrets", "", pod("", "env: [{name: DB_PASSWORD, value: x7Kq2Lm9Zt4Wp8Rv}]"), "spec.containers[0].env[0].value", `the variable "DB_PASSWORD" of container "web" holds`},
	{"DisallowPlaintextSecrets", "", pod("", "args: [--user, app, --password, x7Kq2Lm9Zt4Wp8Rv]"), "spec.containers[0].args[3]", `args[3] of container "web" holds`},
	{"DisallowPlaintextSecrets", "disallowPlaintextSecrets: {ignoreKeys: ['DB_*']}", pod("", "env: [{name: DB_PASSWORD, value: x7Kq2Lm9Zt4Wp8Rv}]"), "", ""},
	{"DisallowPlaintextSecrets", "disallowPlaintextSecrets: {knownFormsOnly: true}", pod("", "env: [{name: DB_PASSWORD, value: x7Kq2Lm9Zt4Wp8Rv}]"), "", ""},
	{"DisallowPlaintextSecrets", "", pod("", "env: [{name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}]"), "", ""},
}

// there are objects that policies look up.
func there(t testing.TB) policy.Cluster {
	known := &cluster.Known{}
	for _, text := range []string{
		"{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: other, namespace: lab}, spec: {rules: [{host: www.example.org}]}}",
		"{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {replicas: 2, template: {metadata: {labels: {app: web}}}}}",
		"{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-1, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: x, controller: true}]}, spec: {replicas: 2, template: {metadata: {labels: {app: web}}}}}",
		"{apiVersion: example.org/v1, kind: Widget, metadata: {name: w, namespace: shop}}",
	} {
		known.Add(object(t, text))
	}
	known.Seal()
	return known
}

func TestWhatIsRefused(t *testing.T) {
	tested := map[string]bool{}
	for i, c := range cases {
		tested[c.policy] = true
		t.Run(fmt.Sprintf("%s %d", c.policy, i), func(t *testing.T) {
			spec := "policies:\n- name: " + c.policy
			if c.parameters != "" {
				spec += "\n  " + c.parameters
			}
			r := request(admission.Create, object(t, c.object), nil, "", there(t))
			out := set(t, spec).Validate(context.Background(), r)
			if c.path == "" {
				if len(out.Denials) > 0 {
					t.Errorf("refused: %s", out.Message())
				}
				return
			}
			if len(out.Denials) != 1 {
				t.Fatalf("%d refusals, want 1: %s", len(out.Denials), out.Message())
			}
			d := out.Denials[0]
			if d.Path != c.path || !strings.Contains(d.Message, c.says) {
				t.Errorf("refused at %s: %s\nwant %s: %s", d.Path, d.Message, c.path, c.says)
			}
			if strings.Contains(out.Message(), "x7Kq2Lm9") {
				t.Errorf("the message tells the value: %s", out.Message())
			}
		})
	}
	// Every policy of the catalogue that judges has a case; those that change objects,
	// and those of other operations, are tested below.
	elsewhere := []string{"DisallowPodExec", "ProtectCRD", "MutateSafeToEvict", "DefaultSeccomp", "ImagePullPolicy"}
	for _, info := range builtin.Catalog() {
		if !tested[info.Name] && !slices.Contains(elsewhere, info.Name) {
			t.Errorf("%s has no case", info.Name)
		}
	}
}

// What a policy states as its mend mends it.
func TestFixes(t *testing.T) {
	for _, c := range cases {
		if c.path == "" {
			continue
		}
		spec := "policies:\n- name: " + c.policy
		if c.parameters != "" {
			spec += "\n  " + c.parameters
		}
		s := set(t, spec)
		before := object(t, c.object)
		out := s.Validate(context.Background(), request(admission.Create, before, nil, "", there(t)))
		for _, d := range out.Denials {
			if d.Fix == nil {
				continue
			}
			after := patched(t, before, d.Fix)
			if again := s.Validate(context.Background(), request(admission.Create, after, nil, "", there(t))); len(again.Denials) > 0 {
				t.Errorf("%s: %s does not mend it: %s", c.policy, d.Fix, again.Message())
			}
		}
	}
}

// No message has six characters in a row of what was found, however it is hidden.
func TestNoMessageTellsTheSecret(t *testing.T) {
	const value = "x7Kq2Lm9Zt4Wp8RvB3"
	encoded := base64.StdEncoding.EncodeToString([]byte("db.password=" + value))
	s := set(t, "policies: [{name: DisallowPlaintextSecrets}]")
	for how, text := range map[string]string{
		"plain":          "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}, data: {password: " + value + "}}",
		"base64":         "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}, data: {a: '" + encoded + "'}}",
		"broken base64":  "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}, data: {a: \"" + encoded[:20] + "\\n" + encoded[20:] + "\\n\"}}",
		"binary":         "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}, binaryData: {a: '" + base64.StdEncoding.EncodeToString([]byte("\xff\xfe\x00 db.password="+value+"\n")) + "'}}",
		"annotation":     "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop, annotations: {example.org/api-token: " + value + "}}}",
		"argument":       pod("", "args: ['--password="+value+"']"),
		"environment":    pod("", "env: [{name: API_TOKEN, value: "+value+"}]"),
		"init container": pod("initContainers: [{name: i, image: i, env: [{name: API_TOKEN, value: "+value+"}]}]", ""),
	} {
		out := s.Validate(context.Background(), request(admission.Create, object(t, text), nil, "", nil))
		if len(out.Denials) == 0 {
			t.Errorf("%s: nothing is found", how)
		}
		for i := 0; i+6 <= len(value); i++ {
			if strings.Contains(out.Message(), value[i:i+6]) {
				t.Fatalf("%s: the message tells it: %s", how, out.Message())
			}
		}
	}
}

func TestMutations(t *testing.T) {
	for _, c := range []struct{ policy, parameters, object, want string }{
		{"EmptyDirSizeLimit", "", pod("volumes: [{name: v, emptyDir: {}}, {name: w, emptyDir: {sizeLimit: 1Mi}}]", ""), `[{"op":"add","path":"/spec/volumes/0/emptyDir/sizeLimit","value":"512Mi"}]`},
		{"MutateSafeToEvict", "", pod("volumes: [{name: v, emptyDir: {}}]", ""), `[{"op":"add","path":"/metadata/annotations","value":{"cluster-autoscaler.kubernetes.io/safe-to-evict":"true"}}]`},
		{"MutateSafeToEvict", "", pod("", ""), ""},
		{"DefaultSeccomp", "", pod("", ""), `[{"op":"add","path":"/spec/securityContext","value":{"seccompProfile":{"type":"RuntimeDefault"}}}]`},
		{"DefaultSeccomp", "", pod("securityContext: {seccompProfile: {type: Unconfined}}", ""), ""},
		{"DefaultSeccomp", "", pod("os: {name: windows}", ""), ""},
		{"DefaultSeccomp", "defaultSeccomp: {type: Localhost, localhostProfile: a.json}", pod("securityContext: {}", ""), `[{"op":"add","path":"/spec/securityContext/seccompProfile","value":{"localhostProfile":"a.json","type":"Localhost"}}]`},
		{"ImagePullPolicy", "imagePullPolicy: {rules: [{images: ['registry.example.org/*'], pullPolicy: IfNotPresent}]}", pod("", "imagePullPolicy: Always"), `[{"op":"replace","path":"/spec/containers/0/imagePullPolicy","value":"IfNotPresent"}]`},
	} {
		spec := "policies:\n- name: " + c.policy
		if c.parameters != "" {
			spec += "\n  " + c.parameters
		}
		before := object(t, c.object)
		r := request(admission.Create, before, nil, "", nil)
		out := set(t, spec).Mutate(context.Background(), r)
		after, err := r.Object()
		if err != nil || len(out.Denials) > 0 {
			t.Fatal(err, out.Message())
		}
		got := ""
		if out.Changed {
			got = string(policy.Patch(before.Object, after.Object))
		}
		if got != c.want {
			t.Errorf("%s: %s\nwant %s", c.policy, got, c.want)
		}
		// Reported and not enforced, it says what it would change.
		told := set(t, strings.Replace(spec, "- name", "- action: Report\n  name", 1)).Validate(context.Background(), request(admission.Create, before, nil, "", nil))
		if (len(told.Audits) > 0) != (c.want != "") {
			t.Errorf("%s: reported %v", c.policy, told.Audits)
		}
	}
}

func TestOtherOperations(t *testing.T) {
	exec := object(t, "{apiVersion: v1, kind: PodExecOptions}")
	out := set(t, "policies: [{name: DisallowPodExec}]").Validate(context.Background(), request(admission.Connect, exec, nil, "exec", nil))
	if len(out.Denials) != 1 {
		t.Errorf("exec passes")
	}
	const widgets = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: widgets.example.org, annotations: {k-rail.crd.protect: enabled}}, spec: {group: example.org, names: {kind: %s}, versions: [{name: v1, storage: true}]}}"
	for kind, want := range map[string]int{"Widget": 1, "Gadget": 0} {
		crd := object(t, fmt.Sprintf(widgets, kind))
		out := set(t, "policies: [{name: ProtectCRD}]").Validate(context.Background(), request(admission.Delete, nil, crd, "", there(t)))
		if len(out.Denials) != want {
			t.Errorf("deletion of the definition of %s: %s", kind, out.Message())
		}
	}
}

// An update that changes nothing that a policy looks at passes; one that does is judged.
func TestUpdates(t *testing.T) {
	s := set(t, "policies: [{name: DisallowHostNetwork}]")
	before := object(t, pod("hostNetwork: true", ""))
	labelled := before.DeepCopy()
	labelled.SetLabels(map[string]string{"a": "b"})
	if out := s.Validate(context.Background(), request(admission.Update, labelled, before, "", nil)); len(out.Denials) > 0 {
		t.Errorf("a label is refused: %s", out.Message())
	}
	changed := object(t, pod("hostNetwork: true", "imagePullPolicy: Always"))
	if out := s.Validate(context.Background(), request(admission.Update, changed, before, "", nil)); len(out.Denials) != 1 {
		t.Errorf("a change of the pod passes")
	}
	r := request(admission.Update, before, before, "", nil)
	r.Background = true
	if out := s.Validate(context.Background(), r); len(out.Denials) != 1 {
		t.Error("a scan does not tell of what is there")
	}
}

// Every kind that makes a pod is judged, where the pod is.
func TestCarriers(t *testing.T) {
	s := set(t, "policies: [{name: DisallowHostNetwork}]")
	for kind, path := range map[string]string{
		"apps/v1 Deployment": "spec.template.spec", "apps/v1 StatefulSet": "spec.template.spec", "apps/v1 DaemonSet": "spec.template.spec", "apps/v1 ReplicaSet": "spec.template.spec",
		"batch/v1 Job": "spec.template.spec", "batch/v1 CronJob": "spec.jobTemplate.spec.template.spec", "v1 ReplicationController": "spec.template.spec", "v1 PodTemplate": "template.spec",
	} {
		version, name, _ := strings.Cut(kind, " ")
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": version, "kind": name, "metadata": map[string]any{"name": "x", "namespace": "shop"}}}
		if err := unstructured.SetNestedField(o.Object, true, append(strings.Split(path, "."), "hostNetwork")...); err != nil {
			t.Fatal(err)
		}
		out := s.Validate(context.Background(), request(admission.Create, o, nil, "", nil))
		if len(out.Denials) != 1 || out.Denials[0].Path != path+".hostNetwork" {
			t.Errorf("%s: %s", kind, out.Message())
		}
	}
}

func TestExemptions(t *testing.T) {
	for exemption, exempt := range map[string]bool{
		"{namespaces: [shop]}": true, "{namespaces: [sh]}": false, "{namespaces: ['sh*']}": true,
		"{names: [we]}": false, "{names: ['we*']}": true, "{users: [jane]}": true, "{users: [jan]}": false,
		"{groups: [devs]}": true, "{groups: [ops]}": false, "{clusters: [prod-eu]}": true, "{clusters: [prod-us]}": false,
		"{namespaces: [shop], users: [joe]}": false, "{policies: [DisallowHostPID], namespaces: [shop]}": false, "{policies: ['DisallowHost*'], namespaces: [shop]}": true,
	} {
		s := set(t, "policies: [{name: DisallowHostNetwork}]\nexemptions: ["+exemption+"]")
		out := s.Validate(context.Background(), request(admission.Create, object(t, pod("hostNetwork: true", "")), nil, "", nil))
		if (len(out.Denials) == 0) != exempt {
			t.Errorf("%s: %s", exemption, out.Message())
		}
	}
}

func TestSetsAndActions(t *testing.T) {
	bad := object(t, pod("hostNetwork: true\nhostPID: true", ""))
	s := set(t, "sets: [{name: Pods, action: Report}]\npolicies: [{name: DisallowHostPID, action: Enforce}, {name: RequireNonRoot, action: Disabled}, {name: DisallowHostNetwork, action: Warn}]")
	out := s.Validate(context.Background(), request(admission.Create, bad, nil, "", nil))
	if len(out.Denials) != 1 || len(out.Warnings) != 1 || out.Denials[0].Path != "spec.hostPID" || out.Warnings[0].Path != "spec.hostNetwork" {
		t.Errorf("denials %v, warnings %v", out.Denials, out.Warnings)
	}
	for _, said := range out.Audits {
		if strings.Contains(said.Text(), "RequireNonRoot") {
			t.Errorf("a policy that is off says %s", said.Text())
		}
	}
}

func TestWhatDoesNotCompile(t *testing.T) {
	e := builtin.New(builtin.Options{})
	for spec, want := range map[string]string{
		"policies: [{name: Nothing}]":                                                            `there is no policy "Nothing"`,
		"policies: [{name: TrustedRepositories}]":                                                "say where images may come from",
		"policies: [{name: TrustedRepositories, trustedRepositories: {expressions: ['(']}}]":     "missing closing )",
		"policies: [{name: EmptyDirSizeLimit, emptyDirSizeLimit: {default: 2Gi, maximum: 1Gi}}]": "greater than the maximum",
		"policies: [{name: DefaultSeccomp, defaultSeccomp: {type: Localhost}}]":                  "localhostProfile",
		"policies: [{name: DisallowHostPID}, {name: DisallowHostPID}]":                           "named twice",
		"policies: [{name: DisallowHostPID, action: Explode}]":                                   "none of Enforce",
		"sets: [{name: Some}]": `no set "Some"`,
		"sets: []":             "nothing is switched on",
		"polices: []":          `unknown field "spec.polices"`,
	} {
		loaded := compile(t, e, spec)
		if len(loaded.Problems) != 1 || !strings.Contains(loaded.Problems[0].Message, want) || loaded.Problems[0].InForce {
			t.Errorf("%s: %+v, want %q", spec, loaded.Problems, want)
		}
	}
	if loaded := compile(t, e, "policies: [{name: DisallowHostPID}]"); len(loaded.Policies) != 1 {
		t.Fatal(loaded)
	}
	if loaded := compile(t, e, "policies: [{name: Nothing}]"); len(loaded.Policies) != 1 || !loaded.Problems[0].InForce {
		t.Errorf("the last good one is gone: %+v", loaded)
	}
}

// Of pods of any shape: nothing panics, and what is said is the same twice.
func FuzzPods(f *testing.F) {
	for _, c := range cases {
		o, err := yaml.YAMLToJSON([]byte(c.object))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(o))
	}
	f.Add(`{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"image":7,"securityContext":[]}],"volumes":[{"hostPath":1},null],"hostNetwork":"yes"}}`)
	f.Add(`{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":[]},"spec":{"containers":"x"}}`)
	loaded := compile(f, builtin.New(builtin.Options{}), "sets: [{name: All}]")
	s := policy.NewSet(loaded.Policies, policy.Options{})
	f.Fuzz(func(t *testing.T, text string) {
		u := &unstructured.Unstructured{}
		if u.UnmarshalJSON([]byte(text)) != nil {
			return
		}
		kind := u.GroupVersionKind()
		ask := func() string {
			r := policy.NewRequest(admission.NewAttributesRecord(u, nil, kind, "shop", "x", schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "", admission.Create, nil, false, &user.DefaultInfo{}), nil, &cluster.Known{})
			mutated := s.Mutate(context.Background(), r)
			return mutated.Message() + s.Validate(context.Background(), r).Message()
		}
		first := ask()
		if strings.Contains(first, "panicked") {
			t.Fatalf("a policy panicked on %s: %s", text, first)
		}
		if again := ask(); again != first {
			t.Errorf("%s\nthen %s", first, again)
		}
	})
}

func BenchmarkAllPoliciesOfAPod(b *testing.B) {
	loaded := compile(b, builtin.New(builtin.Options{}), "sets: [{name: All}]\npolicies: [{name: TrustedRepositories, trustedRepositories: {images: ['registry.example.org/*']}}]")
	s := policy.NewSet(loaded.Policies, policy.Options{})
	good := object(b, pod(nonRoot, ""))
	known := there(b)
	b.ReportAllocs()
	for b.Loop() {
		if out := s.Validate(context.Background(), request(admission.Create, good, nil, "", known)); len(out.Denials) > 0 {
			b.Fatal(out.Message())
		}
	}
}

func patched(t *testing.T, o *unstructured.Unstructured, patch []byte) *unstructured.Unstructured {
	t.Helper()
	compiled, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		t.Fatal(err)
	}
	data, err := o.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if data, err = compiled.Apply(data); err != nil {
		t.Fatal(err)
	}
	after := &unstructured.Unstructured{}
	if err := after.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return after
}
