package main

import (
	"github.com/open-policy-agent/gatekeeper/v3/pkg/gator/expand"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/gator/test"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Tested is what gator test says of the objects of a cluster, and what gator expand
// makes of them.
type Tested struct {
	Error, ExpandError string
	Results            []TestResult
	Expanded           []*unstructured.Unstructured
}

// TestResult is one violation, and of which object.
type TestResult struct {
	Kind, Name, Message, Action string
	Scoped                      []string
	Object                      string
}

func gatorTest(objects []*unstructured.Unstructured) *Tested {
	copied := func() (all []*unstructured.Unstructured) {
		for _, o := range objects {
			all = append(all, o.DeepCopy()) // gator mutates what it is given
		}
		return all
	}
	t := &Tested{}
	answer, err := test.Test(copied(), test.WithK8sCEL(false))
	if err != nil {
		t.Error = err.Error()
	} else {
		for _, r := range answer.Results() {
			t.Results = append(t.Results, TestResult{r.Constraint.GetKind(), r.Constraint.GetName(), r.Msg, r.EnforcementAction, r.ScopedEnforcementActions, r.ViolatingObject.GetKind() + "/" + r.ViolatingObject.GetName()})
		}
	}
	if t.Expanded, err = expand.Expand(copied()); err != nil {
		t.ExpandError = err.Error()
	}
	return t
}
