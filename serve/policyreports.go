package serve

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversionscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/policy/scan"
)

// reportGroup is that of the reports, which other programs may bring along too.
var reportGroup = schema.GroupVersion{Group: "wgpolicyk8s.io", Version: "v1alpha2"}

//go:embed policyreports.yaml
var reportDefinition []byte

// computed begins the description of the definitions that are ours.
const computed = "Computed by Gatehouse"

// reportCRDs are the definitions: by them discovery, OpenAPI and kubectl explain know
// the reports, as with the other kinds that are computed.
func reportCRDs() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	one := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(reportDefinition, one); err != nil {
		return nil, fmt.Errorf("read CRD of reports: %w", err)
	}
	apiextensionsv1.SetObjectDefaults_CustomResourceDefinition(one)
	all := one.DeepCopy()
	all.Name = "clusterpolicyreports." + reportGroup.Group
	all.Spec.Scope = apiextensionsv1.ClusterScoped
	all.Spec.Names = apiextensionsv1.CustomResourceDefinitionNames{Kind: "ClusterPolicyReport", ListKind: "ClusterPolicyReportList", Plural: "clusterpolicyreports", Singular: "clusterpolicyreport", ShortNames: []string{"cpolr"}}
	return []*apiextensionsv1.CustomResourceDefinition{one, all}, nil
}

// computedByUs reports whether a definition is ours, or as good as ours: another's
// brings its objects along.
func computedByUs(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, v := range crd.Spec.Versions {
		if v.Name == reportGroup.Version && v.Schema != nil && v.Schema.OpenAPIV3Schema != nil {
			return strings.HasPrefix(v.Schema.OpenAPIV3Schema.Description, computed)
		}
	}
	return false
}

// policyReports answers for the reports, out of a scan.
type policyReports struct {
	reports *scan.Reports
	// replica is that of the versions it gives.
	replica uint64
	kinds   map[string]*reportKind // by resource
}

// reportKind is PolicyReport or ClusterPolicyReport.
type reportKind struct {
	*policyReports
	kind       schema.GroupVersionKind
	resource   schema.GroupVersionResource
	namespaced bool
	scope      *handlers.RequestScope
	definition cache.SharedIndexInformer

	mu    sync.Mutex
	known bool          // the definition has been looked at
	ours  bool          // it is there, and ours
	ended chan struct{} // closed when it is ours no more
}

// newPolicyReports makes the handler. It is given its reports, and run, later.
func newPolicyReports(kinds *kindInformers, reports *scan.Reports, replica uint64) (*policyReports, error) {
	p := &policyReports{reports: reports, replica: replica & replicas, kinds: map[string]*reportKind{}}
	crds, err := reportCRDs()
	if err != nil {
		return nil, err
	}
	for _, crd := range crds {
		k := &reportKind{policyReports: p, kind: reportGroup.WithKind(crd.Spec.Names.Kind), resource: reportGroup.WithResource(crd.Spec.Names.Plural),
			namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped, ended: make(chan struct{})}
		name := crd.Name
		k.definition = dynamicinformer.NewFilteredDynamicInformer(kinds.client, crdResource, metav1.NamespaceAll, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
			o.FieldSelector = "metadata.name=" + name
		}).Informer()
		if _, err := k.definition.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(o any) { k.look(o) }, UpdateFunc: func(_, o any) { k.look(o) }, DeleteFunc: func(any) { k.look(nil) },
		}); err != nil {
			return nil, err
		}
		k.scope = k.requestScope()
		p.kinds[crd.Spec.Names.Plural] = k
	}
	return p, nil
}

// look notes whose the definition is now.
func (k *reportKind) look(object any) {
	ours := false
	if u, ok := object.(*unstructured.Unstructured); ok {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		ours = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, crd) == nil && computedByUs(crd)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if object != nil && !ours && (k.ours || !k.known) {
		klog.InfoS("The definition is another program's: its reports are served, and what the background scan finds is not. Delete the definition and restart, and it is", "definition", k.resource.GroupResource().String())
	}
	if k.ours && !ours {
		close(k.ended)
		k.ended = make(chan struct{})
	}
	k.known, k.ours = true, ours
}

func (k *reportKind) state() (known, ours bool, ended <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.known, k.ours, k.ended
}

func (p *policyReports) run(ctx context.Context) {
	for _, k := range p.kinds {
		go k.definition.RunWithContext(ctx)
	}
}

// minWatch is the shortest time that a watch may last, where its client sets none.
const minWatch = 30 * time.Minute

// serve answers for the reports, behind authorization: who may read them is for the
// authorizers to say, as with any other resource. Where the definition is another
// program's, the server stores that program's reports as it stores any object.
func (p *policyReports) serve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, ok := request.RequestInfoFrom(r.Context())
		if !ok || !info.IsResourceRequest || info.APIGroup != reportGroup.Group || info.APIVersion != reportGroup.Version || p.kinds[info.Resource] == nil {
			next.ServeHTTP(w, r)
			return
		}
		k := p.kinds[info.Resource]
		known, ours, _ := k.state()
		if !known && k.definition.HasSynced() {
			known = true // there is no definition: the answer is that of the server
		}
		refuse := func(err error) {
			responsewriters.ErrorNegotiated(err, reportCodec{}, reportGroup, w, r)
		}
		switch {
		case !known:
			refuse(apierrors.NewServiceUnavailable("the definition of the reports has not been read yet"))
		case !ours || info.Subresource != "" || k.namespaced && info.Namespace == "" && info.Verb == "get":
			next.ServeHTTP(w, r)
		case info.Verb == "get":
			handlers.GetResource(k, k.scope)(w, r)
		case info.Verb == "list":
			handlers.ListResource(k, k, k.scope, false, minWatch)(w, r)
		case info.Verb == "watch":
			handlers.ListResource(k, k, k.scope, true, minWatch)(w, r)
		case info.Verb == "deletecollection":
			next.ServeHTTP(w, r) // none is stored; a namespace that goes asks all the same
		default:
			refuse(apierrors.NewMethodNotSupported(k.resource.GroupResource(), info.Verb))
		}
	})
}

// requestScope is how upstream's handlers read requests and write answers.
func (k *reportKind) requestScope() *handlers.RequestScope {
	return &handlers.RequestScope{
		Namer:            handlers.ContextBasedNaming{Namer: meta.NewAccessor(), ClusterScoped: !k.namespaced},
		Serializer:       reportCodec{},
		ParameterCodec:   metainternalversionscheme.ParameterCodec,
		Convertor:        reportFields{},
		UnsafeConvertor:  reportFields{},
		Resource:         k.resource,
		Kind:             k.kind,
		HubGroupVersion:  reportGroup,
		MetaGroupVersion: metav1.SchemeGroupVersion,
		TableConvertor:   k,
	}
}

// reportCodec writes what is JSON already, as JSON or YAML.
type reportCodec struct{}

func (reportCodec) SupportedMediaTypes() []runtime.SerializerInfo {
	plain := json.NewSerializerWithOptions(json.DefaultMetaFactory, nil, nil, json.SerializerOptions{})
	return []runtime.SerializerInfo{
		{
			MediaType: "application/json", MediaTypeType: "application", MediaTypeSubType: "json", EncodesAsText: true,
			Serializer:       plain,
			PrettySerializer: json.NewSerializerWithOptions(json.DefaultMetaFactory, nil, nil, json.SerializerOptions{Pretty: true}),
			StreamSerializer: &runtime.StreamSerializerInfo{EncodesAsText: true, Serializer: plain, Framer: json.Framer},
		},
		{
			MediaType: "application/yaml", MediaTypeType: "application", MediaTypeSubType: "yaml", EncodesAsText: true,
			Serializer: json.NewSerializerWithOptions(json.DefaultMetaFactory, nil, nil, json.SerializerOptions{Yaml: true}),
		},
	}
}

func (reportCodec) EncoderForVersion(e runtime.Encoder, _ runtime.GroupVersioner) runtime.Encoder {
	return e
}

func (reportCodec) DecoderToVersion(d runtime.Decoder, _ runtime.GroupVersioner) runtime.Decoder {
	return d
}

// reportFields are those that reports can be selected by.
type reportFields struct{ runtime.ObjectConvertor }

func (reportFields) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return runtime.DefaultMetaV1FieldSelectorConversion(label, value)
}
