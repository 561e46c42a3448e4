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

// withSession is the context of a query that may ask providers.
func withSession(ctx context.Context, s *provider.Session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
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
	session, ok := bctx.Context.Value(sessionKey{}).(*provider.Session)
	if !ok {
		return nil, errors.New("no provider can be asked here")
	}
	responses, failures := []any{}, []any{}
	answer, err := session.Ask(bctx.Context, q.Provider, q.Keys)
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
	return ast.NewTerm(value), nil
}
