package serve

import (
	"bytes"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/routes"
	"k8s.io/apiserver/pkg/util/responsewriter"
	"k8s.io/klog/v2"
	"k8s.io/kube-openapi/pkg/builder"
	"k8s.io/kube-openapi/pkg/cached"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/common/restfuladapter"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/gatehouse-io/gatehouse/internal/version"
)

const (
	openAPIV2 = "/openapi/v2"
	openAPIV3 = "/openapi/v3"
)

// openAPI serves the OpenAPI documents of the built-in kinds as upstream builds them,
// each from the first time that it is asked for. Upstream builds all of them while it
// starts, and writes those of v3 out as JSON, because its aggregator asks for their
// hashes once a second: a third of what a start allocates and of what it then holds,
// in a server that may never be asked.
type openAPI struct {
	codecs runtime.NegotiatedSerializer
	// v3 has no definitions before the first document is built.
	v3   *common.OpenAPIV3Config
	docs map[string]*openAPIDocument // by the path of the web service, such as apis/apps/v1

	// building is held while a document of v3 is built and written out: the schemas
	// of all of them share maps that each build writes to.
	building sync.Mutex
}

// openAPIDocument is the document of one web service.
type openAPIDocument struct {
	// hash stands for the document until it is there: it is made from what the
	// document is made from, so that all servers of one build and the same settings
	// tell their clients the same.
	hash string
	// get builds it, once.
	get func() (builtDocument, error)
}

// builtDocument is upstream's handler of a document, and the document's own hash.
type builtDocument struct {
	http.Handler
	hash string
}

// installOpenAPI serves what PrepareRun leaves out for a server whose configuration
// says SkipOpenAPIInstallation. The server's APIs are installed, and it is not
// prepared yet. gates are the feature gates that the settings name.
func installOpenAPI(server *genericapiserver.GenericAPIServer, codecs runtime.NegotiatedSerializer, v2 *common.Config, v3 *common.OpenAPIV3Config, gates map[string]bool) error {
	services := server.Handler.GoRestfulContainer.RegisteredWebServices()
	handler.NewOpenAPIServiceLazy(cached.Once(cached.Func(func() (*spec.Swagger, string, error) {
		swagger, err := builder.BuildOpenAPISpecFromRoutes(restfuladapter.AdaptWebServices(services), v2)
		if err != nil {
			return nil, "", fmt.Errorf("build OpenAPI v2: %w", err)
		}
		swagger.Definitions = handler.PruneDefaults(swagger.Definitions)
		return swagger, "built in", nil
	}))).RegisterOpenAPIVersionedService(openAPIV2, server.Handler.NonGoRestfulMux)

	made := fmt.Appendf(nil, "%s %s %v\n", version.GitVersion, v3.Info.Version, gates)
	if build, ok := debug.ReadBuildInfo(); ok {
		made = append(made, build.String()...)
	}
	without := *v3
	without.Definitions = nil
	o := &openAPI{codecs: codecs, v3: &without, docs: map[string]*openAPIDocument{}}
	index := handler3.OpenAPIV3Discovery{Paths: map[string]handler3.OpenAPIV3DiscoveryGroupVersion{}}
	for _, service := range services {
		name := strings.TrimPrefix(service.RootPath(), "/")
		of := append(made[:len(made):len(made)], name...)
		for _, route := range service.Routes() {
			of = fmt.Appendf(of, "\n%s %s", route.Method, route.Path)
		}
		add := func(to *genericapiserver.APIServerHandler) { to.GoRestfulContainer.Add(service) }
		doc := &openAPIDocument{hash: openAPIHash(of)}
		doc.get = sync.OnceValues(func() (builtDocument, error) { return o.build(name, add) })
		o.docs[name] = doc
		at := url.URL{Path: openAPIV3 + "/" + name, RawQuery: url.Values{"hash": {doc.hash}}.Encode()}
		index.Paths[name] = handler3.OpenAPIV3DiscoveryGroupVersion{ServerRelativeURL: at.String()}
	}
	written, err := json.Marshal(index)
	if err != nil {
		return fmt.Errorf("write index of OpenAPI v3: %w", err)
	}
	tag, since := fmt.Sprintf("%q", openAPIHash(written)), time.Now()
	server.Handler.NonGoRestfulMux.HandleFunc(openAPIV3, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", tag)
		w.Header().Set("Content-Type", "application/json")
		http.ServeContent(w, r, openAPIV3, since, bytes.NewReader(written))
	})
	server.Handler.NonGoRestfulMux.HandlePrefix(openAPIV3+"/", o)
	return nil
}

// ServeHTTP serves the document of one group and version.
func (o *openAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	doc := o.docs[strings.TrimPrefix(r.URL.Path, openAPIV3+"/")]
	if doc == nil {
		http.NotFound(w, r)
		return
	}
	built, err := doc.get()
	if err != nil {
		klog.Error(err)
		http.Error(w, "the OpenAPI document cannot be built", http.StatusInternalServerError)
		return
	}
	// To upstream's handler, a client that knows the hash of the index has the newest.
	if query := r.URL.Query(); query.Get("hash") == doc.hash {
		query.Set("hash", built.hash)
		r = r.Clone(r.Context())
		r.URL.RawQuery = query.Encode()
	}
	built.ServeHTTP(w, r)
}

// build makes the document of one web service by upstream's own installation, in a
// server handler that has that service alone.
func (o *openAPI) build(name string, add func(*genericapiserver.APIServerHandler)) (builtDocument, error) {
	o.building.Lock()
	defer o.building.Unlock()
	alone := genericapiserver.NewAPIServerHandler("openapi", o.codecs, func(h http.Handler) http.Handler { return h }, nil)
	add(alone)
	if o.v3.Definitions == nil {
		o.v3.Definitions = o.v3.GetDefinitions(func(name string) spec.Ref {
			name, _ = o.v3.GetDefinitionName(name)
			return spec.MustCreateRef("#/components/schemas/" + common.EscapeJsonPointer(name))
		})
	}
	routes.OpenAPI{V3Config: o.v3}.InstallV3(alone.GoRestfulContainer, alone.NonGoRestfulMux)

	// Asked for its index, it writes the document out: nothing is left to be done
	// with the schemas.
	ask, err := http.NewRequest(http.MethodGet, openAPIV3, nil)
	if err != nil {
		return builtDocument{}, err
	}
	answer := responsewriter.NewInMemoryResponseWriter()
	alone.NonGoRestfulMux.ServeHTTP(answer, ask)
	var index handler3.OpenAPIV3Discovery
	if err := json.Unmarshal(answer.Data(), &index); err != nil {
		return builtDocument{}, fmt.Errorf("build OpenAPI v3 of %s: status %d: %w", name, answer.RespCode(), err)
	}
	at, err := url.Parse(index.Paths[name].ServerRelativeURL)
	if err != nil {
		return builtDocument{}, fmt.Errorf("build OpenAPI v3 of %s: %w", name, err)
	}
	hash := at.Query().Get("hash")
	if hash == "" {
		return builtDocument{}, fmt.Errorf("build OpenAPI v3 of %s: there is none", name)
	}
	return builtDocument{alone.NonGoRestfulMux, hash}, nil
}

// leanOpenAPI makes the configurations that upstream builds documents from hold less.
// The function that names operations is the one that upstream's builders would put in,
// except that theirs keeps all that the first of them has built. The definitions of
// every kind, which two servers ask for while they are prepared, are made once. prepared
// is called after that, and lets go of them: documents that are asked for later have
// definitions made anew.
func leanOpenAPI(v2 *common.Config, v3 *common.OpenAPIV3Config) (prepared func()) {
	named := func(route common.Route) (string, []string, error) {
		of, ok := route.(*restfuladapter.RouteAdapter)
		if !ok {
			return "", nil, fmt.Errorf("name operation: %T is no route of a web service", route)
		}
		//lint:ignore SA1019 upstream's server sets it, and nothing else
		return v2.GetOperationIDAndTags(of.Route)
	}
	v2.GetOperationIDAndTagsFromRoute, v3.GetOperationIDAndTagsFromRoute = named, named
	define := v2.GetDefinitions
	var defined map[string]common.OpenAPIDefinition
	v2.GetDefinitions = func(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
		if defined == nil {
			defined = define(ref)
		}
		return defined
	}
	return func() {
		v2.GetDefinitions = define
		v3.Definitions = nil
	}
}

func openAPIHash(of []byte) string { return fmt.Sprintf("%X", sha512.Sum512(of)) }
