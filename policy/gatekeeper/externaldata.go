package gatekeeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/provider"
)

// externalData is spec.parameters.assign.externalData of a mutator.
type externalData struct {
	Provider      string `json:"provider,omitempty"`
	DataSource    string `json:"dataSource,omitempty"`
	FailurePolicy string `json:"failurePolicy,omitempty"`
	Default       string `json:"default,omitempty"`
}

const (
	dataSourceValue    = "ValueAtLocation"
	dataSourceUsername = "Username"

	failurePolicyFail       = "Fail"
	failurePolicyIgnore     = "Ignore"
	failurePolicyUseDefault = "UseDefault"
)

// check also puts the defaults in.
func (d *externalData) check() error {
	d.DataSource, d.FailurePolicy = orElse(d.DataSource, dataSourceValue), orElse(d.FailurePolicy, failurePolicyFail)
	const at = "spec.parameters.assign.externalData."
	switch {
	case d.Provider == "":
		return errors.New(at + "provider: name a Provider")
	case d.DataSource != dataSourceValue && d.DataSource != dataSourceUsername:
		return fmt.Errorf(at+"dataSource: %q is none of ValueAtLocation and Username", d.DataSource)
	case !slices.Contains([]string{failurePolicyFail, failurePolicyIgnore, failurePolicyUseDefault}, d.FailurePolicy):
		return fmt.Errorf(at+"failurePolicy: %q is none of Fail, Ignore and UseDefault", d.FailurePolicy)
	case d.FailurePolicy == failurePolicyUseDefault && d.Default == "":
		return errors.New(at + "default: failurePolicy is UseDefault, and there is none")
	}
	return nil
}

// placeholder stands in an object, while it is being mutated, where a provider's answer
// will be. It does not change.
type placeholder struct {
	of  *externalData
	key string
}

type sessionKey struct{}

// sessionOf is the request's budget, for mutators and constraints alike.
func (e *Engine) sessionOf(r *policy.Request) *provider.Session {
	return r.Lasting(sessionKey{}, func() any { return e.providers.Session() }).(*provider.Session)
}

// resolve puts what providers answer where placeholders are.
func (w *mutating) resolve(ctx context.Context) error {
	wanted := map[string]map[string]bool{}
	w.placeholders(w.object.Object, func(p *placeholder) any {
		if wanted[p.of.Provider] == nil {
			wanted[p.of.Provider] = map[string]bool{}
		}
		wanted[p.of.Provider][p.key] = true
		return p
	})
	if len(wanted) == 0 {
		return nil
	}
	answers, failures := map[string]map[string]provider.Item{}, map[string]error{}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		answer, err := w.providers.Ask(ctx, name, slices.Sorted(maps.Keys(wanted[name])))
		switch {
		case err != nil:
		case strings.TrimSpace(answer.SystemError) != "":
			err = fmt.Errorf("the provider %s says that it fails: %s", name, short(answer.SystemError))
		case !answer.Idempotent:
			err = fmt.Errorf("the answer of the provider %s is not idempotent", name)
		}
		if err != nil {
			failures[name] = err
			continue
		}
		answers[name] = make(map[string]provider.Item, len(answer.Items))
		for _, item := range answer.Items {
			answers[name][item.Key] = item
		}
	}
	var failed error
	var failing string
	put := func(p *placeholder) any {
		name := p.of.Provider
		err := failures[name]
		item, ok := answers[name][p.key]
		value, isText := item.Value.(string)
		switch {
		case err != nil:
		case !ok:
			err = fmt.Errorf("the provider %s does not answer for the key", name)
		case item.Error != "":
			err = fmt.Errorf("the provider %s has no answer: %s", name, short(item.Error))
		case !isText:
			err = fmt.Errorf("the provider %s answers with something that is no string", name)
		}
		if err == nil {
			return value
		}
		switch p.of.FailurePolicy {
		case failurePolicyIgnore:
			return p.key
		case failurePolicyUseDefault:
			return p.of.Default
		}
		if failed == nil {
			failed, failing = err, name
		}
		return ""
	}
	w.placeholders(w.object.Object, put)
	if failed != nil {
		return w.blame(failing, failed)
	}
	for _, s := range w.snapshots() {
		// What was overwritten again was never asked for, and shows as what it was.
		w.placeholders(s.Object, func(p *placeholder) any {
			if !wanted[p.of.Provider][p.key] {
				return p.key
			}
			return put(p)
		})
	}
	return nil
}

// placeholders replaces each one in content.
func (w *mutating) placeholders(value any, with func(*placeholder) any) {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if p, ok := v[key].(*placeholder); ok {
				v[key] = with(p)
			} else {
				w.placeholders(v[key], with)
			}
		}
	case []any:
		for _, one := range v {
			w.placeholders(one, with)
		}
	}
}

// blame says for which mutators a provider was asked.
func (w *mutating) blame(name string, err error) error {
	e := &policy.MutationError{Err: err}
	for _, c := range w.by {
		if m := c.By.(*mutator); m.data != nil && m.data.Provider == name && !slices.Contains(e.By, c.By) {
			e.By = append(e.By, m)
		}
	}
	return e
}

// short bounds what a provider says.
func short(text string) string {
	if len(text) > 512 {
		return strings.ToValidUTF8(text[:512], "") + "…"
	}
	return text
}
