package falco

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/gatehouse-io/gatehouse/detect"
)

// field is a field of Falco as CEL: a text, or a list of texts.
type field struct {
	cel  string
	list bool
}

const (
	podSpec   = "pod"
	someTexts = ".filter(x, x != null).map(x, string(x))"
)

// of is a member of every container, as a list of texts.
func ofContainers(path string) field {
	return field{"containers.filter(c, c." + optional(path) + ".hasValue() && c." + optional(path) + ".value() != null).map(c, string(c." + optional(path) + ".value()))", true}
}

// optional is a path each of whose members may be missing.
func optional(path string) string { return "?" + strings.ReplaceAll(path, ".", ".?") }

func ofPod(path string) field {
	return field{"[" + podSpec + "." + optional(path) + "].filter(x, x.hasValue() && x.value() != null).map(x, string(x.value()))", true}
}

func ofObject(path string) field {
	return field{"string(object." + optional(path) + `.orValue(""))`, false}
}

// ofRules is a list in every rule of a role.
func ofRules(name string) field {
	return field{"object.?rules.orValue([]).map(r, r.?" + name + ".orValue([])).flatten()" + someTexts, true}
}

// fields are those that are translated. The map is never written to.
var fields = map[string]field{
	"ka.auditid": {"event.auditID", false}, "ka.stage": {"event.stage", false}, "ka.verb": {"event.verb", false}, "ka.uri": {"event.requestURI", false},
	"ka.user.name": {"event.user.username", false}, "ka.user.groups": {"event.user.groups", true}, "ka.impuser.name": {"event.impersonatedUser.username", false},
	"ka.auth.decision": {"event.decision", false}, "ka.auth.reason": {`(("authorization.k8s.io/reason" in event.annotations) ? event.annotations["authorization.k8s.io/reason"] : "")`, false},
	"ka.target.name": {"event.objectRef.name", false}, "ka.target.namespace": {"event.objectRef.namespace", false}, "ka.target.resource": {"event.objectRef.resource", false},
	"ka.target.subresource": {"event.objectRef.subresource", false}, "ka.target.pod.name": {`(event.objectRef.resource == "pods" ? event.objectRef.name : "")`, false},
	"ka.useragent": {"event.userAgent", false}, "ka.sourceips": {"event.sourceIPs", true},
	"ka.response.code": {`(event.responseStatus.code == 0 ? "" : string(event.responseStatus.code))`, false}, "ka.response.reason": {"event.responseStatus.reason", false},
	"ka.resp.name": {`string(event.?responseObject.?metadata.?name.orValue(""))`, false},

	"ka.req.binding.role": ofObject("roleRef.name"), "ka.req.configmap.name": ofObject("metadata.name"), "ka.req.service.type": ofObject("spec.type"),
	"ka.req.binding.subjects":     {"object.?subjects.orValue([]).map(s, string(s.?name.orValue(\"\")))", true},
	"ka.req.role.rules":           {"object.?rules.orValue([]).map(r, string(r.?verbs.orValue([]).size()))", true},
	"ka.req.role.rules.apiGroups": ofRules("apiGroups"), "ka.req.role.rules.nonResourceURLs": ofRules("nonResourceURLs"), "ka.req.role.rules.verbs": ofRules("verbs"),
	"ka.req.role.rules.resources": ofRules("resources"),
	"ka.req.pod.host_ipc":         ofPod("hostIPC"), "ka.req.pod.host_network": ofPod("hostNetwork"), "ka.req.pod.host_pid": ofPod("hostPID"),
	"ka.req.pod.fs_group": ofPod("securityContext.fsGroup"), "ka.req.pod.run_as_user": ofPod("securityContext.runAsUser"), "ka.req.pod.run_as_group": ofPod("securityContext.runAsGroup"),
	"ka.req.pod.volumes.hostpath": {"pod.?volumes.orValue([]).map(v, string(v.?hostPath.?path.orValue(\"\"))).filter(x, x != \"\")", true},
	"ka.req.pod.containers.image": ofContainers("image"), "ka.req.pod.containers.privileged": ofContainers("securityContext.privileged"),
	"ka.req.pod.containers.image.repository":           {`containers.map(c, string(c.?image.orValue(""))).filter(x, x != "").map(x, x.split("@")[0]).map(x, x.split("/").size() > 0 && x.split("/")[x.split("/").size() - 1].contains(":") ? x.substring(0, x.lastIndexOf(":")) : x)`, true},
	"ka.req.pod.containers.host_port":                  {"containers.map(c, c.?ports.orValue([])).flatten().map(p, string(p.?hostPort.orValue(\"\"))).filter(x, x != \"\")", true},
	"ka.req.pod.containers.read_only_fs":               ofContainers("securityContext.readOnlyRootFilesystem"),
	"ka.req.pod.containers.allow_privilege_escalation": ofContainers("securityContext.allowPrivilegeEscalation"),
	"ka.req.pod.containers.run_as_user":                ofContainers("securityContext.runAsUser"), "ka.req.pod.containers.run_as_group": ofContainers("securityContext.runAsGroup"),
	"ka.req.pod.containers.add_capabilities": {"containers.map(c, c.?securityContext.?capabilities.?add.orValue([])).flatten()" + someTexts, true},
	"ka.req.pod.containers.command":          {"containers.map(c, c.?command.orValue([])).flatten()" + someTexts, true},
	"ka.req.pod.containers.args":             {"containers.map(c, c.?args.orValue([])).flatten()" + someTexts, true},
}

// bodies are the objects whose whole text rules look into.
var bodies = map[string]string{"ka.req.configmap.obj": "data"}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// fieldOf translates a field.
func fieldOf(name string) (field, error) {
	if f, ok := fields[name]; ok {
		return f, nil
	}
	if of, ok := bodies[name]; ok {
		return field{"(object.?" + of + ".hasValue() && object." + of + " != null ? object." + of + ".map(k, string(k) + \"=\" + string(object." + of + "[k])) : [])", true}, nil
	}
	if pointer, ok := strings.CutPrefix(name, "jevt.value["); ok {
		return pointed(strings.TrimSuffix(pointer, "]"))
	}
	if key, ok := strings.CutPrefix(name, "ka.uri.param["); ok {
		key = strings.TrimSuffix(key, "]")
		return field{`(event.requestURI.contains("?") ? event.requestURI.split("?")[1].split("&").filter(p, p.startsWith(` + detect.Quoted(key+"=") + `)).map(p, p.substring(` + fmt.Sprint(len([]rune(key))+1) + `)) : [])`, true}, nil
	}
	return field{}, fmt.Errorf("no audit event has the field %s", name)
}

// typed are the members of an event that have types.
var typed = map[string]string{
	"/stage": "event.stage", "/verb": "event.verb", "/requestURI": "event.requestURI", "/user/username": "event.user.username", "/userAgent": "event.userAgent",
	"/level": "event.level", "/auditID": "event.auditID", "/objectRef/resource": "event.objectRef.resource", "/objectRef/name": "event.objectRef.name",
	"/objectRef/namespace": "event.objectRef.namespace", "/objectRef/subresource": "event.objectRef.subresource", "/objectRef/apiGroup": "event.objectRef.apiGroup",
	"/responseStatus/code": fields["ka.response.code"].cel, "/responseStatus/reason": "event.responseStatus.reason", "/impersonatedUser/username": "event.impersonatedUser.username",
	"/annotations/authorization.k8s.io~1decision": "event.decision",
}

// pointed translates a JSON pointer into the event.
func pointed(pointer string) (field, error) {
	if cel, ok := typed[pointer]; ok {
		return field{cel, false}, nil
	}
	if below, ok := strings.CutPrefix(pointer, "/requestObject/"); ok {
		names := strings.Split(below, "/")
		for _, n := range names {
			if !plainName.MatchString(n) {
				return field{}, fmt.Errorf("the pointer %s is not translated", pointer)
			}
		}
		return ofObject(strings.Join(names, ".")), nil
	}
	return field{}, fmt.Errorf("the pointer %s is not translated", pointer)
}
