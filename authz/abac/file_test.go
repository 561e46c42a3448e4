package abac

import (
	"context"
	"strings"
	"sync"
	"testing"

	"k8s.io/apiserver/pkg/authorization/authorizer"
)

func TestFileKeepsTheLastGoodPolicies(t *testing.T) {
	ctx := context.Background()
	file := NewFile("policies.jsonl")
	allows := func(who string) bool {
		decision, _, _ := file.Authorize(ctx, attributes(who+" - get shop pods -"))
		return decision == authorizer.DecisionAllow
	}
	if allows("ann") {
		t.Error("allows before the first policies")
	}
	if err := file.Load([]byte(`{"user":"ann"}`)); err != nil || !allows("ann") {
		t.Errorf("ann is not allowed: %v", err)
	}
	err := file.Load([]byte("{\"user\":\"bob\"}\n{ not a policy"))
	if err == nil || !strings.HasPrefix(err.Error(), "policies.jsonl:2: ") {
		t.Errorf("error %v", err)
	}
	if !allows("ann") || allows("bob") {
		t.Error("a bad file changed the policies")
	}
	if err := file.Load(nil); err != nil || allows("ann") {
		t.Errorf("an empty file allows: %v", err)
	}
}

func TestFileIsReadWhileItIsLoaded(t *testing.T) {
	file := NewFile("policies.jsonl")
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 1000 {
				a := attributes("ann devs get shop pods -")
				file.Authorize(t.Context(), a)
				file.ConditionsAwareAuthorize(t.Context(), a)
				file.RulesFor(t.Context(), a.User, "shop")
				file.Findings()
			}
		})
	}
	for range 50 {
		file.Load([]byte(shopFile))
		file.Load([]byte("{"))
	}
	readers.Wait()
}

func TestNoConditionIsEverEvaluated(t *testing.T) {
	d, _, err := NewFile("f").EvaluateConditions(t.Context(), authorizer.ConditionsAwareDecisionAllow("", nil), nil)
	if d != authorizer.DecisionDeny || err != authorizer.ErrorConditionEvaluationNotSupported {
		t.Error(d, err)
	}
}
