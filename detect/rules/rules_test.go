package rules_test

import (
	"testing"

	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/rules"
)

func TestRulesHold(t *testing.T) {
	files, err := rules.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set, problems := detect.Compile(files.Rules, detect.Options{})
	if err := files.Locate(problems); err != nil {
		t.Fatal(err)
	}
	if files.Others > 0 || len(files.Mutes) > 0 {
		t.Errorf("%d objects are no rules", files.Others+len(files.Mutes))
	}
	if n := len(set.Rules()); n < 45 {
		t.Errorf("only %d rules", n)
	}
	for _, r := range set.Rules() {
		x := r.Spec.Examples
		if len(x.Positive) < 2 || len(x.Negative) < 2 {
			t.Errorf("%s has %d positive and %d negative examples", r.Name, len(x.Positive), len(x.Negative))
		}
		if len(r.Spec.Attack.Tactics) == 0 || len(r.Spec.Attack.Techniques) == 0 || r.Spec.FalsePositives == "" {
			t.Errorf("%s lacks a tactic, a technique or a word on false positives", r.Name)
		}
	}
}
