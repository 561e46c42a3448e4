package redact

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit/record"
)

// any is a value of JSON in which every text is planted or one of some words.
func anything(rng *rand.Rand, depth int) any {
	words := []string{"kind", "Secret", "SecretList", "data", "stringData", "metadata", "annotations", lastApplied, "items", "op", "path", "/data/x", "value", "ConfigMap", "password", "Table", "rows", "object", "Status", "message", "TokenReview", "spec", "status", "token", "List", "apiVersion", "v1", "x", "$patch", "password: x\n  y: z\n", pem, webToken}
	word := func() string { return words[rng.IntN(len(words))] }
	switch n := rng.IntN(10); {
	case depth > 0 && n < 4:
		m := map[string]any{}
		for range rng.IntN(5) {
			m[word()] = anything(rng, depth-1)
		}
		if rng.IntN(3) == 0 {
			m["kind"] = word()
		}
		return m
	case depth > 0 && n < 6:
		var list []any
		for range rng.IntN(4) {
			list = append(list, anything(rng, depth-1))
		}
		return list
	case depth > 0 && n == 6:
		text, _ := json.Marshal(anything(rng, depth-1))
		return string(text)
	case n == 7:
		return rng.IntN(100)
	case n == 8:
		return nil
	}
	return word()
}

// leaves are the texts of a Secret's data, wherever they stand.
func TestNothingOfASecretIsLeftWhateverIsAroundIt(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 4000 {
		value := anything(rng, 5)
		// A Secret goes somewhere into it.
		var hidden any = json.RawMessage(secretObject(`,"annotations":{"` + lastApplied + `":` + quoted(secretObject("")) + `}`))
		for range rng.IntN(4) {
			switch rng.IntN(4) {
			case 0:
				hidden = []any{value, hidden}
			case 1:
				hidden = map[string]any{"x" + strconv.Itoa(i): hidden, "metadata": value}
			case 2:
				hidden = map[string]any{"kind": "List", "items": []any{hidden}, "spec": value}
			case 3:
				text, _ := json.Marshal(hidden)
				hidden = map[string]any{"metadata": map[string]any{"annotations": map[string]any{lastApplied: string(text)}}}
			}
		}
		body, err := json.Marshal(hidden)
		if err != nil {
			t.Fatal(err)
		}
		resource := []string{"secrets", "configmaps", "things", "serviceaccounts/token"}[rng.IntN(4)]
		redacted(t, event([]string{"create", "patch"}[rng.IntN(2)], resource, string(body), string(body)))
		if t.Failed() {
			t.Fatalf("of %s: %s", resource, body)
		}
	}
}

// In the body of a request about a Secret nothing stays that is no name of a kind or a
// key, whatever it looks like.
func TestUnknownPatchesFailClosed(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 4000 {
		value := map[string]any{"member" + strconv.Itoa(rng.IntN(3)): []any{planted, anything(rng, 4)}, []string{"data", "$x", "spec", "op"}[rng.IntN(4)]: anything(rng, 4)}
		body, _ := json.Marshal([]any{value, value}[rng.IntN(2)])
		redacted(t, event("patch", "secrets", string(body), ""))
		list, _ := json.Marshal([]any{value})
		redacted(t, event("patch", "secrets", string(list), string(list)))
		if t.Failed() {
			t.Fatalf("of %s", body)
		}
	}
}

func FuzzEvent(f *testing.F) {
	f.Add("create", "secrets", secretObject(""), "/x?command=ls", "text", true)
	f.Add("patch", "configmaps", `[{"op":"add","path":"/data/a","value":"password: x\n y"}]`, "/x?token=a;b=%", "Bearer abcdefghijklmnop", false)
	f.Add("patch", "pods", "kind: Secret\ndata: {a: b}", "/proxy/a:b@c/token/x", pem, false)
	f.Add("get", "things", quoted(quoted(secretObject(""))), "/x?eyJhbGciOiJSUzI1NiJ9.eyJ", "https://a:b@c eyJhbGciOiJSUzI1NiJ9.eyJ", true)
	f.Fuzz(func(t *testing.T, verb, resource, body, uri, text string, both bool) {
		e := event(verb, resource, body, "")
		if both {
			e.Response = []byte(body)
		}
		e.URI, e.Message, e.UserAgent = uri, text, text
		e.Annotations = map[string]string{"a": text, "b": body}
		r := redactor()
		r.Event(e)
		if e.Request != nil && !json.Valid(e.Request) {
			t.Fatalf("the body %q becomes %q", body, e.Request)
		}
		once := record.AppendJSON(nil, e)
		again := *e
		r.Event(&again)
		if !reflect.DeepEqual(&again, e) {
			t.Fatalf("once:  %s\ntwice: %s", once, record.AppendJSON(nil, &again))
		}
	})
}

func BenchmarkMetadataEvent(b *testing.B) {
	r := redactor()
	b.ReportAllocs()
	for b.Loop() {
		e := event("get", "pods", "", "")
		e.UserAgent = "kubectl/v1.37.2 (linux/amd64) kubernetes/abcdef0"
		e.Annotations = map[string]string{"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": `RBAC: allowed by ClusterRoleBinding "system:basic-user" of ClusterRole "x" to Group "system:authenticated"`}
		r.Event(e)
	}
}

func BenchmarkSecretBody(b *testing.B) {
	r := redactor()
	body := secretObject(`,"annotations":{"` + lastApplied + `":` + quoted(secretObject("")) + `}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r.Event(event("create", "secrets", body, strings.Clone(body)))
	}
}
