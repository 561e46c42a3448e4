package attach

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/apis/apiserver"
	upstreamaudit "k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	genericapifilters "k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	genericfilters "k8s.io/apiserver/pkg/server/filters"
	"k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/kubernetes"
)

const (
	// clusterAuthentication is the ConfigMap in which an API server says whom it
	// believes, for the servers that stand behind it.
	clusterAuthentication = "extension-apiserver-authentication"

	// delegatedTimeout bounds one question to the API server about who asks.
	delegatedTimeout = 10 * time.Second
	// delegatedTTL is how long its answer is kept.
	delegatedTTL = 10 * time.Second

	// apiReads and apiOther bound the questions that are worked on at a time.
	apiReads, apiOther = 20, 5
)

// newAuditAPI puts what every API server behind the aggregator has before the answers
// about audit events: the cluster says who asks and whether they may, and each question
// is an audit event itself, which goes to sink by policy. What is kept up with the
// cluster ends with ctx.
func newAuditAPI(ctx context.Context, client kubernetes.Interface, answers http.Handler, group schema.GroupVersion, resources []metav1.APIResource, sink upstreamaudit.Sink, policy upstreamaudit.PolicyRuleEvaluator) (http.Handler, error) {
	authn, headers, known, err := delegatedAuthenticator(ctx, client)
	if err != nil {
		return nil, err
	}
	authz, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: client.AuthorizationV1(), AllowCacheTTL: delegatedTTL, DenyCacheTTL: delegatedTTL,
		WebhookRetryBackoff: options.DefaultAuthWebhookRetryBackoff(),
	}.New()
	if err != nil {
		return nil, fmt.Errorf("make authorizer: %w", err)
	}
	return onceKnown(known, guardAPI(withDiscovery(answers, group, resources), authn, headers, authz, sink, policy)), nil
}

// onceKnown refuses everybody while it is not known whom the cluster believes: an API
// server that says nobody is known would be believed.
func onceKnown(known func() bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !known() {
			refuse(w, status(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable,
				"ConfigMap kube-system/"+clusterAuthentication+" has not been read yet; the account needs the Role kube-system/extension-apiserver-authentication-reader"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// guardAPI puts upstream's filters before a handler, in upstream's order.
func guardAPI(handler http.Handler, authn authenticator.Request, headers *authenticatorfactory.RequestHeaderConfig, authz authorizer.Authorizer, sink upstreamaudit.Sink, policy upstreamaudit.PolicyRuleEvaluator) http.Handler {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	codecs := serializer.NewCodecFactory(scheme)
	resolver := &request.RequestInfoFactory{APIPrefixes: sets.NewString("apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	long := genericfilters.BasicLongRunningRequestCheck(sets.NewString("watch"), sets.NewString())
	handler = genericapifilters.WithAuthorization(handler, authz, codecs)
	handler = genericfilters.WithMaxInFlightLimit(handler, apiReads, apiOther, long)
	handler = genericapifilters.WithAudit(handler, sink, policy, long)
	handler = genericapifilters.WithAuthentication(handler, authn, genericapifilters.Unauthorized(codecs), nil, headers)
	handler = genericapifilters.WithCacheControl(handler)
	handler = genericapifilters.WithRequestInfo(handler, resolver)
	handler = genericapifilters.WithRequestReceivedTimestamp(handler)
	handler = genericfilters.WithPanicRecovery(handler, resolver)
	return genericapifilters.WithAuditInit(handler)
}

// delegatedAuthenticator asks the cluster who somebody is: the front proxy's headers,
// certificates of the cluster's client CA, and tokens by TokenReview. Nobody is
// anonymous. known says whether the cluster has told whom it believes.
func delegatedAuthenticator(ctx context.Context, client kubernetes.Interface) (authenticator.Request, *authenticatorfactory.RequestHeaderConfig, func() bool, error) {
	provider := func(key string) (*dynamiccertificates.ConfigMapCAController, error) {
		return dynamiccertificates.NewDynamicCAFromConfigMapController(key, metav1.NamespaceSystem, clusterAuthentication, key, client)
	}
	users, err := provider("client-ca-file")
	if err != nil {
		return nil, nil, nil, fmt.Errorf("follow client CA: %w", err)
	}
	proxies, err := provider("requestheader-client-ca-file")
	if err != nil {
		return nil, nil, nil, fmt.Errorf("follow front-proxy CA: %w", err)
	}
	names := headerrequest.NewRequestHeaderAuthRequestController(clusterAuthentication, metav1.NamespaceSystem, client,
		"requestheader-username-headers", "requestheader-uid-headers", "requestheader-group-headers", "requestheader-extra-headers-prefix", "requestheader-allowed-names")
	go users.Run(ctx, 1)
	go proxies.Run(ctx, 1)
	go names.Run(ctx, 1)
	headers := &authenticatorfactory.RequestHeaderConfig{
		CAContentProvider:   proxies,
		UsernameHeaders:     headerrequest.StringSliceProviderFunc(names.UsernameHeaders),
		UIDHeaders:          headerrequest.StringSliceProviderFunc(names.UIDHeaders),
		GroupHeaders:        headerrequest.StringSliceProviderFunc(names.GroupHeaders),
		ExtraHeaderPrefixes: headerrequest.StringSliceProviderFunc(names.ExtraHeaderPrefixes),
		AllowedClientNames:  headerrequest.StringSliceProviderFunc(names.AllowedClientNames),
	}
	authn, _, err := authenticatorfactory.DelegatingAuthenticatorConfig{
		Anonymous:                          &apiserver.AnonymousAuthConfig{Enabled: false},
		TokenAccessReviewClient:            client.AuthenticationV1(),
		TokenAccessReviewTimeout:           delegatedTimeout,
		WebhookRetryBackoff:                options.DefaultAuthWebhookRetryBackoff(),
		CacheTTL:                           delegatedTTL,
		ClientCertificateCAContentProvider: users,
		RequestHeaderConfig:                headers,
	}.New()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("make authenticator: %w", err)
	}
	known := func() bool {
		return len(users.CurrentCABundleContent()) > 0 || len(proxies.CurrentCABundleContent()) > 0
	}
	return authn, headers, known, nil
}

// apiTLS asks for a client certificate, and leaves it to the authenticators to verify
// it: a client may come with a token in its place.
func apiTLS(base *tls.Config) *tls.Config {
	config := base.Clone()
	config.ClientAuth, config.ClientCAs, config.VerifyConnection, config.GetConfigForClient = tls.RequestClientCert, nil, nil, nil
	return config
}

// withDiscovery answers for the group and its version, which the aggregator and
// kubectl ask for, and hands on the rest.
func withDiscovery(next http.Handler, group schema.GroupVersion, resources []metav1.APIResource) http.Handler {
	version := metav1.GroupVersionForDiscovery{GroupVersion: group.String(), Version: group.Version}
	about := metav1.APIGroup{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroup"}, Name: group.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}
	documents := map[string]any{
		"/apis":                   metav1.APIGroupList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"}, Groups: []metav1.APIGroup{about}},
		"/apis/" + group.Group:    about,
		"/apis/" + group.String(): metav1.APIResourceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: group.String(), APIResources: resources},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		document, ok := documents[r.URL.Path]
		if !ok || r.Method != http.MethodGet {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(document) // a client that has gone
	})
}
