package serve

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apimachineryversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/routes"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"
)

// apiHandler has three web services, of which two have a version of a group.
func apiHandler() *genericapiserver.APIServerHandler {
	h := genericapiserver.NewAPIServerHandler("test", legacyscheme.Codecs, func(h http.Handler) http.Handler { return h }, nil)
	routes.Version{Version: &apimachineryversion.Info{}}.Install(h.GoRestfulContainer)
	for _, group := range []string{"apps", "batch/v1"} { // the second stands for a version's own service
		h.GoRestfulContainer.Add(discovery.NewAPIGroupHandler(legacyscheme.Codecs, metav1.APIGroup{Name: group}).WebService())
	}
	return h
}

func openAPIConfigs() (*common.Config, *common.OpenAPIV3Config) {
	namer := openapinamer.NewDefinitionNamer(legacyscheme.Scheme)
	v2 := genericapiserver.DefaultOpenAPIConfig(generatedopenapi.GetOpenAPIDefinitions, namer)
	v3 := genericapiserver.DefaultOpenAPIV3Config(generatedopenapi.GetOpenAPIDefinitions, namer)
	v2.Info.Version, v3.Info.Version = "1", "1"
	return v2, v3
}

func ask(t *testing.T, h http.Handler, path, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func indexOf(t *testing.T, h http.Handler) (paths map[string]handler3.OpenAPIV3DiscoveryGroupVersion) {
	t.Helper()
	w := ask(t, h, "/openapi/v3", "*/*")
	var index handler3.OpenAPIV3Discovery
	if err := json.Unmarshal(w.Body.Bytes(), &index); err != nil {
		t.Fatalf("%v in %d %s", err, w.Code, w.Body)
	}
	return index.Paths
}

// lazyHandler serves as installOpenAPI does.
func lazyHandler(t *testing.T, gates map[string]bool) http.Handler {
	t.Helper()
	h := apiHandler()
	v2, v3 := openAPIConfigs()
	prepared := leanOpenAPI(v2, v3)
	if err := installOpenAPI(&genericapiserver.GenericAPIServer{Handler: h}, legacyscheme.Codecs, v2, v3, gates); err != nil {
		t.Fatal(err)
	}
	prepared()
	return h
}

// TestOpenAPIIsUpstreams holds the documents against those that upstream installs.
func TestOpenAPIIsUpstreams(t *testing.T) {
	upstream := apiHandler()
	v2, v3 := openAPIConfigs()
	routes.OpenAPI{Config: v2, V3Config: v3}.InstallV2(upstream.GoRestfulContainer, upstream.NonGoRestfulMux)
	routes.OpenAPI{Config: v2, V3Config: v3}.InstallV3(upstream.GoRestfulContainer, upstream.NonGoRestfulMux)
	lazy := lazyHandler(t, nil)

	want, got := indexOf(t, upstream), indexOf(t, lazy)
	if len(got) != len(want) || len(got) != 3 {
		t.Fatalf("%d documents, upstream has %d", len(got), len(want))
	}
	same := func(path, upstreamPath, accept string, headers ...string) {
		t.Helper()
		w, u := ask(t, lazy, path, accept), ask(t, upstream, upstreamPath, accept)
		if w.Code != u.Code || w.Body.String() != u.Body.String() {
			t.Errorf("%s as %s: %d with %d bytes, upstream %d with %d", path, accept, w.Code, w.Body.Len(), u.Code, u.Body.Len())
		}
		for _, h := range append(headers, "Etag", "Content-Type", "Cache-Control", "Vary", "Location") {
			if w.Header().Get(h) != u.Header().Get(h) {
				t.Errorf("%s as %s: %s is %q, upstream's %q", path, accept, h, w.Header().Get(h), u.Header().Get(h))
			}
		}
	}
	var all sync.WaitGroup
	for name, at := range want {
		mine := got[name].ServerRelativeURL
		if !strings.HasPrefix(mine, "/openapi/v3/"+name+"?hash=") || mine == at.ServerRelativeURL {
			t.Fatalf("%s is at %q", name, mine)
		}
		for _, accept := range []string{"application/json", "application/com.github.proto-openapi.spec.v3.v1.0+protobuf", "text/plain", "*/*"} {
			all.Go(func() {
				same(mine, at.ServerRelativeURL, accept)
				same(at.ServerRelativeURL, at.ServerRelativeURL, accept) // the document's own hash is as good
				same("/openapi/v3/"+name, "/openapi/v3/"+name, accept)
				same("/openapi/v3/"+name+"?hash=old", "/openapi/v3/"+name+"?hash=old", accept)
			})
		}
	}
	all.Wait()
	for _, accept := range []string{"application/json", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf", "text/plain"} {
		same("/openapi/v2", "/openapi/v2", accept)
	}
	if w := ask(t, lazy, "/openapi/v3/apis/none/v1", "*/*"); w.Code != http.StatusNotFound {
		t.Errorf("a document that is not there: %d", w.Code)
	}
}

// TestOpenAPIHashes holds that clients may keep what they have read: of this build with
// these settings, and of no other.
func TestOpenAPIHashes(t *testing.T) {
	one, same, other := indexOf(t, lazyHandler(t, nil)), indexOf(t, lazyHandler(t, nil)), indexOf(t, lazyHandler(t, map[string]bool{"Gate": true}))
	seen := map[string]bool{}
	for name := range one {
		if one[name] != same[name] || one[name] == other[name] {
			t.Errorf("%s: %v, %v, with a feature gate %v", name, one[name], same[name], other[name])
		}
		hash := one[name].ServerRelativeURL
		if seen[hash] {
			t.Errorf("%s has the hash of another", name)
		}
		seen[hash] = true
	}
}

// TestOpenAPIIsBuiltLate holds that nothing is defined before a document is asked for,
// and that the second costs no more definitions.
func TestOpenAPIIsBuiltLate(t *testing.T) {
	h := apiHandler()
	v2, v3 := openAPIConfigs()
	defined := 0
	count := func(define common.GetOpenAPIDefinitions) common.GetOpenAPIDefinitions {
		return func(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
			defined++
			return define(ref)
		}
	}
	v2.GetDefinitions, v3.GetDefinitions = count(v2.GetDefinitions), count(v3.GetDefinitions)
	prepared := leanOpenAPI(v2, v3)
	if err := installOpenAPI(&genericapiserver.GenericAPIServer{Handler: h}, legacyscheme.Codecs, v2, v3, nil); err != nil {
		t.Fatal(err)
	}
	prepared()
	indexOf(t, h)
	if defined != 0 || v3.Definitions != nil {
		t.Errorf("before anything is asked, definitions were made %d times", defined)
	}
	for name := range indexOf(t, h) {
		ask(t, h, "/openapi/v3/"+name, "*/*")
	}
	ask(t, h, "/openapi/v2", "*/*")
	ask(t, h, "/openapi/v2", "*/*")
	if defined != 2 {
		t.Errorf("definitions were made %d times, not once for v2 and once for v3", defined)
	}
}
