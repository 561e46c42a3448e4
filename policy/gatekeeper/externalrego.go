package gatekeeper

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/types"

	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/provider"
)

// externalFunction is the function of Rego that asks a provider:
//
//	response := external_data({"provider": "images", "keys": ["nginx:1.29"]})
const externalFunction = "external_data"

// registerExternal makes the function known to OPA, which keeps its functions for the
// whole process. So ours has no state: the session it spends is that of the query's
// context. Gatekeeper's own is bound to the driver that was built last, and reads
// answers of any length.
var registerExternal = sync.OnceFunc(func() {
	rego.RegisterBuiltin1(&rego.Function{
		Name: externalFunction, Memoize: true, Nondeterministic: true,
		Decl: types.NewFunction(types.Args(types.A), types.A),
	}, askFromRego)
})

// asking is what the constraints of one template have asked providers during a request.
type asking struct {
	session *provider.Session
	// answered has what was answered, by what was asked. Who evaluates for the template
	// writes it, one after the other.
	answered *ast.ValueMap
}

// withSession is the context of a template's questions that may ask providers: what was
// answered to one of its constraints is not asked again for another.
func withSession(ctx context.Context, s *provider.Session) context.Context {
	return context.WithValue(ctx, sessionKey{}, &asking{s, ast.NewValueMap()})
}

// askFromRego answers as Gatekeeper's function does. That a provider fails is for the
// policy to judge, by system_error; that it was not asked at all refuses, as the Session
// remembers.
func askFromRego(bctx rego.BuiltinContext, asked *ast.Term) (*ast.Term, error) {
	var q struct {
		Provider string   `json:"provider"`
		Keys     []string `json:"keys"`
	}
	if err := ast.As(asked.Value, &q); err != nil {
		return nil, err
	}
	of, ok := bctx.Context.Value(sessionKey{}).(*asking)
	if !ok {
		return nil, errors.New("no provider can be asked here")
	}
	if known := of.answered.Get(asked.Value); known != nil {
		return ast.NewTerm(known), nil
	}
	responses, failures := []any{}, []any{}
	answer, err := of.session.Ask(bctx.Context, q.Provider, q.Keys)
	if err != nil {
		status := http.StatusInternalServerError
		if errors.As(err, new(*provider.RefusedError)) {
			status = http.StatusBadRequest
		}
		answer = &provider.Answer{Status: status, SystemError: err.Error()}
	}
	for _, item := range answer.Items {
		if item.Error != "" {
			failures = append(failures, []any{item.Key, item.Error})
		} else {
			responses = append(responses, []any{item.Key, item.Value})
		}
	}
	value, err := ast.InterfaceToValue(map[string]any{"responses": responses, "errors": failures, "status_code": answer.Status, "system_error": answer.SystemError})
	if err != nil {
		return nil, err
	}
	of.answered.Put(asked.Value, value)
	return ast.NewTerm(value), nil
}
