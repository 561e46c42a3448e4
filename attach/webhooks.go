package attach

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/policy"
)

// webhookName is that of both webhook configurations, and of the webhook in each.
const webhookName = "gatehouse-attach"

// webhooks keeps the webhook configurations of the cluster equal to what the
// policies in force need to see.
type webhooks struct {
	client kubernetes.Interface
	kinds  kinds

	// service or url leads the API server to /mutate and /validate.
	service *admissionregistrationv1.ServiceReference
	url     string
	// caBundle is what vouches for the serving certificate; nil where the API
	// server's own trust does.
	caBundle func(context.Context) ([]byte, error)

	failurePolicy admissionregistrationv1.FailurePolicyType
	exempt        []string // namespaces
	self          string   // the user that this program is, or empty
	timeout       time.Duration
}

// kinds says which resources a kind is served as, those subresources included that
// carry the whole object, but for its status.
type kinds interface {
	Resources(kind schema.GroupKind) []string
}

// run writes the configurations whenever changed says so, until ctx ends.
func (w *webhooks) run(ctx context.Context, changed <-chan *policy.Set) {
	var set *policy.Set
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case set = <-changed:
		case <-again:
		}
		again = time.After(time.Minute) // somebody may have changed them
		if err := w.write(ctx, set); err != nil && ctx.Err() == nil {
			klog.ErrorS(err, "The webhook configurations are not current", "name", webhookName)
			again = time.After(5 * time.Second)
		}
	}
}

func (w *webhooks) write(ctx context.Context, set *policy.Set) error {
	ca, err := w.caBundle(ctx)
	if err != nil {
		return fmt.Errorf("read the serving CA: %w", err)
	}
	mutators, validators := set.Selectors()
	mutating := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: webhookName}}
	if rules := w.rules(mutators, admission.Create, admission.Update); len(rules) > 0 {
		reinvoke, equivalent, none := admissionregistrationv1.IfNeededReinvocationPolicy, admissionregistrationv1.Equivalent, admissionregistrationv1.SideEffectClassNone
		mutating.Webhooks = []admissionregistrationv1.MutatingWebhook{{
			Name: webhookName + ".gatehouse.io", ClientConfig: w.clientConfig("/mutate", ca), Rules: rules,
			FailurePolicy: &w.failurePolicy, MatchPolicy: &equivalent, SideEffects: &none, TimeoutSeconds: w.seconds(),
			NamespaceSelector: w.namespaces(), ObjectSelector: &metav1.LabelSelector{}, MatchConditions: w.conditions(),
			AdmissionReviewVersions: []string{"v1"}, ReinvocationPolicy: &reinvoke,
		}}
	}
	validating := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: webhookName}}
	if rules := w.rules(validators, admission.Create, admission.Update, admission.Delete, admission.Connect); len(rules) > 0 {
		equivalent, none := admissionregistrationv1.Equivalent, admissionregistrationv1.SideEffectClassNone
		validating.Webhooks = []admissionregistrationv1.ValidatingWebhook{{
			Name: webhookName + ".gatehouse.io", ClientConfig: w.clientConfig("/validate", ca), Rules: rules,
			FailurePolicy: &w.failurePolicy, MatchPolicy: &equivalent, SideEffects: &none, TimeoutSeconds: w.seconds(),
			NamespaceSelector: w.namespaces(), ObjectSelector: &metav1.LabelSelector{}, MatchConditions: w.conditions(),
			AdmissionReviewVersions: []string{"v1"},
		}}
	}
	registration := w.client.AdmissionregistrationV1()
	if err := keep(ctx, registration.MutatingWebhookConfigurations(), mutating,
		func(c *admissionregistrationv1.MutatingWebhookConfiguration) any { return &c.Webhooks },
		func(have, want *admissionregistrationv1.MutatingWebhookConfiguration) { have.Webhooks = want.Webhooks }); err != nil {
		return fmt.Errorf("write MutatingWebhookConfiguration: %w", err)
	}
	if err := keep(ctx, registration.ValidatingWebhookConfigurations(), validating,
		func(c *admissionregistrationv1.ValidatingWebhookConfiguration) any { return &c.Webhooks },
		func(have, want *admissionregistrationv1.ValidatingWebhookConfiguration) {
			have.Webhooks = want.Webhooks
		}); err != nil {
		return fmt.Errorf("write ValidatingWebhookConfiguration: %w", err)
	}
	return nil
}

type configurations[T any] interface {
	Get(context.Context, string, metav1.GetOptions) (*T, error)
	Create(context.Context, *T, metav1.CreateOptions) (*T, error)
	Update(context.Context, *T, metav1.UpdateOptions) (*T, error)
}

// keep makes a configuration what it should be. Another replica may be at it too,
// and writes the same.
func keep[T any](ctx context.Context, client configurations[T], want *T, hooks func(*T) any, put func(have, want *T)) error {
	have, err := client.Get(ctx, webhookName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = client.Create(ctx, want, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			err = nil
		}
		return err
	case err != nil:
		return err
	case equality.Semantic.DeepEqual(hooks(have), hooks(want)):
		return nil
	}
	put(have, want)
	_, err = client.Update(ctx, have, metav1.UpdateOptions{})
	return err
}

func (w *webhooks) clientConfig(path string, ca []byte) admissionregistrationv1.WebhookClientConfig {
	c := admissionregistrationv1.WebhookClientConfig{CABundle: ca}
	if w.url != "" {
		url := w.url + path
		c.URL = &url
	} else {
		service := *w.service
		service.Path = &path
		c.Service = &service
	}
	return c
}

func (w *webhooks) seconds() *int32 {
	s := int32(min(max(w.timeout/time.Second, 1), 30))
	return &s
}

// namespaces leaves those out in which a cluster that starts, and this program, must
// be able to run without it.
func (w *webhooks) namespaces() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: w.exempt,
	}}}
}

// conditions leave out what must go on while Gatehouse is down, so that it can come
// back: what the API server writes by itself when it starts, nodes, and leases and
// events, which say nothing about what may run.
func (w *webhooks) conditions() []admissionregistrationv1.MatchCondition {
	all := []admissionregistrationv1.MatchCondition{
		{Name: "not-the-api-server", Expression: "request.userInfo.username != 'system:apiserver'"},
		{Name: "not-nodes", Expression: "!(has(request.userInfo.groups) && 'system:nodes' in request.userInfo.groups)"},
		{Name: "not-leases-or-events", Expression: "!(request.resource.group == 'coordination.k8s.io' && request.resource.resource == 'leases') && request.resource.resource != 'events'"},
	}
	if w.self != "" {
		all = append(all, admissionregistrationv1.MatchCondition{Name: "not-gatehouse", Expression: "request.userInfo.username != '" + w.self + "'"})
	}
	return all
}

// rules select exactly the resources that selectors can match, in a stable order.
func (w *webhooks) rules(selectors []policy.Selector, possible ...admission.Operation) []admissionregistrationv1.RuleWithOperations {
	type resource struct{ group, name string }
	operations := map[resource]map[admission.Operation]bool{}
	for _, s := range selectors {
		wanted := possible
		if s.Operations != nil && !slices.Contains(s.Operations, "*") {
			wanted = slices.DeleteFunc(slices.Clone(possible), func(o admission.Operation) bool { return !slices.Contains(s.Operations, o) })
		}
		groups := s.Groups
		if groups == nil {
			groups = []string{"*"}
		}
		for _, group := range groups {
			for _, name := range w.resources(&s, group) {
				at := resource{group, name}
				if operations[at] == nil {
					operations[at] = map[admission.Operation]bool{}
				}
				for _, o := range wanted {
					operations[at][o] = true
				}
			}
		}
	}
	// One rule for all resources of a group with the same operations.
	byOperations := map[[2]string][]string{}
	for at, of := range operations {
		var names []string
		for _, o := range slices.Sorted(maps.Keys(of)) {
			names = append(names, string(o))
		}
		if len(names) > 0 {
			key := [2]string{at.group, strings.Join(names, ",")}
			byOperations[key] = append(byOperations[key], at.name)
		}
	}
	var rules []admissionregistrationv1.RuleWithOperations
	everywhere := admissionregistrationv1.AllScopes
	keys := slices.SortedFunc(maps.Keys(byOperations), func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	for _, key := range keys {
		names := simplest(byOperations[key])
		rule := admissionregistrationv1.RuleWithOperations{Rule: admissionregistrationv1.Rule{
			APIGroups: []string{key[0]}, APIVersions: []string{"*"}, Resources: names, Scope: &everywhere,
		}}
		for _, o := range strings.Split(key[1], ",") {
			rule.Operations = append(rule.Operations, admissionregistrationv1.OperationType(o))
		}
		rules = append(rules, rule)
	}
	return rules
}

// simplest is the same list without what a wildcard covers: an API server refuses it
// beside one.
func simplest(names []string) []string {
	if slices.Contains(names, "*/*") {
		return []string{"*/*"}
	}
	if slices.Contains(names, "*") {
		names = slices.DeleteFunc(names, func(n string) bool { return n != "*" && !strings.Contains(n, "/") })
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (w *webhooks) resources(s *policy.Selector, group string) []string {
	wholes := slices.Equal(s.Resources, []string{"*"}) // no subresources
	anyKind := s.Kinds == nil || slices.Contains(s.Kinds, "*") || group == "*"
	switch {
	case s.Resources != nil && (!wholes || anyKind):
		return s.Resources
	case anyKind:
		return []string{"*/*"}
	}
	var all []string
	for _, kind := range s.Kinds {
		// A kind that is not served yet is looked for again when its definition comes.
		all = append(all, w.kinds.Resources(schema.GroupKind{Group: group, Kind: kind})...)
	}
	if wholes {
		all = slices.DeleteFunc(all, func(name string) bool { return strings.Contains(name, "/") })
	}
	return all
}
