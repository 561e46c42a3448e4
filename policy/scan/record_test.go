package scan

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/follow"
)

func reportOn(name, message string) *Report {
	return &Report{UID: types.UID(name), Namespace: "shop", Name: name, Findings: []Finding{NewFinding(Fail, Rule{Policy: "p"}, message, "")}}
}

func TestReportsTellEachChangeOnce(t *testing.T) {
	s := NewReports(100)
	_, next, ok := s.Since(100)
	if !ok {
		t.Fatal("the version it begins with is not known")
	}
	s.Put("a", reportOn("a", "one"))
	select {
	case <-next:
	default:
		t.Error("who waits is not woken")
	}
	s.Put("a", reportOn("a", "one")) // says the same
	s.Put("b", nil)                  // there was none
	s.Put("a", reportOn("a", "two"))
	s.Put("a", &Report{UID: "a"})
	changes, _, ok := s.Since(100)
	got := ""
	for _, c := range changes {
		got += fmt.Sprint(c.Version, c.First, c.Gone, c.Report.Findings[0].Message(), " ")
	}
	if want := "101 true falseone 102 false falsetwo 103 false truetwo "; !ok || got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if s.Len() != 0 || s.Findings(Fail) != 0 {
		t.Errorf("%d reports with %d findings are left", s.Len(), s.Findings(Fail))
	}
	for _, version := range []uint64{99, 104} {
		if _, _, ok := s.Since(version); ok {
			t.Errorf("version %d is from another time, and is answered", version)
		}
	}
}

func TestWhoFallsFarBehindIsTold(t *testing.T) {
	s := NewReports(0)
	for i := range 3 * mostChanges {
		s.Put("a", reportOn("a", fmt.Sprint(i)))
		if changes, _, ok := s.Since(uint64(i)); !ok || len(changes) != 1 || changes[0].Report.Findings[0].Message() != fmt.Sprint(i) {
			t.Fatalf("change %d is told as %v, %v", i, changes, ok)
		}
	}
	if _, _, ok := s.Since(0); ok {
		t.Error("what was forgotten is told")
	}
	if len(s.log) > mostChanges {
		t.Errorf("%d changes are remembered", len(s.log))
	}
}

func TestListsAreInOrderAndSafe(t *testing.T) {
	s := NewReports(0)
	for _, name := range []string{"c", "a", "b"} {
		s.Put(types.UID(name), reportOn(name, "x"))
	}
	all, version := s.All()
	s.Put("aa", reportOn("aa", "x"))
	if len(all) != 3 || all[0].Name != "a" || version != 3 {
		t.Errorf("%d reports of version %d, the first %s", len(all), version, all[0].Name)
	}
	got := ""
	for r := range s.In("shop") {
		got += r.Name + " "
	}
	for range s.In("sho") {
		t.Error("a namespace that there is nothing in has a report")
	}
	if got != "a aa b c " {
		t.Errorf("got %q", got)
	}
}

// simple is a policy that does not tell its parts.
type simple struct{ *rule }

func TestAPartThatNoPolicyClaimsPullsThoseThatTellNone(t *testing.T) {
	part := policy.Object{Unstructured: object(rules, "Template", "", "t", nil)}
	of := func(kind, name string) *rule {
		return &rule{source: gate.Source{Kind: kind, Name: name, File: "x.yaml"}, resource: name}
	}
	state := &follow.State{Objects: []policy.Object{part}, Policies: []policy.Policy{simple{of("Constraint", "pods")}, compoundRule{of("Rule", "nodes")}}}
	triggers := changes(nil, state, nil, newHashes().statedBy(state, nil))
	if len(triggers) != 1 || triggers[0].reason != Policy {
		t.Fatalf("triggers are %+v", triggers)
	}
	if _, validators := triggers[0].touched.Len(); validators != 1 {
		t.Errorf("%d policies are touched, want the one that tells no parts", validators)
	}
	same := newHashes().statedBy(state, nil)
	if triggers := changes(state, state, same, same); triggers != nil {
		t.Errorf("nothing has changed, and %+v is pulled", triggers)
	}
}
