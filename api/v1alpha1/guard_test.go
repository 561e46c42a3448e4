package v1alpha1

import (
	"strings"
	"testing"
)

func TestGuardSchema(t *testing.T) {
	validate := validatorOf(t, crd(t, "Guard"))
	const who = `subjects: {groups: [devs]}, reason: frozen`
	for _, c := range []struct {
		name, spec string
		// want is part of the error; "" accepts.
		want string
	}{
		{"resource", `{` + who + `, resources: [secrets]}`, ""},
		{"all but secrets", `{` + who + `, exceptResources: [secrets]}`, ""},
		{"every form of resource", `{` + who + `, resources: ["*", pods, pods/exec, "pods/*", "*/scale"]}`, ""},
		{"paths", `{` + who + `, nonResourceURLs: ["*", /metrics, /debug/*]}`, ""},
		{"core group", `{` + who + `, apiGroups: ["", apps]}`, ""},
		{"everybody", `{subjects: {all: true}, except: {users: [root]}, reason: frozen, resources: ["*"]}`, ""},
		{"service accounts", `{subjects: {serviceAccounts: [{namespace: ci, name: "*"}]}, reason: frozen, resources: ["*"]}`, ""},
		{"selector", `{` + who + `, namespaceSelector: {matchLabels: {env: prod}}}`, ""},
		{"window", `{` + who + `, resources: ["*"], windows: [{days: [Friday], start: "18:00", timeZone: Europe/Berlin}, {end: "24:00"}]}`, ""},
		{"instants", `{` + who + `, resources: ["*"], windows: [{notBefore: "2026-01-02T03:04:05Z", notAfter: "2026-01-03T03:04:05Z"}]}`, ""},

		{"nothing refused", `{` + who + `}`, "say what is refused"},
		{"verbs alone", `{` + who + `, verbs: [get]}`, "say what is refused"},
		{"nobody", `{subjects: {}, reason: frozen, resources: [pods]}`, "name at least one"},
		{"empty lists", `{subjects: {users: []}, reason: frozen, resources: [pods]}`, "name at least one"},
		{"all is false", `{subjects: {all: false}, reason: frozen, resources: [pods]}`, "name at least one"},
		{"no subjects", `{reason: frozen, resources: [pods]}`, "spec.subjects"},
		{"no reason", `{subjects: {all: true}, resources: [pods]}`, "spec.reason"},
		{"empty reason", `{subjects: {all: true}, resources: [pods], reason: ""}`, "spec.reason"},
		{"except all", `{` + who + `, resources: [pods], except: {all: true}}`, "excepts everybody"},
		{"a star for a user", `{subjects: {users: ["*"]}, reason: frozen, resources: [pods]}`, "spec.subjects.users"},
		{"a star for a group", `{subjects: {groups: ["*"]}, reason: frozen, resources: [pods]}`, "spec.subjects.groups"},
		{"empty user", `{subjects: {users: [""]}, reason: frozen, resources: [pods]}`, "spec.subjects.users"},
		{"service account of every namespace", `{subjects: {serviceAccounts: [{namespace: "*", name: a}]}, reason: frozen, resources: [pods]}`, "serviceAccounts"},
		{"part of a resource", `{` + who + `, resources: ["pod*"]}`, "spec.resources"},
		{"every resource but every resource", `{` + who + `, exceptResources: ["*"]}`, "spec.exceptResources"},
		{"every form of resource excepted", `{` + who + `, exceptResources: [pods, pods/exec, "pods/*", "*/scale"]}`, ""},
		{"every verb excepted", `{` + who + `, resources: [pods], exceptVerbs: ["*"]}`, "spec.exceptVerbs"},
		{"two slashes", `{` + who + `, resources: ["pods/log/x"]}`, "spec.resources"},
		{"empty list of resources", `{` + who + `, resources: []}`, "spec.resources"},
		{"relative path", `{` + who + `, nonResourceURLs: [metrics]}`, "spec.nonResourceURLs"},
		{"mode", `{` + who + `, resources: [pods], mode: warn}`, "spec.mode"},
		{"empty window", `{` + who + `, resources: [pods], windows: [{timeZone: UTC}]}`, "set at least one of days"},
		{"window without length", `{` + who + `, resources: [pods], windows: [{start: "09:00", end: "09:00"}]}`, "start and end are the same"},
		{"whole day by its ends", `{` + who + `, resources: [pods], windows: [{start: "00:00", end: "24:00"}]}`, ""},
		{"window the wrong way round", `{` + who + `, resources: [pods], windows: [{notBefore: "2026-01-03T03:04:05Z", notAfter: "2026-01-02T03:04:05Z"}]}`, "notAfter must lie after"},
		{"short day", `{` + who + `, resources: [pods], windows: [{days: [Fri]}]}`, "windows[0].days"},
		{"no time of day", `{` + who + `, resources: [pods], windows: [{start: "24:00"}]}`, "windows[0].start"},
		{"time zone that is a path", `{` + who + `, resources: [pods], windows: [{start: "09:00", timeZone: ../etc}]}`, "windows[0].timeZone"},
		{"long reason", `{subjects: {all: true}, resources: [pods], reason: "` + strings.Repeat("x", 1025) + `"}`, "spec.reason"},
	} {
		t.Run(c.name, func(t *testing.T) { checkSpec(t, validate, "Guard", c.spec, c.want) })
	}
}

func TestVirtualKindsSchema(t *testing.T) {
	for _, c := range []struct{ kind, spec, want string }{
		{"RequestReview", `{resourceAttributes: {verb: get, resource: pods, namespace: shop}}`, ""},
		{"RequestReview", `{user: anna, groups: [devs], extra: {team: [a, b]}, nonResourceAttributes: {verb: get, path: /metrics}}`, ""},
		{"RequestReview", `{user: anna}`, "exactly one of resourceAttributes"},
		{"RequestReview", `{resourceAttributes: {verb: get}, nonResourceAttributes: {verb: get, path: /}}`, "exactly one of resourceAttributes"},
		{"RequestReview", `{groups: [devs], resourceAttributes: {verb: get}}`, "need user"},
		{"SubjectsReview", `{verb: get, resource: secrets, namespace: shop, name: db, limit: 5000}`, ""},
		{"SubjectsReview", `{verb: get, nonResourceURL: /metrics}`, ""},
		{"SubjectsReview", `{resource: secrets}`, "spec.verb"},
		{"SubjectsReview", `{verb: get}`, "exactly one of resource and nonResourceURL"},
		{"SubjectsReview", `{verb: get, nonResourceURL: /metrics, namespace: shop}`, "need resource"},
		{"SubjectsReview", `{verb: get, resource: pods, limit: 5001}`, "spec.limit"},
		{"AccessList", `{}`, ""},
		{"AccessList", `{user: anna, groups: [devs], namespace: shop}`, ""},
		{"AccessList", `{serviceAccount: {namespace: shop, name: web}}`, ""},
		{"AccessList", `{user: anna, serviceAccount: {namespace: shop, name: web}}`, "set serviceAccount, or user"},
	} {
		t.Run(c.kind+c.spec, func(t *testing.T) { checkSpec(t, validatorOf(t, crd(t, c.kind)), c.kind, c.spec, c.want) })
	}
}
