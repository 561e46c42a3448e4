package abac

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// world makes random policy files and requests that have something to do with them.
type world struct{ *rand.Rand }

func newWorld(a, b uint64) world { return world{rand.New(rand.NewPCG(a, b))} }

func (w world) of(list []string) string { return list[w.IntN(len(list))] }

// once is true one time in n.
func (w world) once(n int) bool { return w.IntN(n) == 0 }

var (
	users      = []string{"", "*", "ann", "bob", "system:anonymous", "Ann"}
	groups     = []string{"", "*", "devs", "ops", "system:authenticated", "system:unauthenticated"}
	namespaces = []string{"", "*", "shop", "kube-system"}
	resources  = []string{"", "*", "pods", "secrets"}
	apiGroups  = []string{"", "*", "apps", "batch"}
	paths      = []string{"", "*", "**", "/", "/*", "/healthz", "/healthz*", "/api/*", "/api/**", "/a*i", "api*"}
	verbs      = []string{"", "get", "list", "watch", "create", "delete", "GET", "*"}
	asked      = []string{"", "*", "/", "/healthz", "/healthz/etcd", "/api", "/api/", "/api/v1", "/a*i", "api"}
)

// field is one key of a JSON object with its value as it is written.
type field struct{ key, value string }

func object(fields []field) string {
	var b strings.Builder
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", f.key, f.value)
	}
	return "{" + b.String() + "}"
}

func (w world) spec(old bool) []field {
	var all []field
	some := func(key string, values []string) {
		if !w.once(4) {
			all = append(all, field{key, fmt.Sprintf("%q", w.of(values))})
		}
	}
	some("user", users)
	some("group", groups)
	some("namespace", namespaces)
	some("resource", resources)
	if !old || w.once(8) {
		some("apiGroup", apiGroups)
		some("nonResourcePath", paths)
	}
	if !w.once(3) {
		all = append(all, field{"readonly", w.of([]string{"true", "false"})})
	}
	w.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// policy is a line that is written as it should be.
func (w world) policy() string {
	switch w.IntN(8) {
	case 0, 1, 2:
		return object(w.spec(true))
	case 3:
		return w.internal()
	case 4:
		return object(append([]field{{"apiVersion", `"` + groupName + `/v0"`}, {"kind", `"Policy"`}}, w.spec(true)...))
	}
	return w.v1beta1(w.spec(false))
}

func (w world) v1beta1(spec []field) string {
	return object([]field{{"apiVersion", `"` + groupName + `/v1beta1"`}, {"kind", `"Policy"`}, {"spec", object(spec)}})
}

func (w world) internal() string {
	spec := w.spec(false)
	names := map[string]string{"apiGroup": "APIGroup", "nonResourcePath": "NonResourcePath"}
	for i := range spec {
		key := spec[i].key
		if name := names[key]; name != "" {
			spec[i].key = name
		} else {
			spec[i].key = strings.ToUpper(key[:1]) + key[1:]
		}
	}
	return object([]field{{"apiVersion", `"` + groupName + `/__internal"`}, {"kind", `"Policy"`}, {"Spec", object(spec)}})
}

var (
	values   = []string{`null`, `1`, `1.5`, `true`, `""`, `"x"`, `[]`, `["ann"]`, `{}`, `"\u0000"`, `"\ud800"`, "\"\xff\"", `1e99`}
	versions = []string{`""`, `"v1"`, `"v0"`, `"v1beta1"`, `"` + groupName + `"`, `"` + groupName + `/"`, `"` + groupName + `/v1"`,
		`"` + groupName + `/v0"`, `"` + groupName + `/v1beta1"`, `"` + groupName + `/__internal"`, `"a/b/c"`, `"/"`, `"/v0"`, `null`, `1`, `{}`}
	kindsOf = []string{`""`, `"Policy"`, `"policy"`, `"PolicyList"`, `"Pod"`, `"List"`, `null`, `7`, `[]`}
	wholes  = []string{`{}`, `null`, `~`, `---`, `...`, `--- {}`, `[]`, `[{}]`, `"ann"`, `ann`, `1`, `true`, `user: ann`, `{user: ann}`,
		`user: [ann]`, `- user: ann`, `!!map {}`, `&a {b: *a}`, `*a`, `%YAML 1.2`, `user: ann # whole`, "user: ann\t", `user: yes`, `readonly: yes`,
		`readonly: on`, `"user": "ann", "group": "devs"`, `{"user":"ann"}{"user":"bob"}`, `{"user":"ann"}]`, `{"user":"ann"},`, `{"user":"ann"} # c`,
		"k8s\x00", "k8s\x00\x0a\x00", "k8s\x00\x0a\x04\x0a\x00\x12\x00", "\xef\xbb\xbf{}", "\xff", "\u0085{}", "\u00a0", "\u2028", "\x00", "{\"user\":\"ann\x00\"}",
		`{"spec":{"user":"ann"}}`, `{"kind":"Policy","spec":{"user":"ann"}}`, `{"User":"ann","READONLY":true}`, `{"user":"ann","user":"bob"}`,
		`{"user":"ann","readonly":"true"}`, `apiVersion: ` + groupName + `/v1beta1`, `{"apiversion":"` + groupName + `/v1beta1","KIND":"Policy","spec":{"user":"*"}}`,
		`{apiVersion: ` + groupName + `/v1beta1, kind: Policy, spec: {user: ann}}`, `"apiVersion": "` + groupName + `/v1beta1"`, `<<: {user: ann}`,
		`? user`, `user: ann`, `'user': ann`, `user: |`, `{"user":{"a":1}}`, `{"a":{"b":[[[[{}]]]]}}`, "{\r", "\r", "#", " # user: ann", `{"#":1}`}
)

// odd is a line that is not as it should be, but may be taken for a policy.
func (w world) odd() string {
	if w.once(4) {
		return w.of(wholes)
	}
	spec := w.spec(false)
	if w.once(3) && len(spec) > 0 {
		at := w.IntN(len(spec))
		switch w.IntN(4) {
		case 0:
			spec[at].value = w.of(values)
		case 1:
			spec = append(spec, field{spec[at].key, w.of(values)})
		case 2:
			spec[at].key = strings.ToUpper(spec[at].key)
		default:
			spec = append(spec, field{w.of([]string{"verbs", "readOnly", "", "apigroup", "spec"}), w.of(values)})
		}
	}
	fields := []field{{"apiVersion", `"` + groupName + `/v1beta1"`}, {"kind", `"Policy"`}, {"spec", object(spec)}}
	if w.once(3) {
		fields = append(fields[:2], spec...)
	}
	if w.once(3) {
		fields[0].value = w.of(versions)
	}
	if w.once(3) {
		fields[1].value = w.of(kindsOf)
	}
	for w.once(2) {
		at := w.IntN(len(fields))
		switch w.IntN(5) {
		case 0:
			fields = append(fields[:at:at], fields[at+1:]...)
			if len(fields) == 0 {
				return "{}"
			}
		case 1:
			fields = append(fields, fields[at])
		case 2:
			fields[at].key = strings.ToUpper(fields[at].key)
		case 3:
			fields[at].value = w.of(values)
		default:
			fields = append(fields, field{"metadata", `{"name":"x"}`})
		}
	}
	line := object(fields)
	switch w.IntN(12) {
	case 0:
		return "[" + line + "]"
	case 1:
		return line[:w.IntN(len(line))]
	case 2:
		return line + w.of([]string{" ", "}", "{}", " x", "//", "\t\r", "#"})
	case 3:
		at := w.IntN(len(line))
		return strings.ReplaceAll(line[:at]+string([]byte{byte(w.IntN(256))})+line[at+1:], "\n", " ")
	}
	return line
}

// file has lines of every kind; most are policies, since one bad line spoils it.
// Now and then it is long.
func (w world) file() string {
	var b strings.Builder
	lines := w.IntN(12)
	if w.once(8) {
		lines = 10 * long
	}
	for range lines {
		switch {
		case lines > 12:
			b.WriteString(w.policy())
		case w.once(12):
			b.WriteString(w.of([]string{"", " ", "# a comment", "\t# another", "#{}"}))
		case w.once(25):
			b.WriteString(w.odd())
		default:
			b.WriteString(w.of([]string{"", "", "", " ", "\t"}) + w.policy())
		}
		b.WriteString(w.of([]string{"\n", "\n", "\n", "\r\n"}))
	}
	return b.String()
}

func (w world) user() user.Info {
	if w.once(40) {
		return nil
	}
	u := &user.DefaultInfo{Name: w.of(users)}
	if !w.once(4) {
		u.Groups = []string{} // nil is asked too
		for range w.IntN(4) {
			u.Groups = append(u.Groups, w.of(groups))
		}
	}
	return u
}

func (w world) request() authorizer.AttributesRecord {
	a := authorizer.AttributesRecord{User: w.user(), Verb: w.of(verbs), ResourceRequest: !w.once(3)}
	if a.ResourceRequest || w.once(4) {
		a.Namespace, a.Resource, a.APIGroup = w.of(namespaces), w.of(resources), w.of(apiGroups)
		a.Subresource, a.Name = w.of([]string{"", "log"}), w.of([]string{"", "x"})
	}
	if !a.ResourceRequest || w.once(4) {
		a.Path = w.of(asked)
	}
	return a
}
