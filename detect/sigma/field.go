package sigma

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// typed are the fields of an event that are texts. The map is never written to.
var typed = map[string]string{
	"verb": "event.verb", "stage": "event.stage", "level": "event.level", "auditID": "event.auditID", "requestURI": "event.requestURI", "userAgent": "event.userAgent",
	"user.username": "event.user.username", "user.uid": "event.user.uid", "impersonatedUser.username": "event.impersonatedUser.username",
	"objectRef.resource": "event.objectRef.resource", "objectRef.subresource": "event.objectRef.subresource", "objectRef.namespace": "event.objectRef.namespace",
	"objectRef.name": "event.objectRef.name", "objectRef.apiGroup": "event.objectRef.apiGroup", "objectRef.apiVersion": "event.objectRef.apiVersion",
	"responseStatus.status": "event.responseStatus.status", "responseStatus.reason": "event.responseStatus.reason", "responseStatus.message": "event.responseStatus.message",
	"annotations.authorization.k8s.io/decision": "event.decision", "annotations.authorization.k8s.io\\/decision": "event.decision",
}

// codes are the fields that are numbers, and lists those that are lists of texts.
const code = "responseStatus.code"

var lists = map[string]string{
	"user.groups": "event.user.groups", "impersonatedUser.groups": "event.impersonatedUser.groups", "sourceIPs": "event.sourceIPs", "sourceIPs[]": "event.sourceIPs",
}

// meant are fields that rules name without the way to them.
var meant = map[string]string{
	"apiGroup": "objectRef.apiGroup", "resource": "objectRef.resource", "subresource": "objectRef.subresource", "namespace": "objectRef.namespace",
	"username": "user.username", "groups": "user.groups", "code": code, "name": "objectRef.name",
}

// probably are fields of a pod that rules name as if they were of the event.
var probably = map[string]string{
	"hostPath": "requestObject.spec.volumes.hostPath", "capabilities": "requestObject.spec.containers.securityContext.capabilities",
	"privileged": "requestObject.spec.containers.securityContext.privileged", "hostNetwork": "requestObject.spec.hostNetwork",
}

// many are members of objects that are lists.
var many = []string{
	"containers", "initContainers", "ephemeralContainers", "volumes", "volumeMounts", "rules", "subjects", "webhooks", "verbs", "resources", "apiGroups", "resourceNames",
	"nonResourceURLs", "ports", "args", "command", "env", "add", "drop", "ownerReferences", "externalIPs", "tls", "tolerations", "imagePullSecrets", "usages", "groups",
}

var member = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// wrap makes of a comparison with v one with a field.
type wrap func(comparison string) string

// fieldOf is how a field is compared, and what must be noted of it.
func fieldOf(name string) (w wrap, number bool, note string, err error) {
	if m, ok := meant[name]; ok {
		w, number, _, err = fieldOf(m)
		return w, number, fmt.Sprintf("%s is no field of an audit event; %s is meant", name, m), err
	}
	if t, ok := typed[name]; ok {
		return func(c string) string { return strings.ReplaceAll(c, hole, t) }, false, "", nil
	}
	if name == code {
		return func(c string) string { return strings.ReplaceAll(c, hole, "event.responseStatus.code") }, true, "", nil
	}
	if l, ok := lists[name]; ok {
		return func(c string) string { return l + ".exists(v, " + strings.ReplaceAll(c, hole, "v") + ")" }, false, "", nil
	}
	first, rest, _ := strings.Cut(name, ".")
	switch {
	case first == "annotations" && rest != "":
		key := strings.ReplaceAll(rest, `\/`, "/")
		return func(c string) string {
			return "(" + quoted(key) + " in event.annotations && " + strings.ReplaceAll(c, hole, "event.annotations["+quoted(key)+"]") + ")"
		}, false, "", nil
	case (first == "requestObject" || first == "responseObject") && rest != "":
		w, err = bodyField(first, rest)
		return w, false, "", err
	}
	if p, ok := probably[name]; ok {
		return nil, false, "", fmt.Errorf("it can never fire: no audit event has the field %s; %s is probably meant", name, p)
	}
	return nil, false, "", fmt.Errorf("it can never fire: no audit event has the field %s", name)
}

// hole stands in a comparison where the field goes.
const hole = "\x00"

// bodyField goes through objects and lists.
func bodyField(body, rest string) (wrap, error) {
	names := strings.Split(rest, ".")
	if len(names) > 12 {
		return nil, fmt.Errorf("the field %s.%s goes too deep", body, rest)
	}
	for i, n := range names {
		names[i] = strings.TrimSuffix(strings.TrimSuffix(n, "[*]"), "[]")
		if !member.MatchString(names[i]) {
			return nil, fmt.Errorf("the field %s.%s is not translated", body, rest)
		}
	}
	root := "object"
	if body == "responseObject" {
		root = "event.?responseObject"
	}
	return func(c string) string { return through(root, names, 0, c) }, nil
}

func through(from string, names []string, depth int, comparison string) string {
	path := from
	for i, n := range names {
		path += ".?" + n
		if slices.Contains(many, n) {
			v := fmt.Sprintf("x%d", depth)
			below := names[i+1:]
			if len(below) == 0 {
				return "dyn(" + path + ".orValue([])).exists(" + v + ", " + strings.ReplaceAll(comparison, hole, "string("+v+")") + ")"
			}
			return "dyn(" + path + ".orValue([])).exists(" + v + ", " + through(v, below, depth+1, comparison) + ")"
		}
	}
	// An object that is there is something too.
	value := "string(" + path + ".value())"
	if comparison == there {
		return path + ".hasValue()"
	}
	return "(" + path + ".hasValue() && " + strings.ReplaceAll(comparison, hole, value) + ")"
}

// there is the comparison that asks for no value.
const there = hole + ` != ""`
