package cel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	v1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

// nested loops over a list of ten so many times.
func nested(depth int) string {
	list := "[0,1,2,3,4,5,6,7,8,9]"
	text := "true"
	for i := range depth {
		text = fmt.Sprintf("%s.all(v%d, %s)", list, i, text)
	}
	return text
}

func evaluate(t *testing.T, ctx context.Context, rules cel.Rules) []cel.Decision {
	t.Helper()
	program, faults := shared().Compile(rules)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	r := policy.NewRequest(attributes(admission.Create, pod(t), nil, pods, ""), nil, &cluster{})
	return program.Evaluate(ctx, r, nil, nil)
}

func TestExpensiveExpressions(t *testing.T) {
	ignore := v1.Ignore
	t.Run("one expression", func(t *testing.T) {
		got := evaluate(t, context.Background(), cel.Rules{Validations: []v1.Validation{{Expression: nested(9)}}})
		if len(got) != 1 || !got[0].Failed || got[0].Ignored || !strings.Contains(got[0].Message, "cost limit exceeded") {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("ignored where the policy says so", func(t *testing.T) {
		got := evaluate(t, context.Background(), cel.Rules{FailurePolicy: &ignore, Validations: []v1.Validation{{Expression: nested(9)}}})
		if len(got) != 1 || !got[0].Ignored {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("many that are each within the limit", func(t *testing.T) {
		rules := cel.Rules{}
		for range 40 {
			rules.Validations = append(rules.Validations, v1.Validation{Expression: nested(5)})
		}
		got := evaluate(t, context.Background(), rules)
		if len(got) == 0 || !got[0].Failed || !strings.Contains(got[0].Message, "running out of cost budget") {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("a variable", func(t *testing.T) {
		got := evaluate(t, context.Background(), cel.Rules{Variables: []v1.Variable{{Name: "v", Expression: nested(9)}}, Validations: []v1.Validation{{Expression: "variables.v"}}})
		if len(got) != 1 || !got[0].Failed || !strings.Contains(got[0].Message, "cost limit exceeded") {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("a match condition", func(t *testing.T) {
		got := evaluate(t, context.Background(), cel.Rules{MatchConditions: []v1.MatchCondition{{Name: "c", Expression: nested(9)}}, Validations: []v1.Validation{{Expression: "true"}}})
		if len(got) != 1 || !got[0].Failed {
			t.Errorf("got %+v", got)
		}
	})
}

// A request whose client has gone is not worked on.
func TestTheDeadlineIsHeeded(t *testing.T) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	got := evaluate(t, gone, cel.Rules{Validations: []v1.Validation{{Expression: nested(5)}}})
	if len(got) != 1 || !got[0].Failed || !strings.Contains(got[0].Message, "interrupted") {
		t.Errorf("got %+v", got)
	}
}

// lost is a cluster that cannot be reached.
type lost struct{ policy.Cluster }

var errLost = errors.New("the cluster cannot be reached")

func (lost) Namespace(context.Context, string) (*corev1.Namespace, error) { return nil, errLost }

func TestAClusterThatCannotBeReachedRefuses(t *testing.T) {
	for _, failure := range []string{"Fail", "Ignore"} {
		all := policies(t, 1)
		all[0].Object["spec"].(map[string]any)["failurePolicy"] = failure
		out := newSet(t, all).Validate(context.Background(), policy.NewRequest(attributes(admission.Create, pod(t), nil, pods, ""), nil, lost{}))
		// Upstream ends with the error, whatever the failure policy.
		if len(out.Denials) != 1 || !errors.Is(out.Denials[0].Err, errLost) {
			t.Errorf("%s: %+v", failure, out)
		}
	}
}

// An object as large as an API server takes, with what is hard on evaluators.
func TestLargeObjects(t *testing.T) {
	large := pod(t)
	annotations := map[string]any{}
	for i := range 3000 {
		annotations[fmt.Sprintf("a%d", i)] = strings.Repeat("x", 1000) // 3 MB
	}
	large.Object["metadata"].(map[string]any)["annotations"] = annotations
	var deep any = "end"
	for range 5000 {
		deep = map[string]any{"d": deep}
	}
	large.Object["spec"].(map[string]any)["deep"] = deep
	large.Object["spec"].(map[string]any)["control"] = "\x1b[31m\x00"
	in := &cluster{namespaces: map[string]*corev1.Namespace{"shop": namespace("shop", nil)}}
	for expression, want := range map[string]string{
		"object.metadata.annotations.size() == 3000":                                          "",
		"object.metadata.annotations.all(k, object.metadata.annotations[k].matches('^x+$'))":  "",
		"object.metadata.annotations.exists(k, k == 'a2999')":                                 "",
		"object.metadata.annotations.all(a, object.metadata.annotations.all(b, a + b != ''))": "cost limit exceeded",
		"object.spec == object.spec":                                                          "",
		"object.spec.control == 'x'":                                                          "failed expression",
	} {
		all := policies(t, 1)
		all[0].Object["spec"].(map[string]any)["validations"] = []any{map[string]any{"expression": expression, "messageExpression": "object.spec.control"}}
		out := newSet(t, all).Validate(context.Background(), policy.NewRequest(attributes(admission.Create, large, nil, pods, ""), nil, in))
		message := out.Message()
		if want == "failed expression" {
			// What the object says stays what it is in a Result, and is plain in a Message.
			if len(out.Denials) != 1 || strings.ContainsAny(message, "\x1b\x00") {
				t.Errorf("%s: %q", expression, message)
			}
			continue
		}
		if want == "cost limit exceeded" && strings.Contains(message, "context deadline exceeded") {
			continue // the slower machine: one of the two bounds holds
		}
		if (message == "") != (want == "") || !strings.Contains(message, want) {
			t.Errorf("%s: %q, want %q", expression, message, want)
		}
	}
}
