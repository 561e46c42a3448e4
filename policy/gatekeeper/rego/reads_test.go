package rego_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/internal/parts"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/rego"
)

// pods are what the templates of the cases are about.
var pods = []string{
	`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-1", "generateName": "web-", "namespace": "shop", "uid": "a-b", "labels": {"app": "web", "zone": "a"}, "annotations": {"note": "x", "container.apparmor.security.beta.kubernetes.io/web": "unconfined"}},
	"spec": {"hostNetwork": false, "serviceAccountName": "default", "securityContext": {"runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}, "initContainers": [{"name": "init", "image": "registry.example.org/init:1", "securityContext": {"privileged": false}}],
	"containers": [{"name": "web", "image": "registry.example.org/web:1.2", "ports": [{"containerPort": 80, "hostPort": 80}], "env": [{"name": "A", "value": "b"}], "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}}, "securityContext": {"runAsNonRoot": true, "privileged": true, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}},
	"volumeMounts": [{"name": "kube-api-access-abcde", "mountPath": "/var/run", "readOnly": true}, {"name": "host", "mountPath": "/host"}]}, {"name": "side", "image": "nginx:latest", "resources": {"limits": {"memory": "1Gi"}}}],
	"volumes": [{"name": "kube-api-access-abcde", "projected": {"sources": []}}, {"name": "host", "hostPath": {"path": "/foo/bar"}}, {"name": "tmp", "emptyDir": {}}]}}`,
	`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "namespace": "lab"}, "spec": {"hostPID": true, "containers": [{"name": "one", "image": "docker.io/one@sha256:0123"}]}}`,
	`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "good", "namespace": "shop", "labels": {"app": "web", "owner": "jane"}}, "spec": {"containers": [{"name": "one", "image": "registry.example.org/one@sha256:0123456789012345678901234567890123456789012345678901234567890123", "livenessProbe": {"tcpSocket": {"port": 1}}, "resources": {"limits": {"cpu": 1, "memory": 1000}}, "securityContext": {"privileged": false, "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 200, "capabilities": {"drop": ["ALL"]}}}]}}`,
}

// containers and prefixes are what templates of libraries stand on.
const (
	containers = `
input_containers[c] { c := input.review.object.spec.containers[_] }
input_containers[c] { c := input.review.object.spec.initContainers[_] }
input_containers[c] { c := input.review.object.spec.ephemeralContainers[_] }
`
	exempts = `
is_exempt(container) { exempt_images := object.get(object.get(input, "parameters", {}), "exemptImages", []); img := container.image; exemption := exempt_images[_]; _matches_exemption(img, exemption) }
_matches_exemption(img, exemption) { not endswith(exemption, "*"); exemption == img }
_matches_exemption(img, exemption) { endswith(exemption, "*"); prefix := trim_suffix(exemption, "*"); startswith(img, prefix) }
`
	paths = `
path_matches(prefix, path) { a := path_array(prefix); b := path_array(path); prefix_matches(a, b) }
path_array(p) = out { p != "/"; out := split(trim(p, "/"), "/") }
path_array("/") = []
prefix_matches(a, b) { count(a) <= count(b); not any_not_equal_upto(a, b, count(a)) }
any_not_equal_upto(a, b, n) { a[i] != b[i]; i < n }
has_field(object, field) = true { object[field] }
`
	users = `
violation[{"msg": msg}] { fields := ["runAsUser", "runAsGroup"]; field := fields[_]; container := input_containers[_]; not is_exempt(container); msg := get_type_violation(field, container) }
get_type_violation(field, container) = msg { field == "runAsUser"; params := input.parameters[field]; msg := get_user_violation(params, container) }
get_type_violation(field, container) = msg { field != "runAsUser"; params := input.parameters[field]; msg := get_violation(field, params, container) }
get_user_violation(params, container) = msg { rule := params.rule; provided_user := get_field_value("runAsUser", container, input.review); not accept_users(rule, provided_user); msg := sprintf("Container %v is attempting to run as disallowed user %v. Allowed runAsUser: %v", [container.name, provided_user, params]) }
get_user_violation(params, container) = msg { not get_field_value("runAsUser", container, input.review); params.rule = "MustRunAs"; msg := sprintf("Container %v is attempting to run without a required securityContext/runAsUser", [container.name]) }
get_violation(field, params, container) = msg { rule := params.rule; provided_value := get_field_value(field, container, input.review); not accept_value(rule, provided_value, params.ranges); msg := sprintf("Container %v is attempting to run as disallowed group %v. Allowed %v: %v", [container.name, provided_value, field, params]) }
accept_users("RunAsAny", provided_user) { true }
accept_users("MustRunAsNonRoot", provided_user) = res { res := provided_user != 0 }
accept_users("MustRunAs", provided_user) = res { ranges := input.parameters.runAsUser.ranges; res := is_in_range(provided_user, ranges) }
accept_value("RunAsAny", provided_value, ranges) { true }
accept_value("MustRunAs", provided_value, ranges) = res { res := is_in_range(provided_value, ranges) }
is_in_range(val, ranges) = res { matching := {1 | val >= ranges[j].min; val <= ranges[j].max}; res := count(matching) > 0 }
get_field_value(field, container, review) = out { container_value := get_seccontext_field(field, container); out := container_value }
get_field_value(field, container, review) = out { not has_seccontext_field(field, container); review.kind.kind == "Pod"; pod_value := get_seccontext_field(field, review.object.spec); out := pod_value }
has_seccontext_field(field, obj) { get_seccontext_field(field, obj) }
has_seccontext_field(field, obj) { get_seccontext_field(field, obj) == false }
get_seccontext_field(field, obj) = out { out = obj.securityContext[field] }
` + containers + exempts
	limits = `
missing(obj, field) = true { not obj[field] }
missing(obj, field) = true { obj[field] == "" }
canonify_cpu(orig) = new { is_number(orig); new := orig * 1000 }
canonify_cpu(orig) = new { not is_number(orig); endswith(orig, "m"); new := to_number(replace(orig, "m", "")) }
canonify_cpu(orig) = new { not is_number(orig); not endswith(orig, "m"); re_match("^[0-9]+(\\.[0-9]+)?$", orig); new := to_number(orig) * 1000 }
violation[{"msg": msg}] { general_violation[{"msg": msg, "field": "containers"}] }
violation[{"msg": msg}] { general_violation[{"msg": msg, "field": "initContainers"}] }
general_violation[{"msg": msg, "field": field}] { container := input.review.object.spec[field][_]; not is_exempt(container); cpu_orig := container.resources.limits.cpu; not canonify_cpu(cpu_orig); msg := sprintf("container <%v> cpu limit <%v> could not be parsed", [container.name, cpu_orig]) }
general_violation[{"msg": msg, "field": field}] { container := input.review.object.spec[field][_]; not is_exempt(container); missing(container.resources.limits, "memory"); msg := sprintf("container <%v> has no memory limit", [container.name]) }
general_violation[{"msg": msg, "field": field}] { container := input.review.object.spec[field][_]; cpu := canonify_cpu(container.resources.limits.cpu); cpu > canonify_cpu(input.parameters.cpu); msg := sprintf("container <%v> cpu limit is too high", [container.name]) }
` + exempts
)

// readCases are templates, and what they read: of the object in both of its places, unless
// it says old. A ~ is for a shape; "?" says that it is not known.
var readCases = []struct {
	name, rego string
	parameters any
	want       string
}{
	// As test/bench/policy has them.
	{"host network", `violation[{"msg": "x"}] { input.review.object.spec.hostNetwork }`, nil, "object.spec.hostNetwork"},
	{"privileged", `violation[{"msg": "x"}] { input.review.object.spec.containers[_].securityContext.privileged }`, nil, "object.spec.containers[].securityContext.privileged object.spec.containers~"},
	{"escalation", `violation[{"msg": "x"}] { c := input.review.object.spec.containers[_]; not c.securityContext.allowPrivilegeEscalation == false }`, nil, "object.spec.containers[].securityContext.allowPrivilegeEscalation object.spec.containers~"},
	{"repositories", `violation[{"msg": "x"}] { c := input.review.object.spec.containers[_]; not startswith(c.image, "registry.example.org/") }`, nil, "object.spec.containers[].image object.spec.containers~"},
	{"latest", `violation[{"msg": "x"}] { endswith(input.review.object.spec.containers[_].image, ":latest") }`, nil, "object.spec.containers[].image object.spec.containers~"},
	{"limits", `violation[{"msg": "x"}] { c := input.review.object.spec.containers[_]; not c.resources.limits.memory }`, nil, "object.spec.containers[].resources.limits.memory object.spec.containers~"},
	{"label", `violation[{"msg": "x"}] { not input.review.object.metadata.labels.app }`, nil, "object.metadata.labels.app"},
	{"root", `violation[{"msg": "x"}] { c := input.review.object.spec.containers[_]; not c.securityContext.runAsNonRoot }`, nil, "object.spec.containers[].securityContext.runAsNonRoot object.spec.containers~"},

	// As libraries have them.
	{"host filesystem", `violation[{"msg": msg, "details": {}}] { volume := input_hostpath_volumes[_]; not input_hostpath_allowed(volume); msg := sprintf("HostPath volume %v is not allowed, pod: %v. Allowed path: %v", [volume, input.review.object.metadata.name, input.parameters.allowedHostPaths]) }
input_hostpath_allowed(volume) { input.parameters.allowedHostPaths == [] }
input_hostpath_allowed(volume) { allowedHostPath := input.parameters.allowedHostPaths[_]; path_matches(allowedHostPath.pathPrefix, volume.hostPath.path); not allowedHostPath.readOnly == true }
input_hostpath_allowed(volume) { allowedHostPath := input.parameters.allowedHostPaths[_]; path_matches(allowedHostPath.pathPrefix, volume.hostPath.path); allowedHostPath.readOnly; not writeable_input_volume_mounts(volume.name) }
writeable_input_volume_mounts(volume_name) { container := input_containers[_]; mount := container.volumeMounts[_]; mount.name == volume_name; not mount.readOnly }
input_hostpath_volumes[v] { v := input.review.object.spec.volumes[_]; has_field(v, "hostPath") }` + paths + containers,
		map[string]any{"allowedHostPaths": []any{map[string]any{"pathPrefix": "/foo", "readOnly": true}}}, "object.metadata.name~ object.spec.containers[].volumeMounts[].name object.spec.containers[].volumeMounts[].readOnly object.spec.containers[].volumeMounts~ object.spec.containers~ object.spec.ephemeralContainers[].volumeMounts[].name object.spec.ephemeralContainers[].volumeMounts[].readOnly object.spec.ephemeralContainers[].volumeMounts~ object.spec.ephemeralContainers~ object.spec.initContainers[].volumeMounts[].name object.spec.initContainers[].volumeMounts[].readOnly object.spec.initContainers[].volumeMounts~ object.spec.initContainers~ object.spec.volumes[].hostPath.path object.spec.volumes[].hostPath~ object.spec.volumes[].name object.spec.volumes~"},
	{"repository prefixes", `violation[{"msg": msg}] { container := input.review.object.spec.containers[_]; satisfied := [good | repo = input.parameters.repos[_]; good = startswith(container.image, repo)]; not any(satisfied); msg := sprintf("container <%v> has an invalid image repo <%v>, allowed repos are %v", [container.name, container.image, input.parameters.repos]) }`,
		map[string]any{"repos": []any{"registry.example.org/"}}, "object.spec.containers[].image object.spec.containers[].name~ object.spec.containers~"},
	{"required labels", `violation[{"msg": msg, "details": {"missing_labels": missing}}] { provided := {label | input.review.object.metadata.labels[label]}; required := {label | label := input.parameters.labels[_].key}; missing := required - provided; count(missing) > 0; msg := get_message(sprintf("you must provide labels: %v of %v", [missing, input.review.object.metadata.name])) }
get_message(_default) = msg { not input.parameters.message; msg := _default }
get_message(_) = input.parameters.message`,
		map[string]any{"labels": []any{map[string]any{"key": "app"}}}, "object.metadata.labels[]~ object.metadata.labels~ object.metadata.name"},
	{"label values", `violation[{"msg": msg}] { value := input.review.object.metadata.labels[key]; expected := input.parameters.labels[_]; expected.key == key; expected.allowedRegex != ""; not regex.match(expected.allowedRegex, value); msg := sprintf("Label <%v: %v>", [key, value]) }`,
		map[string]any{"labels": []any{map[string]any{"key": "app", "allowedRegex": "^w"}}}, "object.metadata.labels[] object.metadata.labels~"},
	{"capabilities", `violation[{"msg": msg}] { container := input.review.object.spec.containers[_]; not is_exempt(container); has_disallowed_capabilities(container); msg := sprintf("container <%v> has a disallowed capability", [container.name]) }
violation[{"msg": msg}] { container := input.review.object.spec.containers[_]; not is_exempt(container); missing_drop_capabilities(container); msg := sprintf("container <%v> is not dropping all required capabilities", [container.name]) }
has_disallowed_capabilities(container) { allowed := {c | c := lower(input.parameters.allowedCapabilities[_])}; not allowed["*"]; capabilities := {c | c := lower(container.securityContext.capabilities.add[_])}; count(capabilities - allowed) > 0 }
missing_drop_capabilities(container) { must_drop := {c | c := lower(input.parameters.requiredDropCapabilities[_])}; all := {"all"}; dropped := {c | c := lower(container.securityContext.capabilities.drop[_])}; count(must_drop - dropped) > 0; count(all - dropped) > 0 }` + exempts,
		map[string]any{"allowedCapabilities": []any{"NET_ADMIN"}, "requiredDropCapabilities": []any{"ALL"}, "exemptImages": []any{"nginx*"}}, "object.spec.containers[].image object.spec.containers[].name~ object.spec.containers[].securityContext.capabilities.add[] object.spec.containers[].securityContext.capabilities.add~ object.spec.containers[].securityContext.capabilities.drop[] object.spec.containers[].securityContext.capabilities.drop~ object.spec.containers~"},
	{"image digests", `violation[{"msg": msg}] { container := input.review.object.spec[["containers", "initContainers"][_]][_]; not is_exempt(container); not regex.match("@[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$", container.image); msg := sprintf("container <%v> uses an image without a digest <%v>", [container.name, container.image]) }` + exempts, nil, "object.spec.containers[].image object.spec.containers[].name~ object.spec.containers~ object.spec.initContainers[].image object.spec.initContainers[].name~ object.spec.initContainers~"},
	{"container limits", limits, map[string]any{"cpu": "50m", "exemptImages": []any{"nginx*"}}, "object.spec[][].image object.spec[][].name~ object.spec[][].resources.limits.cpu object.spec[][].resources.limits.memory object.spec[]~ object.spec~"},
	{"privileged containers", `violation[{"msg": msg, "details": {}}] { c := input_containers[_]; not is_exempt(c); c.securityContext.privileged; msg := sprintf("Privileged container is not allowed: %v, securityContext: %v", [c.name, c.securityContext]) }` + containers + exempts, map[string]any{"exemptImages": []any{"registry.example.org/*"}}, "object.spec.containers[].image object.spec.containers[].name~ object.spec.containers[].securityContext.privileged object.spec.containers~ object.spec.ephemeralContainers[].image object.spec.ephemeralContainers[].name~ object.spec.ephemeralContainers[].securityContext.privileged object.spec.ephemeralContainers~ object.spec.initContainers[].image object.spec.initContainers[].name~ object.spec.initContainers[].securityContext.privileged object.spec.initContainers~"},
	{"users", users, map[string]any{"runAsUser": map[string]any{"rule": "MustRunAs", "ranges": []any{map[string]any{"min": int64(100), "max": int64(200)}}}, "runAsGroup": map[string]any{"rule": "MustRunAs", "ranges": []any{}}}, "object.spec.containers[].image object.spec.containers[].name object.spec.containers[].securityContext.runAsGroup object.spec.containers[].securityContext.runAsUser object.spec.containers~ object.spec.ephemeralContainers[].image object.spec.ephemeralContainers[].name object.spec.ephemeralContainers[].securityContext.runAsGroup object.spec.ephemeralContainers[].securityContext.runAsUser object.spec.ephemeralContainers~ object.spec.initContainers[].image object.spec.initContainers[].name object.spec.initContainers[].securityContext.runAsGroup object.spec.initContainers[].securityContext.runAsUser object.spec.initContainers~ object.spec.securityContext.runAsGroup object.spec.securityContext.runAsUser"},
	{"host namespaces", `violation[{"msg": msg}] { share(input.review.object); msg := sprintf("not allowed: %v", [input.review.object.metadata.name]) }
share(o) { o.spec.hostPID }
share(o) { o.spec.hostIPC }`, nil, "object.metadata.name~ object.spec.hostIPC object.spec.hostPID"},
	{"host ports", `violation[{"msg": "x"}] { bad(input.review.object) }
bad(o) { not input.parameters.hostNetwork; o.spec.hostNetwork }
bad(_) { hostPort := input_containers[_].ports[_].hostPort; hostPort > input.parameters.max }` + containers, map[string]any{"max": int64(10)}, "object.spec.containers[].ports[].hostPort object.spec.containers[].ports~ object.spec.containers~ object.spec.ephemeralContainers[].ports[].hostPort object.spec.ephemeralContainers[].ports~ object.spec.ephemeralContainers~ object.spec.hostNetwork object.spec.initContainers[].ports[].hostPort object.spec.initContainers[].ports~ object.spec.initContainers~"},
	{"volume types", `violation[{"msg": msg}] { fields := {x | input.review.object.spec.volumes[_][x]; x != "name"}; not allowed(fields); msg := sprintf("One of the volume types %v is not allowed, pod: %v", [fields, input.review.object.metadata.name]) }
allowed(_) { input.parameters.volumes[_] == "*" }
allowed(fields) { rest := fields - {x | x = input.parameters.volumes[_]}; count(rest) == 0 }`, map[string]any{"volumes": []any{"projected", "emptyDir"}}, "object.metadata.name~ object.spec.volumes[][]~ object.spec.volumes[]~ object.spec.volumes~"},
	{"probes", `violation[{"msg": msg}] { container := input.review.object.spec.containers[_]; probe := input.parameters.probes[_]; not container[probe]; msg := message(container, input.review, probe) }
message(container, review, probe) = msg { msg := sprintf("Container <%v> in your <%v> <%v> has no <%v>", [container.name, review.kind.kind, review.object.metadata.name, probe]) }`, map[string]any{"probes": []any{"livenessProbe"}}, "object.metadata.name~ object.spec.containers[].name~ object.spec.containers[][]~ object.spec.containers[]~ object.spec.containers~"},
	{"apparmor", `violation[{"msg": msg}] { c := input_containers[_]; annotation := sprintf("container.apparmor.security.beta.kubernetes.io/%v", [c.name]); profile := object.get(input.review.object.metadata, ["annotations", annotation], "runtime/default"); not allowed(profile); msg := sprintf("%v %v", [c.name, profile]) }
allowed(p) { p == input.parameters.allowed[_] }` + containers, map[string]any{"allowed": []any{"runtime/default"}}, "object.metadata.annotations[] object.metadata.annotations~ object.metadata~ object.spec.containers[].name object.spec.containers~ object.spec.ephemeralContainers[].name object.spec.ephemeralContainers~ object.spec.initContainers[].name object.spec.initContainers~"},
	{"https only", `violation[{"msg": msg}] { input.review.kind.kind == "Pod"; ingress := input.review.object; not complete(ingress); msg := sprintf("%v", [ingress.metadata.name]) }
complete(ingress) { ingress.spec["tls"]; count(ingress.spec.tls) > 0; ingress.metadata.annotations["kubernetes.io/ingress.allow-http"] == "false" }`, nil, "object.metadata.annotations.kubernetes.io/ingress.allow-http object.metadata.name~ object.spec.tls"},

	// In the words of v1.
	{"v1 some and every", `v1|violation contains {"msg": msg} if { some c in input.review.object.spec.containers; every m in c.volumeMounts { m.readOnly }; not c.name in {"side"}; msg := sprintf("%v of %v", [c.image, input.review.object.metadata.name]) }`, nil, "object.metadata.name~ object.spec.containers[].image~ object.spec.containers[].name object.spec.containers[].volumeMounts[].readOnly object.spec.containers[].volumeMounts~ object.spec.containers~"},
	{"v1 object.get", `v1|violation contains {"msg": "x"} if { c := all_containers[_]; object.get(c, ["securityContext", "privileged"], true) == true; object.get(c, "env", []) != [] }
all_containers contains c if some c in input.review.object.spec.containers`, nil, "object.spec.containers[].env object.spec.containers[].securityContext.privileged object.spec.containers[]~ object.spec.containers~"},
	{"v1 comprehension", `v1|violation contains {"msg": msg, "details": {"of": bad}} if { bad := {c.name | some c in input.review.object.spec.containers; not is_string(c.resources.limits.memory)}; count(bad) > 0; msg := sprintf("%v", [bad]) }`, nil, "object.spec.containers[].name object.spec.containers[].resources.limits.memory~ object.spec.containers~"},
	{"v1 list", `v1|violation contains {"msg": "x"} if { bad := [c | some c in input.review.object.spec.containers; not c.livenessProbe]; count(bad) > 1 }`, nil, "object.spec.containers[].livenessProbe object.spec.containers~"},

	// What must not be missed.
	{"the request", `violation[{"msg": "x"}] { input.review.userInfo.username != "system:admin"; input.review.operation == "UPDATE"; not input.review.dryRun; input.review.namespace != "kube-system" }`, nil, "request.dryRun request.namespace request.userInfo.username"},
	{"the namespace", `violation[{"msg": msg}] { not input.review.namespaceObject.metadata.labels.app; msg := sprintf("%v", [input.review.namespaceObject.metadata.name]) }`, nil, "namespace.metadata.labels.app namespace.metadata.name~"},
	{"the old object", `violation[{"msg": "x"}] { input.review.oldObject.spec.hostPID != input.review.object.spec.hostPID }`, nil, "object.spec.hostPID"},
	{"contradiction", `spec = s { s := input.review.object.spec }
spec = s { s := input.review.object.metadata }
violation[{"msg": "x"}] { spec.nothing }`, nil, "object.metadata object.spec"},
	{"contradiction over some", `image = c.image { c := input.review.object.spec.containers[_] }
violation[{"msg": "x"}] { image; false }`, nil, "object.spec.containers[].image object.spec.containers~"},
	{"number of a set", `violation[{"msg": "x"}] { s := {c.name | c := input.review.object.spec.containers[_]}; count(s) < 2 }`, nil, "object.spec.containers[].name object.spec.containers~"},
	{"number of a text", `violation[{"msg": "x"}] { count(input.review.object.metadata.name) > 4 }`, nil, "object.metadata.name"},
	{"order of a set", `violation[{"msg": "x"}] { s := {c | c := input.review.object.spec.containers[_]}; l := [c.image | c := s[_]]; startswith(l[0], "nginx") }`, nil, "object.spec.containers[] object.spec.containers~"},
	{"what is looked for", `violation[{"msg": "x"}] { s := {c.name | c := input.review.object.spec.containers[_]}; s[input.review.object.metadata.name] }`, nil, "object.metadata.name object.spec.containers[].name object.spec.containers~"},
	{"a message that is looked at", `violation[{"msg": msg}] { m := sprintf("%v", [input.review.object.metadata.name]); msg := concat("", [m, "x"]) }`, nil, "object.metadata.name"},
	{"a message that is compared", `violation[{"msg": msg}] { msg := sprintf("%v", [input.review.object.metadata.name]); msg != "good" }`, nil, "object.metadata.name"},
	{"a variable of two comprehensions", `violation[{"msg": "x"}] { a := {1 | input.review.object.metadata.labels[x] == "web"}; b := {1 | x = "zone"}; count(a) + count(b) > 1 }`, nil, "object.metadata.labels[] object.metadata.labels~"},
	{"a set that is gone over until an error", `violation[{"msg": "x"}] { s := {c | c := input.review.object.spec.containers[_]}; not good(s) }
good(s) { c := s[_]; of(c.image) == 1 }
of(image) = 1 { startswith(image, "registry") }
of(image) = 2 { contains(image, "one") }`, nil, "object.spec.containers[] object.spec.containers~"},
	{"parameters that are one", `violation[{"msg": "x"}] { same(input.review.object.metadata.name, input.review.object.metadata.labels.app) }
same(x, x) = true`, nil, "object.metadata.labels.app object.metadata.name"},
	{"a field that is one with a parameter", `violation[{"msg": "x"}] { has(input.review.object.metadata.labels.app) }
has(p) { found[{"msg": _, "of": p}] }
found[{"msg": "a", "of": v}] { v := input.review.object.metadata.name }`, nil, "object.metadata.labels.app object.metadata.name"},
	{"keys of both", `violation[{"msg": "x"}] { input.review.object.metadata.labels[k] == input.review.object.metadata.annotations[k] }`, nil, "object.metadata.annotations[] object.metadata.annotations~ object.metadata.labels[] object.metadata.labels~"},
	{"head without msg", `violation[v] { v := input.review.object.spec.volumes[_] }`, nil, "object.spec.volumes[] object.spec.volumes~"},
	{"the review", `violation[{"msg": "x"}] { is_bad(input.review) }
is_bad(r) { r.object.spec.hostPID; r.name }`, nil, "object.spec.hostPID request.name"},
	{"the whole review", `violation[{"msg": "x"}] { walk(input.review, [_, "nginx"]) }`, nil, "?"},
	{"the clock", `violation[{"msg": "x"}] { time.now_ns() > input.review.object.spec.deadline }`, nil, "?"},
	{"the inventory", `violation[{"msg": "x"}] { data.inventory.cluster.v1.Namespace[_] }`, nil, "?"},
	{"another input", `violation[{"msg": "x"}] { bad with input as {"review": {"object": {"a": 1}}} }
bad { input.review.object.a }`, nil, "?"},
	{"an unknown field", `violation[{"msg": "x"}] { input.review.other }`, nil, "?"},
	{"a name it makes up", `violation[{"msg": "x"}] { input.review[input.parameters.field].a }`, nil, "?"},
}

// TestReads says what templates read.
func TestReads(t *testing.T) {
	c, err := rego.NewCompiler(rego.Options{Without: forbidden})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range readCases {
		p, err := c.Compile(&template("Read", one.rego).Spec.Targets[0])
		if err != nil {
			t.Errorf("%s: %v", one.name, err)
			continue
		}
		got := "?"
		if reads, ok := p.Reads(); ok {
			texts := parts.Texts(reads)
			got = strings.Join(slices.DeleteFunc(slices.Clone(texts), func(text string) bool {
				of, ok := strings.CutPrefix(text, "old")
				return ok && slices.Contains(texts, "object"+of)
			}), " ")
		}
		if got != one.want {
			t.Errorf("%s:\n got %q\nwant %q", one.name, got, one.want)
		}
	}
}
