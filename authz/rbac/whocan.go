package rbac

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/gate"
)

// WhoCanOptions say which part of the answer WhoCan gives.
type WhoCanOptions struct {
	// Limit is how many holders are returned at most. Default: 500.
	Limit int
	// Continue is where an answer before this one ended. Default: the beginning.
	Continue string
	// AnyNamespace asks who may in any namespace at all, instead of in the one of
	// the request.
	AnyNamespace bool
}

// DefaultLimit is the limit of WhoCan where none is asked for.
const DefaultLimit = 500

// Holder is a subject that may make a request, and through what.
type Holder struct {
	Subject rbacv1.Subject // of a service account the namespace is filled in
	Binding gate.Source
	Role    gate.Source // Part is the rule
	Rule    rbacv1.PolicyRule
	// Wildcard says that the rule is for more than this: it has a * where the
	// request could have been named.
	Wildcard bool
	// ExpiresAt is when the binding ends; nil where it does not.
	ExpiresAt *metav1.Time
}

// WhoCanResult is an answer of WhoCan.
type WhoCanResult struct {
	// Holders are ordered by role, binding and place in the binding. A subject that
	// may through several bindings is in it several times.
	Holders []Holder
	// Continue asks for what follows; empty where nothing does.
	Continue string
}

// ErrContinue is a WhoCanOptions.Continue that no answer gave.
var ErrContinue = errors.New("continue token is not one of an earlier answer")

// place is a position in the order of holders: the next to be looked at.
type place struct {
	Kind      string `json:"k"`
	RoleSpace string `json:"rn"`
	Role      string `json:"r"`
	Namespace string `json:"n"`
	Binding   string `json:"b"`
	Subject   int    `json:"s"`
}

func (p place) String() string {
	data, _ := json.Marshal(p) // strings and a number
	return base64.RawURLEncoding.EncodeToString(data)
}

func readPlace(text string) (p place, err error) {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil || p.Subject < 0 {
		return p, ErrContinue
	}
	return p, nil
}

// WhoCan lists the subjects that may make a request; its user does not matter. The
// answer is of one instant; a later part may be of a later one.
func (x *Index) WhoCan(a authorizer.Attributes, opts WhoCanOptions) (WhoCanResult, error) {
	if opts.Limit <= 0 {
		opts.Limit = DefaultLimit
	}
	var from place
	if opts.Continue != "" {
		var err error
		if from, err = readPlace(opts.Continue); err != nil {
			return WhoCanResult{}, fmt.Errorf("read continue token: %w", err)
		}
	}
	var q query
	q.fill(a)
	now := x.unix()

	x.mu.RLock()
	defer x.mu.RUnlock()
	var result WhoCanResult
	start := &role{key: roleKey{from.Kind, from.RoleSpace, from.Role}}
	x.ordered.AscendGreaterOrEqual(start, func(r *role) bool {
		c := r.rules.Load()
		if c == nil || r.bindings == nil {
			return true
		}
		if r.key.kind == kindRole && !opts.AnyNamespace && r.key.namespace != q.namespace {
			return true
		}
		rule := c.allows(&q)
		if rule == nil {
			return true
		}
		resume := place{}
		if r.key == start.key {
			resume = from
		}
		wildcard := isWildcard(&c.rules[rule.at], q.isResource)
		each := func(b *binding) bool {
			if !b.counts(now) {
				return true
			}
			first := 0
			if b.namespace == resume.Namespace && b.name == resume.Binding {
				first = resume.Subject
			}
			for i := first; i < len(b.subjects); i++ {
				if len(result.Holders) == opts.Limit {
					result.Continue = place{r.key.kind, r.key.namespace, r.key.name, b.namespace, b.name, i}.String()
					return false
				}
				if _, ok := memberOf(&b.subjects[i], b.namespace); !ok {
					continue
				}
				s := b.subjects[i]
				if s.Kind == rbacv1.ServiceAccountKind {
					s.Namespace = accountNamespace(&s, b.namespace)
				}
				result.Holders = append(result.Holders, Holder{
					Subject: s, Binding: b.describe(), Role: r.describe(rule.at), Rule: c.rules[rule.at], Wildcard: wildcard, ExpiresAt: b.end(),
				})
			}
			return true
		}
		scopes := []string{""}
		if q.namespace != "" {
			scopes = append(scopes, q.namespace)
		}
		at := &binding{namespace: resume.Namespace, name: resume.Binding}
		if opts.AnyNamespace {
			r.bindings.AscendGreaterOrEqual(at, each)
			return result.Continue == ""
		}
		for _, namespace := range scopes {
			begin := at
			if namespace != at.namespace {
				if namespace < at.namespace {
					continue
				}
				begin = &binding{namespace: namespace}
			}
			r.bindings.AscendGreaterOrEqual(begin, func(b *binding) bool { return b.namespace == namespace && each(b) })
			if result.Continue != "" {
				return false
			}
		}
		return true
	})
	return result, nil
}
