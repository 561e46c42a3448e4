package serve

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	dynamicfake "k8s.io/client-go/dynamic/fake"

	"github.com/gatehouse-io/gatehouse/policy/scan"
)

// reporting is a server of the reports in memory, in front of one that answers 418.
type reporting struct {
	*policyReports
	*httptest.Server
	t *testing.T
}

func newReporting(t *testing.T, replica uint64) *reporting {
	t.Helper()
	client := dynamicfake.NewSimpleDynamicClient(runtime.NewScheme())
	p, err := newPolicyReports(&kindInformers{client: client}, scan.NewReports(1000), replica)
	if err != nil {
		t.Fatal(err)
	}
	crds, err := reportCRDs()
	if err != nil {
		t.Fatal(err)
	}
	for _, crd := range crds {
		p.kinds[crd.Spec.Names.Plural].look(contentOf(t, crd))
	}
	infos := &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	behind := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, err := infos.NewRequestInfo(r)
		if err != nil {
			t.Error(err)
		}
		ctx := request.WithNamespace(request.WithRequestInfo(r.Context(), info), info.Namespace)
		p.serve(behind).ServeHTTP(w, r.WithContext(ctx))
	})
	s := httptest.NewServer(handler)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return &reporting{p, s, t}
}

func contentOf(t *testing.T, object any) *unstructured.Unstructured {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: content}
}

// put makes a report with one finding of an object.
func (r *reporting) put(namespace, name string, verdict scan.Verdict) {
	uid := types.UID("uid-" + name)
	r.reports.Put(uid, &scan.Report{UID: uid, Kind: schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, Namespace: namespace, Name: name, Passed: 2,
		Judged: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Findings: []scan.Finding{scan.NewFinding(verdict, scan.Rule{Policy: "owner", Kind: "Rule", Actions: "deny"}, "no owner", "metadata.labels")}})
}

const inAll, inShop = "/apis/wgpolicyk8s.io/v1alpha2/policyreports", "/apis/wgpolicyk8s.io/v1alpha2/namespaces/shop/policyreports"

// ask asks for a path, and reads the answer into into.
func (r *reporting) ask(method, path, accept string, into any) int {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.URL+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	answer, err := r.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	if into != nil {
		if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
			r.t.Fatalf("%s: %v", path, err)
		}
	}
	return answer.StatusCode
}

func (r *reporting) names(path string) (names, next, version string) {
	r.t.Helper()
	var list metav1.PartialObjectMetadataList
	if code := r.ask("GET", path, "application/json", &list); code != 200 {
		r.t.Fatalf("%s: %d", path, code)
	}
	for _, o := range list.Items {
		names += strings.TrimPrefix(o.Name, "uid-") + " "
	}
	return names, list.Continue, list.ResourceVersion
}

func TestReportsAreListedByNamespaceAndInPages(t *testing.T) {
	r := newReporting(t, 5)
	for _, name := range []string{"c", "a", "b"} {
		r.put("shop", name, scan.Fail)
	}
	r.put("bank", "till", scan.Warn)
	r.put("", "node", scan.Fail)
	for path, want := range map[string]string{
		inAll: "till a b c ", inShop: "a b c ", "/apis/wgpolicyk8s.io/v1alpha2/clusterpolicyreports": "node ",
		inAll + "?fieldSelector=metadata.name%3Duid-b": "b ", inAll + "?labelSelector=app.kubernetes.io/managed-by%3Dkyverno": "",
	} {
		if got, _, _ := r.names(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	got, next, version := r.names(inAll + "?limit=3")
	r.put("shop", "bb", scan.Fail) // between the pages
	more, end, still := r.names(inAll + "?limit=3&continue=" + next)
	if got != "till a b " || more != "bb c " || end != "" || still != version {
		t.Errorf("pages %q and %q, to %q, of %s and %s", got, more, end, version, still)
	}
	if code := r.ask("GET", inAll+"?limit=3&continue=x", "application/json", nil); code != 400 {
		t.Errorf("a made-up continue: %d", code)
	}
}

func TestAReportAndItsTable(t *testing.T) {
	r := newReporting(t, 5)
	r.put("shop", "web", scan.Fail)
	var o unstructured.Unstructured
	if code := r.ask("GET", inShop+"/uid-web", "application/json", &o.Object); code != 200 {
		t.Fatalf("code %d", code)
	}
	text, _ := json.Marshal([]any{o.Object["scope"], o.Object["summary"], o.Object["results"]})
	if want := `[{"apiVersion":"v1","kind":"Pod","name":"web","namespace":"shop","resourceVersion":"","uid":"uid-web"},` +
		`{"error":0,"fail":1,"pass":2,"skip":0,"warn":0},` +
		`[{"message":"no owner","policy":"owner","properties":{"actions":"deny","field":"metadata.labels","kind":"Rule"},"result":"fail","scored":true,"source":"gatehouse","timestamp":{"nanos":0,"seconds":1795435200}}]]`; string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	var table metav1.Table
	if code := r.ask("GET", inShop, "application/json;as=Table;v=v1;g=meta.k8s.io", &table); code != 200 || len(table.ColumnDefinitions) != 9 || len(table.Rows) != 1 ||
		fmt.Sprint(table.Rows[0].Cells[:8]) != "[uid-web Pod web 2 1 0 0 0]" {
		t.Errorf("table: %d, %+v", code, table)
	}
	var partial metav1.PartialObjectMetadata
	if code := r.ask("GET", inShop+"/uid-web", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", &partial); code != 200 || partial.Kind != "PartialObjectMetadata" || partial.Name != "uid-web" {
		t.Errorf("partial: %d, %+v", code, partial)
	}
	for path, want := range map[string]int{inShop + "/uid-none": 404, strings.Replace(inShop, "shop", "bank", 1) + "/uid-web": 404, "/apis/wgpolicyk8s.io/v1beta1/policyreports": 418} {
		if code := r.ask("GET", path, "application/json", nil); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	for method, want := range map[string]int{"POST": 405, "PUT": 405, "PATCH": 405, "DELETE": 405} {
		path := inShop
		if method != "POST" {
			path += "/uid-web"
		}
		if code := r.ask(method, path, "application/json", nil); code != want {
			t.Errorf("%s: %d, want %d", method, code, want)
		}
	}
	if code := r.ask("DELETE", inShop, "application/json", nil); code != 418 {
		t.Errorf("the controller of namespaces gets %d, and not the store's answer", code)
	}
}

// watch reads events as "ADDED web", until it is called no more.
func (r *reporting) watch(query string) (next func() string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "GET", r.URL+inAll+"?watch=true&"+query, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	answer, err := r.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { answer.Body.Close() })
	lines := bufio.NewScanner(answer.Body)
	return func() string {
		r.t.Helper()
		if !lines.Scan() {
			return "end"
		}
		var event struct {
			Type   string
			Object struct {
				Code     int
				Metadata metav1.ObjectMeta
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			r.t.Fatal(err)
		}
		if event.Object.Code != 0 {
			return fmt.Sprint(event.Type, " ", event.Object.Code)
		}
		return event.Type + " " + strings.TrimPrefix(event.Object.Metadata.Name, "uid-") + event.Object.Metadata.Annotations[metav1.InitialEventsAnnotationKey]
	}
}

func tells(t *testing.T, next func() string, want ...string) {
	t.Helper()
	for _, one := range want {
		if got := next(); got != one {
			t.Fatalf("the watch tells %q, want %q", got, one)
		}
	}
}

func TestAWatchTellsWhatChanges(t *testing.T) {
	r := newReporting(t, 5)
	r.put("shop", "web", scan.Fail)
	_, _, version := r.names(inAll)
	next := r.watch("resourceVersion=" + version)
	r.put("shop", "db", scan.Fail)
	r.put("", "node", scan.Fail) // is none of its kind
	r.put("shop", "web", scan.Warn)
	r.reports.Put("uid-db", nil)
	tells(t, next, "ADDED db", "MODIFIED web", "DELETED db")

	tells(t, r.watch(""), "ADDED web")
	tells(t, r.watch("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"), "ADDED web", "BOOKMARK true")
	tells(t, r.watch("fieldSelector=metadata.namespace%3Dbank&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"), "BOOKMARK true")
}

func TestAWatchThatCannotGoOnSaysSo(t *testing.T) {
	r := newReporting(t, 5)
	r.put("shop", "web", scan.Fail)
	other := newReporting(t, 6)
	other.put("shop", "web", scan.Fail)
	_, _, version := other.names(inAll)
	for _, from := range []string{version, "1", "99999999999999"} {
		if code := r.ask("GET", inAll+"?watch=true&resourceVersion="+from, "application/json", nil); code != 410 {
			t.Errorf("from %s: %d, want 410", from, code)
		}
	}
}

func TestWhereAnotherProgramBringsTheKindOursStepsBack(t *testing.T) {
	r := newReporting(t, 5)
	r.put("shop", "web", scan.Fail)
	next := r.watch("")
	tells(t, next, "ADDED web")
	crds, err := reportCRDs()
	if err != nil {
		t.Fatal(err)
	}
	theirs := crds[0].DeepCopy()
	theirs.Spec.Versions[0].Schema.OpenAPIV3Schema.Description = "PolicyReport is the Schema for the policyreports API"
	r.kinds["policyreports"].look(contentOf(t, theirs))
	tells(t, next, "end")
	for _, method := range []string{"GET", "POST"} {
		if code := r.ask(method, inShop, "application/json", nil); code != 418 {
			t.Errorf("%s: %d; want what is behind to answer", method, code)
		}
	}
	if got, _, _ := r.names("/apis/wgpolicyk8s.io/v1alpha2/clusterpolicyreports"); got != "" {
		t.Errorf("got %q", got) // that one is ours still
	}
	r.kinds["policyreports"].look(contentOf(t, crds[0]))
	if got, _, _ := r.names(inAll); got != "web " {
		t.Errorf("ours again: %q", got)
	}
}

func TestBeforeTheDefinitionIsReadNobodyIsToldThatAllIsWell(t *testing.T) {
	r := newReporting(t, 5)
	r.kinds["policyreports"].known, r.kinds["policyreports"].ours = false, false
	if code := r.ask("GET", inAll, "application/json", nil); code != 503 {
		t.Errorf("code %d, want 503", code)
	}
}
