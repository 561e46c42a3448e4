package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	authzconfig "k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
	authorizationmetrics "k8s.io/apiserver/pkg/authorization/metrics"
	"k8s.io/apiserver/pkg/authorization/union"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/apiserver/plugin/pkg/authorizer/webhook"
	webhookmetrics "k8s.io/apiserver/plugin/pkg/authorizer/webhook/metrics"
	"k8s.io/client-go/informers"
	certinformers "k8s.io/client-go/informers/certificates/v1"
	resourceinformers "k8s.io/client-go/informers/resource/v1"
	"k8s.io/kubernetes/pkg/auth/nodeidentifier"
	"k8s.io/kubernetes/pkg/features"
	kubeauthorizer "k8s.io/kubernetes/pkg/kubeapiserver/authorizer"
	"k8s.io/kubernetes/pkg/kubeapiserver/authorizer/modes"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/node"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/guard"
	"github.com/gatehouse-io/gatehouse/authz/rbac"
	"github.com/gatehouse-io/gatehouse/authz/review"
	"github.com/gatehouse-io/gatehouse/telemetry/meter"
)

// authorizerChain asks the configured authorizers in their order. Upstream's
// builder puts an authorizer that allows system:masters everything before them
// (pkg/kubeapiserver/authorizer/reload.go); here only the server's own loopback
// connection stands there, and system:masters only where the settings ask for it.
//
// It implements authorizer.Authorizer and authorizer.RuleResolver.
type authorizerChain struct {
	// parts are built once and stay across reloads of the configuration file,
	// since each of them holds informers: set before the first request.
	parts map[authzconfig.AuthorizerType]namedRuleResolver

	// guards are asked before every other, and rbac is the part of that name; nil
	// where RBAC is not in the chain.
	guards *guard.Authorizer
	rbac   *rbac.Index
	synced func() bool // rbac holds all that there was at the start

	// decided counts decisions on requests of others; nil counts nothing. reloads counts
	// what becomes of changed files.
	decided *meter.Decisions
	reloads *meter.Reloads

	// policies put a reviewed request before admission.
	policies *policyGate

	systemMasters bool
	compiler      authorizationcel.Compiler
	current       atomic.Pointer[resolvedChain] // never nil once built

	// loopback is the identity of this process's own client. It is known only
	// when the configuration has been completed; until then nobody is it.
	loopback atomic.Pointer[user.DefaultInfo]
}

type namedRuleResolver interface {
	authorizer.Authorizer
	authorizer.RuleResolver
}

type resolvedChain struct {
	authorizer.Authorizer
	authorizer.RuleResolver
	parts review.Chain // the same authorizers, for whoever asks why
}

// newAuthorizerChain builds the authorizers of opts and, where they come from a
// file, watches it until ctx ends.
func newAuthorizerChain(ctx context.Context, opts v1alpha1.AuthorizationOptions, shared informers.SharedInformerFactory, reloads *meter.Reloads) (*authorizerChain, error) {
	compiler := authorizationcel.NewDefaultCompiler()
	c := &authorizerChain{
		guards:        guard.New(guard.Options{Namespaces: guard.ListedNamespaces(shared.Core().V1().Namespaces().Lister()), Compiler: compiler}),
		synced:        func() bool { return true },
		parts:         map[authzconfig.AuthorizerType]namedRuleResolver{},
		systemMasters: opts.SystemMastersBypass,
		compiler:      compiler,
		reloads:       reloads,
	}
	if opts.ConfigFile == "" {
		return c, c.begin(ctx, modesConfiguration(opts), opts, shared)
	}
	var fixed sets.Set[authzconfig.AuthorizerType] // nil until the first load
	return c, loadAndWatch(ctx, reloads, "authorization configuration", opts.ConfigFile,
		"it is an AuthorizationConfiguration of apiserver.config.k8s.io/v1", func(data []byte) error {
			config, err := kubeauthorizer.LoadAndValidateData(data, c.compiler, fixed)
			if err != nil {
				return err
			}
			if fixed != nil {
				return c.use(config)
			}
			fixed = sets.New[authzconfig.AuthorizerType]()
			for _, a := range config.Authorizers {
				if a.Type != authzconfig.TypeWebhook {
					fixed.Insert(a.Type)
				}
			}
			return c.begin(ctx, config, opts, shared)
		})
}

// begin builds the authorizers that stay across reloads and puts config in force.
func (c *authorizerChain) begin(ctx context.Context, config *authzconfig.AuthorizationConfiguration, opts v1alpha1.AuthorizationOptions, shared informers.SharedInformerFactory) error {
	for _, a := range config.Authorizers {
		if a.Type == authzconfig.TypeWebhook {
			continue
		}
		part, err := c.newPart(ctx, a.Type, opts, shared)
		if err != nil {
			return err
		}
		c.parts[a.Type] = part
	}
	return c.use(config)
}

// modesConfiguration writes the modes as upstream's flags would have written them.
func modesConfiguration(opts v1alpha1.AuthorizationOptions) *authzconfig.AuthorizationConfiguration {
	config := &authzconfig.AuthorizationConfiguration{}
	for _, mode := range opts.Modes {
		a := authzconfig.AuthorizerConfiguration{
			Type: authzconfig.AuthorizerType(mode),
			Name: kubeauthorizer.GetNameForAuthorizerMode(mode),
		}
		if a.Type == authzconfig.TypeWebhook {
			a.Name = "default"
			a.Webhook = &authzconfig.WebhookConfiguration{
				AuthorizedTTL:              metav1.Duration{Duration: 5 * time.Minute},
				CacheAuthorizedRequests:    true,
				UnauthorizedTTL:            metav1.Duration{Duration: 30 * time.Second},
				CacheUnauthorizedRequests:  true,
				Timeout:                    metav1.Duration{Duration: 30 * time.Second},
				FailurePolicy:              authzconfig.FailurePolicyNoOpinion,
				SubjectAccessReviewVersion: "v1",
				ConnectionInfo: authzconfig.WebhookConnectionInfo{
					Type:           authzconfig.AuthorizationWebhookConnectionInfoTypeKubeConfigFile,
					KubeConfigFile: &opts.WebhookConfigFile,
				},
			}
		}
		config.Authorizers = append(config.Authorizers, a)
	}
	return config
}

// newPart builds the one authorizer of a type that may stand in the chain once.
func (c *authorizerChain) newPart(ctx context.Context, kind authzconfig.AuthorizerType, opts v1alpha1.AuthorizationOptions, shared informers.SharedInformerFactory) (namedRuleResolver, error) {
	switch string(kind) {
	case modes.ModeNode:
		return newNodeAuthorizer(shared), nil
	case modes.ModeRBAC:
		c.rbac = rbac.New(rbac.Options{})
		var err error
		c.synced, err = c.rbac.Watch(ctx, shared.Rbac().V1())
		return c.rbac, err
	case modes.ModeABAC:
		if opts.ABACPolicyFile == "" {
			return nil, &StartError{Problem: "authorizer ABAC has no policy file", Mend: "set authorization.abacPolicyFile"}
		}
		return newABAC(ctx, opts.ABACPolicyFile, c.reloads)
	case modes.ModeAlwaysAllow:
		return authorizerfactory.NewAlwaysAllowAuthorizer(), nil
	case modes.ModeAlwaysDeny:
		return authorizerfactory.NewAlwaysDenyAuthorizer(), nil
	}
	return nil, &StartError{Problem: fmt.Sprintf("authorization mode %q is not known", kind), Mend: "one of Node, RBAC, ABAC, Webhook, AlwaysAllow, AlwaysDeny"}
}

func newNodeAuthorizer(shared informers.SharedInformerFactory) *node.NodeAuthorizer {
	var slices resourceinformers.ResourceSliceInformer
	if utilfeature.DefaultFeatureGate.Enabled(features.DynamicResourceAllocation) {
		slices = shared.Resource().V1().ResourceSlices()
	}
	var podCertificates certinformers.PodCertificateRequestInformer
	if utilfeature.DefaultFeatureGate.Enabled(features.PodCertificateRequest) {
		podCertificates = shared.Certificates().V1().PodCertificateRequests()
	}
	node.RegisterMetrics()
	graph := node.NewGraph()
	node.AddGraphEventHandlers(graph,
		shared.Core().V1().Nodes(),
		shared.Core().V1().Pods(),
		shared.Core().V1().PersistentVolumes(),
		shared.Storage().V1().VolumeAttachments(),
		slices,
		podCertificates,
	)
	return node.NewAuthorizer(graph, nodeidentifier.NewDefaultNodeIdentifier(), bootstrappolicy.NodeRules())
}

// use puts a configuration in force.
func (c *authorizerChain) use(config *authzconfig.AuthorizationConfiguration) error {
	if len(config.Authorizers) == 0 {
		return errors.New("no authorizer is named")
	}
	asked := []union.NamedAuthorizer{{AuthorizerName: "gatehouse.io/guard", Authorizer: c.guards}}
	parts := review.Chain{{Name: "Guard", Authorizer: c.guards}}
	var resolvers []authorizer.RuleResolver
	if c.systemMasters {
		masters := authorizerfactory.NewPrivilegedGroups(user.SystemPrivilegedGroup)
		asked = append(asked, union.NamedAuthorizer{AuthorizerName: "kubernetes.io/system-privileged-group", Authorizer: masters})
		parts = append(parts, review.Part{Name: user.SystemPrivilegedGroup, Authorizer: masters})
	}
	for _, a := range config.Authorizers {
		part, ok := c.parts[a.Type]
		if a.Type == authzconfig.TypeWebhook {
			var err error
			if part, err = c.newWebhook(a); err != nil {
				return fmt.Errorf("authorizer %s: %w", a.Name, err)
			}
		} else if !ok {
			return fmt.Errorf("authorizer %s cannot be added without a restart", a.Type)
		}
		asked = append(asked, union.NamedAuthorizer{
			AuthorizerName: a.Name,
			Authorizer:     authorizationmetrics.InstrumentedAuthorizer(string(a.Type), a.Name, part),
		})
		parts = append(parts, review.Part{Name: partName(a), Authorizer: part})
		resolvers = append(resolvers, part)
	}
	chain, err := union.New(asked...)
	if err != nil {
		return err
	}
	c.current.Store(&resolvedChain{Authorizer: chain, RuleResolver: union.NewRuleResolvers(resolvers...), parts: parts})
	return nil
}

// partName is what a trace calls an authorizer: its type, and of several webhooks
// which one.
func partName(a authzconfig.AuthorizerConfiguration) string {
	if a.Type == authzconfig.TypeWebhook {
		return string(a.Type) + " " + a.Name
	}
	return string(a.Type)
}

func (c *authorizerChain) newWebhook(a authzconfig.AuthorizerConfiguration) (namedRuleResolver, error) {
	if a.Webhook.ConnectionInfo.KubeConfigFile == nil {
		return nil, fmt.Errorf("connection type %q needs a kubeconfig file", a.Webhook.ConnectionInfo.Type)
	}
	client, err := webhookutil.LoadKubeconfig(*a.Webhook.ConnectionInfo.KubeConfigFile, nil)
	if err != nil {
		return nil, err
	}
	if t := a.Webhook.Timeout.Duration; t != 0 {
		client.Timeout = t
	}
	onError := authorizer.DecisionDeny
	if a.Webhook.FailurePolicy == authzconfig.FailurePolicyNoOpinion {
		onError = authorizer.DecisionNoOpinion
	}
	allowedTTL, deniedTTL := a.Webhook.AuthorizedTTL.Duration, a.Webhook.UnauthorizedTTL.Duration
	if !a.Webhook.CacheAuthorizedRequests {
		allowedTTL = 0
	}
	if !a.Webhook.CacheUnauthorizedRequests {
		deniedTTL = 0
	}
	return webhook.New(client, a.Webhook.SubjectAccessReviewVersion, allowedTTL, deniedTTL,
		*genericoptions.DefaultAuthWebhookRetryBackoff(), onError, a.Webhook.MatchConditions, a.Name,
		webhookAuthorizerMetrics{
			WebhookMetrics: webhookmetrics.NewWebhookMetrics(),
			MatcherMetrics: authorizationcel.NewMatcherMetrics(),
		}, c.compiler)
}

// webhookAuthorizerMetrics are the ones kube-apiserver reports.
type webhookAuthorizerMetrics struct {
	webhookmetrics.NoopRequestMetrics
	webhookmetrics.WebhookMetrics
	authorizationcel.MatcherMetrics
}

// isLoopback says whether u is this process's own connection. The UID is drawn
// anew at each start, and nobody else is let in under the name (authn refuses
// it), so neither alone is enough.
func (c *authorizerChain) isLoopback(u user.Info) bool {
	own := c.loopback.Load()
	return own != nil && u != nil && u.GetName() == own.Name && u.GetUID() == own.UID
}

const loopbackReason = "the server's own loopback connection"

// takesOwnName says whether a request wants to act under the name of this
// process's own client. Who may impersonate users and UIDs at large could
// otherwise pass every authorizer: the UID is in the audit log.
func (c *authorizerChain) takesOwnName(a authorizer.Attributes) bool {
	own := c.loopback.Load()
	return own != nil && strings.HasPrefix(a.GetVerb(), "impersonate") && a.GetName() == own.Name
}

const ownNameReason = "the server's own identity is nobody's to take"

// Authorize implements authorizer.Authorizer.
func (c *authorizerChain) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if c.takesOwnName(a) {
		return authorizer.DecisionDeny, ownNameReason, nil
	}
	if c.isLoopback(a.GetUser()) {
		return authorizer.DecisionAllow, loopbackReason, nil
	}
	begun := c.decided.Begin()
	decision, reason, err := c.current.Load().Authorize(ctx, a)
	c.decided.End(begun, meter.Authorized(decision, err))
	return decision, reason, err
}

// ConditionsAwareAuthorize implements authorizer.Authorizer.
func (c *authorizerChain) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	if c.takesOwnName(a) {
		return authorizer.ConditionsAwareDecisionDeny(ownNameReason, nil)
	}
	if c.isLoopback(a.GetUser()) {
		return authorizer.ConditionsAwareDecisionAllow(loopbackReason, nil)
	}
	begun := c.decided.Begin()
	d := c.current.Load().ConditionsAwareAuthorize(ctx, a)
	c.decided.End(begun, meter.Authorized(unconditional(d), d.Error()))
	return d
}

// unconditional is what a decision is without its conditions: one that has any is no
// opinion yet.
func unconditional(d authorizer.ConditionsAwareDecision) authorizer.Decision {
	switch {
	case d.IsAllow():
		return authorizer.DecisionAllow
	case d.IsDeny():
		return authorizer.DecisionDeny
	}
	return authorizer.DecisionNoOpinion
}

// EvaluateConditions implements authorizer.Authorizer.
func (c *authorizerChain) EvaluateConditions(ctx context.Context, d authorizer.ConditionsAwareDecision, data authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return c.current.Load().EvaluateConditions(ctx, d, data)
}

// RulesFor implements authorizer.RuleResolver.
func (c *authorizerChain) RulesFor(ctx context.Context, u user.Info, namespace string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	return c.current.Load().RulesFor(ctx, u, namespace)
}

// withoutMasters is u less the group system:masters.
func withoutMasters(u user.Info) user.Info {
	groups := u.GetGroups()
	if !slices.Contains(groups, user.SystemPrivilegedGroup) {
		return u
	}
	return &user.DefaultInfo{
		Name: u.GetName(), UID: u.GetUID(), Extra: u.GetExtra(),
		Groups: slices.DeleteFunc(slices.Clone(groups), func(g string) bool { return g == user.SystemPrivilegedGroup }),
	}
}
