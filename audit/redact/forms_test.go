package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/record"
)

// planted stands in every place that must not be told. It is a word that no rule knows.
const planted = "hunter2correcthorse"

var (
	plantedBase64 = base64.StdEncoding.EncodeToString([]byte(planted))
	webToken      = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ" + planted + ".sig" + planted
	pem           = "-----BEGIN RSA PRIVATE KEY-----\n" + planted + "\n" + planted + "\n-----END RSA PRIVATE KEY-----\n"
	bootstrap     = "abc123.hunter2correctho"
)

// told are what may not be found in what comes out.
var told = []string{planted, plantedBase64, url.QueryEscape(planted), "hunter2", base64.StdEncoding.EncodeToString([]byte(pem))[40:60]}

func redactor() *Redactor { return New(Options{Key: []byte("a key of the installation")}) }

// event is one event with a body, about a resource.
func event(verb, resource, request, response string) *audit.Event {
	e := &audit.Event{ID: "id", Stage: audit.StageComplete, Time: time.Unix(1, 0).UTC(), Verb: verb, APIVersion: "v1", Code: 200, URI: "/api/v1/namespaces/shop/" + resource}
	e.Resource, e.Subresource, _ = strings.Cut(resource, "/")
	if request != "" {
		e.Request = []byte(request)
	}
	if response != "" {
		e.Response = []byte(response)
	}
	return e
}

// redacted redacts an event, and fails where anything that was planted is left, where what
// comes out is no JSON, or where redacting it again changes it.
func redacted(t *testing.T, e *audit.Event) *audit.Event {
	t.Helper()
	r := redactor()
	r.Event(e)
	out := record.AppendJSON(nil, e)
	for _, word := range told {
		if at := bytes.Index(out, []byte(word)); at >= 0 {
			t.Errorf("%q is left in …%s", word, out[max(at-200, 0):min(at+60, len(out))])
			break
		}
	}
	for name, body := range map[string][]byte{"request": e.Request, "response": e.Response} {
		if body != nil && !json.Valid(body) {
			t.Errorf("%s is no JSON: %s", name, body)
		}
	}
	again := *e
	r.Event(&again)
	if !reflect.DeepEqual(&again, e) {
		t.Errorf("redacting it again gives\n%s, not\n%s", record.AppendJSON(nil, &again), out)
	}
	return e
}

func quoted(s string) string { b, _ := json.Marshal(s); return string(b) }

func secretObject(inner string) string {
	return `{"apiVersion":"v1","data":{"password":"` + plantedBase64 + `"},"kind":"Secret","metadata":{"name":"db","namespace":"shop"` + inner + `},"stringData":{"user":"` + planted + `"},"type":"Opaque"}`
}

func TestSecretsInEveryForm(t *testing.T) {
	applied := `,"annotations":{"kubectl.kubernetes.io/last-applied-configuration":` + quoted(secretObject("")) + `}`
	whole := secretObject(applied)
	for name, body := range map[string]string{
		"object":                 whole,
		"escaped keys":           strings.NewReplacer(`"data"`, `"d\u0061ta"`, `"kind"`, `"k\u0069nd"`, `"stringData"`, `"string\u0044ata"`).Replace(whole),
		"other letters":          strings.NewReplacer(`"data"`, `"Data"`, `"kind"`, `"Kind"`, `"Secret"`, `"SECRET"`, `"stringData"`, `"StringData"`).Replace(whole),
		"kind twice":             strings.Replace(whole, `"kind":"Secret"`, `"kind":"Secret","kind":"Table"`, 1),
		"data twice":             strings.Replace(whole, `"kind"`, `"data":{"a":"`+planted+`"},"kind"`, 1),
		"list of kind":           `{"kind":"SecretList","apiVersion":"v1","items":[{"metadata":{"name":"a"},"data":{"k":"` + plantedBase64 + `"}}]}`,
		"list":                   `{"kind":"List","apiVersion":"v1","items":[{"kind":"Pod"},` + whole + `]}`,
		"table":                  `{"kind":"Table","apiVersion":"meta.k8s.io/v1","columnDefinitions":[{"name":"Name"}],"rows":[{"cells":["db","Opaque",1,"5d"],"object":` + whole + `}]}`,
		"watch event":            `{"type":"ADDED","object":` + whole + `}`,
		"merge patch":            `{"data":{"password":"` + plantedBase64 + `","old":null}}`,
		"strategic patch":        `{"$setElementOrder/data":["` + planted + `"],"stringData":{"$patch":"replace","a":"` + planted + `"},"metadata":{"annotations":{"a":"b"}}}`,
		"unknown patch":          `{"$what":{"ever":["` + planted + `",{"x":"` + planted + `"}]},"spec":"` + planted + `","type":{"a":"` + planted + `"}}`,
		"json patch":             `[{"op":"replace","path":"/data/password","value":"` + plantedBase64 + `"},{"op":"add","path":"/stringData","value":{"a":"` + planted + `"}},{"op":"test","path":"/data","value":{"a":["` + planted + `"]}}]`,
		"json patch of all":      `[{"op":"add","path":"","value":` + whole + `}]`,
		"json patch of metadata": `[{"op":"add","path":"/metadata","value":{"name":"x"` + applied + `}},{"op":"add","path":"/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration","value":` + quoted(secretObject("")) + `}]`,
		"json patch of notes":    `[{"op":"add","path":"/metadata/annotations","value":{"kubectl.kubernetes.io/last-applied-configuration":` + quoted(secretObject("")) + `}}]`,
		"json patch, path twice": `[{"op":"add","path":"/metadata/name","path":"/data/x","value":"` + planted + `"}]`,
		"json patch, no path":    `[{"op":"add","value":"` + planted + `"},"` + planted + `",["` + planted + `"]]`,
		"json patch, other keys": `[{"op":"add","path":"/type","VALUE":{"a":"` + planted + `"},"more":"` + planted + `"}]`,
		"number and truth":       `{"kind":"Secret","data":{"a":{"b":["` + planted + `"]}}}`,
		"text":                   quoted(whole),
		"status":                 `{"kind":"Status","code":422,"message":"Secret \"db\" is invalid: data: Invalid value: \"` + planted + `\"","details":{"name":"db","causes":[{"message":"` + planted + `"}]},"data":"` + planted + `"}`,
		"long annotation":        `{"kind":"Secret","metadata":{"annotations":{"tool.io/applied":"` + strings.Repeat("x", 300) + planted + `","b":"H4sIAAAA` + planted + `","c":{"a":"` + planted + `"}}}}`,
		"annotations as text":    `{"kind":"Secret","metadata":{"annotations":"` + planted + `"}}`,
		"broken last-applied":    `{"kind":"Secret","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":` + quoted(secretObject("")[:80]) + `}}}`,
		"not JSON":               whole[:60],
		"twice embedded":         secretObject(`,"annotations":{"kubectl.kubernetes.io/last-applied-configuration":` + quoted(whole) + `}`),
	} {
		t.Run(name, func(t *testing.T) {
			for _, verb := range []string{"create", "update", "patch", "get"} {
				redacted(t, event(verb, "secrets", body, body))
				redacted(t, event(verb, "secrets", body, ""))
			}
		})
	}
	// And where the request is about something else.
	for name, body := range map[string]string{
		"object":                whole,
		"list":                  `{"kind":"List","items":[` + whole + `]}`,
		"deep":                  `{"kind":"Bundle","spec":{"objects":[[` + whole + `]]}}`,
		"last-applied of other": `{"kind":"Thing","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":` + quoted(`{"kind":"Thing","spec":{"secret":`+whole+`}}`) + `}}}`,
		"last-applied broken":   `{"kind":"Thing","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":` + quoted(secretObject("")[:80]) + `}}}`,
		"patch of last-applied": `[{"op":"add","path":"/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration","value":` + quoted(`{"spec":`+whole+`}`) + `}]`,
		"template":              `{"kind":"Deployment","spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":` + quoted(whole) + `}}}}}`,
		"manifest in text":      `{"kind":"HelmChart","spec":{"set":` + quoted("apiVersion: v1\nkind: Secret\ndata:\n  a: "+plantedBase64+"\n") + `}}`,
		"manifest in JSON text": `{"kind":"HelmChart","spec":{"set":` + quoted("x "+whole) + `}}`,
		"annotation":            `{"kind":"Thing","metadata":{"annotations":{"tool.io/original":` + quoted(whole) + `}}}`,
	} {
		t.Run("elsewhere/"+name, func(t *testing.T) { redacted(t, event("patch", "things", body, body)) })
	}
}

func TestApplyInYAML(t *testing.T) {
	yaml := "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  password: " + plantedBase64 + "\nstringData: {user: " + planted + "}\n"
	e := redacted(t, event("patch", "secrets", yaml, ""))
	if got := string(e.Request); !strings.Contains(got, `"name":"db"`) || !strings.Contains(got, `"password":"`+whySecret) {
		t.Errorf("got %s", got)
	}
	e = redacted(t, event("patch", "deployments", "kind: Deployment\nspec:\n  replicas: 3\n", ""))
	if got := string(e.Request); got != `{"kind":"Deployment","spec":{"replicas":3}}` {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{"a: [" + planted, "a: 1\na: " + planted, planted, "- " + planted, "\xd9\xd9\xf7" + planted, "%", "\t" + planted} {
		if e := redacted(t, event("patch", "secrets", bad, "")); string(e.Request) != string(dropped) {
			t.Errorf("%q: got %s", bad, e.Request)
		}
	}
	if e := redacted(t, event("create", "pods", "kind: Pod\nspec: "+planted, "")); string(e.Request) != string(dropped) {
		t.Errorf("YAML that is no patch: got %s", e.Request)
	}
}

func TestTokens(t *testing.T) {
	request := `{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","metadata":{"name":"build"},"spec":{"audiences":["vault"],"expirationSeconds":3600,"boundObjectRef":{"kind":"Pod","name":"p","uid":"u"}},"status":{"token":"` + planted + `","expirationTimestamp":null}}`
	e := redacted(t, event("create", "serviceaccounts/token", request, request))
	if want := strings.Replace(request, planted, whyToken, 1); string(e.Response) != want {
		t.Errorf("got %s, want %s", e.Response, want)
	}
	review := `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"` + planted + `","audiences":["a"]},"status":{"authenticated":true,"user":{"username":"jane","groups":["dev"]},"error":"bad ` + planted + `"}}`
	e = redacted(t, event("create", "tokenreviews", review, review))
	if !strings.Contains(string(e.Response), `"username":"jane"`) {
		t.Errorf("the user is gone: %s", e.Response)
	}
	for _, body := range []string{
		request, review, `{"spec":{"token":"` + planted + `"}}`, `{"kind":"Other","TOKEN":"` + planted + `"}`, `"` + planted + `"`, `["` + planted + `"]`, `[{"op":"add","path":"/status/token","value":"` + planted + `"}]`,
		`{"kind":"ExecCredential","status":{"token":"` + planted + `","clientKeyData":"` + planted + `"}}`, `{"items":[{"spec":{"x":"` + planted + `"}}]}`,
	} {
		redacted(t, event("create", "serviceaccounts/token", body, body))
		redacted(t, event("patch", "tokenreviews", body, body))
	}
	for _, body := range []string{request, review, `{"kind":"Thing","items":[` + review + `]}`, `{"kind":"ExecCredential","status":{"token":"` + planted + `","clientKeyData":"` + planted + `"}}`,
		`{"kind":"OAuthClient","secret":"` + planted + `"}`, `{"kind":"Thing","status":{"token":"` + planted + `"}}`, `{"kind":"Thing","spec":{"adminPassword":"` + planted + `","api-key":"` + planted + `"}}`} {
		redacted(t, event("create", "things", body, body))
	}
	e = event("get", "oauthaccesstokens", "", `{"kind":"OAuthAccessToken","metadata":{"name":"`+planted+`"}}`)
	e.APIGroup, e.Name, e.URI = "oauth.openshift.io", planted, "/apis/oauth.openshift.io/v1/oauthaccesstokens/"+planted
	redacted(t, e)
}

func TestConfigMaps(t *testing.T) {
	body := `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c"},"data":{"db.password":"` + planted + `","LOG_LEVEL":"debug","config.json":` +
		quoted(`{"host":"h","password":"`+planted+`"}`) + `,"app.properties":` + quoted("host=h\ndb.password="+planted+"\nport=1\n") + `,"app.yaml":` +
		quoted("host: h\ndb:\n  token: "+planted+"\n  secretBlock: |\n    "+planted+"\n    more "+planted+"\n  port: 1\n") + `,"tls":` + quoted("cert\n"+pem+"rest") + `,"kube.conf":` +
		quoted("users:\n- user:\n    client-key-data: "+plantedBase64+"\n    token: "+planted+"\n") + `,"broken.json":` + quoted(`{"a": {{ .x }}, "password": "`+planted+`"`) + `},"binaryData":{"server.key":"` + plantedBase64 + `"}}`
	e := redacted(t, event("create", "configmaps", body, body))
	for _, kept := range []string{`"LOG_LEVEL":"debug"`, `host=h\n`, `port=1`, `host: h`, `port: 1`, `cert\n`, `\"host\":\"h\"`} {
		if !strings.Contains(string(e.Request), kept) {
			t.Errorf("%s is gone from %s", kept, e.Request)
		}
	}
	for _, patch := range []string{`{"data":{"password":"` + planted + `"}}`, `[{"op":"add","path":"/data/db.password","value":"` + planted + `"}]`, `[{"op":"add","path":"/data/a.properties","value":` + quoted("x.secret="+planted) + `}]`,
		`[{"op":"add","path":"/data","value":{"api_key":"` + planted + `"}}]`, `{"kind":"ConfigMap","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":` + quoted(body) + `}}}`} {
		redacted(t, event("patch", "configmaps", patch, ""))
	}
	redacted(t, event("create", "lists", `{"kind":"List","items":[`+body+`]}`, ""))
	for _, manifest := range []string{"apiVersion: v1\nkind: Secret\ndata:\n  a: " + plantedBase64 + "\n", "---\nstringData: {a: " + planted + "}\nkind: Secret\n", "H4sIAAAA" + planted, base64.StdEncoding.EncodeToString([]byte("H4sI")) + planted, "x " + secretObject("")} {
		redacted(t, event("create", "configmaps", `{"kind":"ConfigMap","data":{"release":`+quoted(manifest)+`}}`, ""))
	}
}

func TestTexts(t *testing.T) {
	for _, text := range []string{
		pem, "x " + pem + " y " + pem, pem[:60], webToken, "token " + webToken + ".", "Authorization: Bearer " + planted, "bearer " + planted + `"`, "Basic " + plantedBase64,
		"kubeadm join --token " + bootstrap + " x", "see https://jane:" + planted + "@git.example.com/x", base64.StdEncoding.EncodeToString([]byte(pem)),
		"couldn't unmarshal: error found in #10 byte of ...|" + planted + "|..., bigger context ...|" + planted,
	} {
		e := event("get", "pods", "", "")
		e.Message, e.UserAgent = text, text
		e.Annotations = map[string]string{"authorization.k8s.io/reason": text, "webhook.io/note": text}
		if strings.Contains(text, "error found") {
			e.UserAgent, e.Annotations = "", nil
		}
		redacted(t, e)
	}
	for _, text := range []string{pem, base64.StdEncoding.EncodeToString([]byte(pem)), webToken} {
		redacted(t, event("create", "things", `{"kind":"Thing","spec":{"a":[`+quoted(text)+`]}}`, ""))
		redacted(t, event("create", "pods", `{"kind":"Pod","spec":{"containers":[{"args":[`+quoted(text)+`]}]}}`, ""))
	}
	for _, code := range []int32{0, 200, 400, 403, 415, 422, 500} {
		e := event("create", "secrets", "", "")
		e.Code, e.Message = code, `admission webhook "w" denied the request: data.password is "`+planted+`"`
		redacted(t, e)
	}
	e := event("get", "secrets", "", "")
	e.Code, e.Message = 403, `secrets "db" is forbidden: User "jane" cannot get resource "secrets"`
	was := e.Message
	if redacted(t, e); e.Message != was {
		t.Errorf("got %q", e.Message)
	}
}

func TestAnnotationsOfEvents(t *testing.T) {
	patch := `{"configuration":"c","webhook":"w","patch":[{"op":"add","path":"/data/app.properties","value":` + quoted("db.password="+planted) + `},{"op":"add","path":"/data/password","value":"` + planted + `"}],"patchType":"JSONPatch"}`
	for _, resource := range []string{"secrets", "configmaps", "serviceaccounts/token"} {
		e := event("create", resource, "", "")
		e.Annotations = map[string]string{"patch.webhook.admission.k8s.io/round_0_index_0": patch, "authorization.k8s.io/decision": "allow"}
		shared := e.Annotations
		if redacted(t, e); e.Annotations["authorization.k8s.io/decision"] != "allow" {
			t.Errorf("%s: the decision is gone", resource)
		}
		if shared["patch.webhook.admission.k8s.io/round_0_index_0"] != patch {
			t.Errorf("%s: the map of the event was changed, and others may share it", resource)
		}
	}
	e := event("create", "secrets", "", "")
	e.Annotations = map[string]string{"validation.policy.admission.k8s.io/validation_failure": `[{"message":"` + planted + `"}]`, "w.io/x": "{" + planted, "w.io/y": planted + strings.Repeat(" ", 300)}
	redacted(t, e)
}

func TestURIs(t *testing.T) {
	const exec = "/api/v1/namespaces/shop/pods/p/exec?"
	for _, uri := range []string{
		exec + "command=" + planted, exec + "container=c&command=sh&command=-c&command=echo+" + planted + "&stdin=true", exec + "%63ommand=" + planted, exec + "command=%" + planted, exec + "%zz=" + planted, exec + "COMMAND=" + planted + "#" + "x",
		exec + "a=b;command=" + planted,
		"/api/v1/nodes/n/proxy/exec/ns/p/c?command=" + planted, "/api/v1/nodes/n/proxy/run/ns/p/c?cmd=" + planted,
		"/x?token=" + planted, "/x?access_token=" + planted + "&a=b", "/x?id_token=" + planted, "/x?X-Amz-Signature=" + planted, "/x?api-key=" + planted, "/x?client%5Fsecret=" + planted, "/x?password=" + planted, "/x?code=" + planted + "&state=1",
		"/x?a=" + webToken, "/x?" + webToken, "/x?u=" + url.QueryEscape("https://jane:"+planted+"@h/"), "/x?h=" + url.QueryEscape("Bearer "+planted), "/x?t=" + bootstrap,
		"/api/v1/namespaces/n/services/s/proxy/jane:" + planted + "@h/x", "/api/v1/namespaces/n/services/s/proxy/http://jane:" + planted + "@h/x", "/api/v1/namespaces/n/services/s/proxy/v1/token/" + planted, "/api/v1/namespaces/n/services/s/proxy/" + webToken + "/x",
	} {
		e := event("get", "pods/exec", "", "")
		e.URI = uri
		redacted(t, e)
	}
	for _, uri := range []string{
		"", "/", "/healthz", "/api/v1/pods?limit=500&resourceVersion=0", "/api/v1/pods?labelSelector=app%3Dweb%2Ctier+in+%28a%29&continue=abc", "/api/v1/namespaces/n/pods/p/log?container=c&tailLines=5",
		"/apis/user.openshift.io/v1/users/jane@example.com", "/api/v1/namespaces/n/services/https:s:443/proxy/api/v1/query?query=up", "/apis/x/v1/secretstores/token", exec + "container=c&stdin=true&tty=true", "/x?watch&y", "/x?a=%zz",
	} {
		if got := redactor().uri(uri); got != uri {
			t.Errorf("%s becomes %s", uri, got)
		}
	}
}

func TestEqualCommandsStayEqual(t *testing.T) {
	r, other := redactor(), New(Options{Key: []byte("another")})
	a, b := r.uri("/p/exec?command=cat%20/etc/shadow"), r.uri("/q/exec?command=cat+%2Fetc%2Fshadow")
	if _, a, _ := strings.Cut(a, "command="); !strings.HasSuffix(b, a) || !strings.HasPrefix(a, HashMarker) {
		t.Errorf("%s and %s", a, b)
	}
	if other.uri("/p/exec?command=ls") == r.uri("/p/exec?command=ls") {
		t.Error("the hash does not depend on the key")
	}
	if got := New(Options{}).uri("/p/exec?command=ls"); got != "/p/exec?command="+whyCommand {
		t.Errorf("without a key: %s", got)
	}
	for _, fake := range []string{HashMarker + "ls", Marker + "ls", HashMarker + strings.Repeat("Z", hashLength)} {
		if got := r.hash(fake); got == fake {
			t.Errorf("%s hides as a marker", fake)
		}
	}
	e := redacted(t, event("create", "pods/exec", `{"kind":"PodExecOptions","command":["sh","`+planted+`",1],"container":"c"}`, ""))
	if !strings.Contains(string(e.Request), HashMarker) || !strings.Contains(string(e.Request), `"container":"c"`) {
		t.Errorf("got %s", e.Request)
	}
}

// TestEnvironment takes out values that stand beside a name like a credential's.
func TestEnvironment(t *testing.T) {
	container := `{"name":"c","env":[{"name":"DB_PASSWORD","value":"` + planted + `"},{"value":"` + planted + `","name":"api-token"},{"name":"EMPTY_SECRET","value":""},{"name":"LOG_LEVEL","value":"info"}],` +
		`"livenessProbe":{"httpGet":{"httpHeaders":[{"name":"Authorization","value":"Basic ` + planted + `"}]}}}`
	for name, body := range map[string]string{
		"a pod":        `{"kind":"Pod","spec":{"containers":[` + container + `]}}`,
		"a deployment": `{"kind":"Deployment","spec":{"template":{"spec":{"initContainers":[` + container + `]}}}}`,
		"a merge":      `{"spec":{"template":{"spec":{"containers":[` + container + `]}}}}`,
		"a JSON patch": `[{"op":"add","path":"/spec/template/spec/containers/-","value":` + container + `}]`,
		"a variable":   `[{"op":"add","path":"/spec/containers/0/env/-","value":{"name":"TOKEN","value":"` + planted + `"}}, {"op":"add","path":"/spec/containers/0/env/-","value":{"name":"EMPTY_SECRET","value":""}}, {"op":"add","path":"/spec/containers/0/env/-","value":{"name":"LOG_LEVEL","value":"info"}}]`,
	} {
		e := event("patch", "deployments", body, "")
		got := string(redacted(t, e).Request)
		if strings.Contains(got, planted) || !strings.Contains(got, `{"name":"EMPTY_SECRET","value":""}`) || !strings.Contains(got, `{"name":"LOG_LEVEL","value":"info"}`) {
			t.Errorf("%s becomes %s", name, got)
		}
	}
}

func TestWhatReplayNeedsStays(t *testing.T) {
	certificate := base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"))
	for resource, body := range map[string]string{
		"clusterroles":        `{"kind":"ClusterRole","metadata":{"name":"r","annotations":{"a":"b"}},"rules":[{"apiGroups":[""],"resources":["secrets","serviceaccounts/token"],"verbs":["get"],"resourceNames":["token","password"]}]}`,
		"clusterrolebindings": `{"kind":"ClusterRoleBinding","roleRef":{"kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"kind":"User","name":"https://idp.example.com#jane"},{"kind":"ServiceAccount","name":"token","namespace":"n"}]}`,
		"pods": `{"kind":"Pod","metadata":{"labels":{"token":"a","password":"b"}},"spec":{"nodeSelector":{"token":"x"},"containers":[{"name":"c","image":"reg/abc123.abcdefabcdefabcd:1","command":["sh","-c","curl https://u:p@h"],"env":[{"name":"LOG_LEVEL","value":"literal"},{"name":"DB_PASSWORD","valueFrom":{"secretKeyRef":{"name":"s","key":"password"}}},{"name":"DB_PASSWORD_FILE","value":"/run/db"},{"name":"X","valueFrom":{"secretKeyRef":{"name":"s","key":"token"}}}],"volumeMounts":[{"name":"v","mountPath":"/secret"}]}],` +
			`"volumes":[{"name":"v","secret":{"secretName":"s"}},{"name":"t","projected":{"sources":[{"serviceAccountToken":{"path":"token","audience":"a"}},{"secret":{"name":"x"}}]}}],"imagePullSecrets":[{"name":"pull"}]}}`,
		"validatingwebhookconfigurations": `{"kind":"ValidatingWebhookConfiguration","webhooks":[{"clientConfig":{"caBundle":"` + certificate + `","url":"https://h/x?y=1"}}]}`,
		"certificatesigningrequests":      `{"kind":"CertificateSigningRequest","spec":{"request":"` + base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n")) + `","usages":["client auth"]}}`,
		"gateways":                        `{"kind":"Gateway","spec":{"tls":{"certificateRefs":[{"kind":"Secret","name":"tls","group":""}]}}}`,
		"events":                          `{"kind":"Event","involvedObject":{"kind":"Secret","name":"x","uid":"u"},"message":"synced"}`,
		"customresourcedefinitions":       `{"kind":"CustomResourceDefinition","spec":{"schema":{"properties":{"token":{"type":"string"},"password":{"type":"string"}},"required":["token"]}}}`,
		"deployments":                     `[{"op":"replace","path":"/spec/replicas","value":3},{"op":"add","path":"/spec/template/spec/containers/0/image","value":"nginx"}]`,
	} {
		e := event("create", resource, body, body)
		if strings.HasPrefix(body, "[") {
			e.Verb = "patch"
		}
		if redacted(t, e); string(e.Request) != body || string(e.Response) != body {
			t.Errorf("%s becomes\n%s, from\n%s", resource, e.Request, body)
		}
	}
	e := redacted(t, event("create", "secrets", secretObject(""), ""))
	want := fmt.Sprintf(`{"apiVersion":"v1","data":{"password":"%s"},"kind":"Secret","metadata":{"name":"db","namespace":"shop"},"stringData":{"user":"%s"},"type":"Opaque"}`, whySecret, whySecret)
	if string(e.Request) != want {
		t.Errorf("got %s, want %s", e.Request, want)
	}
}
