package guard

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

var (
	admins = Holder{Kind: "Group", Name: "gatehouse:admins"}
	root   = Holder{Kind: "User", Name: "root"}
	keeper = Holder{Kind: "ServiceAccount", Namespace: "ops", Name: "keeper"}
)

func TestLockOut(t *testing.T) {
	const everything = `resources: ["*"]`
	for _, c := range []struct {
		name, candidate string
		in              map[string]string // Guards in force
		holders         []Holder
		want            []string // parts of the error; none: no lock-out
	}{
		{"about something else", `{subjects: {all: true}, resources: [secrets]}`, nil, []Holder{admins}, nil},
		{"everything but secrets", `{subjects: {all: true}, exceptResources: [secrets]}`, nil, []Holder{admins, root, keeper},
			[]string{"Guard new would leave nobody who could delete Guard new", "Group gatehouse:admins (refused by Guard new)", "User root", "ServiceAccount ops/keeper", "spec.except"}},
		{"a holder is excepted", `{subjects: {all: true}, except: {users: [root]}, ` + everything + `}`, nil, []Holder{admins, root}, nil},
		{"an excepted group is no holder", `{subjects: {all: true}, except: {groups: [break-glass]}, ` + everything + `}`, nil, []Holder{admins}, []string{"Group gatehouse:admins"}},
		{"an excepted member of a holding group may not be one", `{subjects: {all: true}, except: {users: [jane]}, ` + everything + `}`, nil, []Holder{admins}, []string{"Group gatehouse:admins"}},
		{"everybody is authenticated", `{subjects: {groups: ["system:authenticated"]}, ` + everything + `}`, nil, []Holder{admins, root, keeper}, []string{"User root"}},
		{"another user", `{subjects: {users: [jane]}, ` + everything + `}`, nil, []Holder{admins}, nil},
		{"all service accounts", `{subjects: {groups: ["system:serviceaccounts"]}, ` + everything + `}`, nil, []Holder{keeper}, []string{"ServiceAccount ops/keeper"}},
		{"service accounts of a namespace", `{subjects: {serviceAccounts: [{namespace: ops, name: "*"}]}, ` + everything + `}`, nil, []Holder{keeper}, []string{"ServiceAccount ops/keeper"}},
		{"a service account named as a user", `{subjects: {serviceAccounts: [{namespace: ops, name: "*"}]}, ` + everything + `}`, nil,
			[]Holder{{Kind: "User", Name: "system:serviceaccount:ops:keeper"}}, []string{"refused by Guard new"}},
		{"reads alone", `{subjects: {all: true}, verbs: [get, list, watch], ` + everything + `}`, nil, []Holder{admins}, nil},
		{"in namespaces alone", `{subjects: {all: true}, ` + everything + `, namespaces: ["*"]}`, nil, []Holder{admins}, nil},
		{"the API group", `{subjects: {all: true}, apiGroups: [gatehouse.io]}`, nil, []Holder{admins}, []string{"Guard new"}},
		{"itself by name", `{subjects: {all: true}, resources: [guards], names: ["n*"]}`, nil, []Holder{admins}, []string{"Guard new"}},
		{"another by name", `{subjects: {all: true}, resources: [guards], names: [base]}`, map[string]string{"base": `{subjects: {all: true}, resources: [pods]}`}, []Holder{admins}, nil},
		{"two that keep each other", `{subjects: {all: true}, resources: [guards], names: [base]}`,
			map[string]string{"base": `{subjects: {all: true}, resources: [guards], names: [new]}`}, []Holder{admins}, []string{"could delete Guard base, new"}},
		{"audit refuses nobody", `{subjects: {all: true}, ` + everything + `, mode: audit}`, nil, []Holder{admins}, nil},
		{"a window counts as open", `{subjects: {all: true}, ` + everything + `, windows: [{notAfter: "2000-01-01T00:00:00Z"}]}`, nil, []Holder{admins}, []string{"Guard new"}},
		{"a condition counts as true", `{subjects: {all: true}, ` + everything + `, condition: "false"}`, nil, []Holder{admins}, []string{"Guard new"}},
		{"a condition that does not compile too", `{subjects: {all: true}, ` + everything + `, condition: "("}`, nil, []Holder{admins}, []string{"Guard new"}},
		{"the last holder", `{subjects: {users: [root]}, ` + everything + `}`,
			map[string]string{"a": `{subjects: {groups: ["gatehouse:admins"]}, resources: [guards]}`}, []Holder{admins, root},
			[]string{"could delete Guard a, new", "Group gatehouse:admins (refused by Guard a)", "User root (refused by Guard new)"}},
		{"one holder takes one down, and then the other the rest", `{subjects: {users: [root]}, resources: [guards], names: [base]}`,
			map[string]string{"base": `{subjects: {groups: ["gatehouse:admins"]}, resources: [guards], names: [base]}`}, []Holder{admins, root}, nil},
		{"what was stuck before is not its doing", `{subjects: {all: true}, resources: [pods]}`,
			map[string]string{"old": `{subjects: {all: true}, resources: [guards], names: [old]}`}, []Holder{admins}, nil},
		{"the new version mends the old", `{subjects: {users: [jane]}, ` + everything + `}`,
			map[string]string{"new": `{subjects: {all: true}, ` + everything + `}`}, []Holder{admins}, nil},
		{"nobody may delete Guards", `{subjects: {users: [jane]}, resources: [pods]}`, nil, nil, []string{"nobody may delete Guards"}},
		{"anonymous", `{subjects: {groups: ["system:authenticated"]}, ` + everything + `}`, nil, []Holder{{Kind: "User", Name: "system:anonymous"}}, nil},
		{"everybody unknown", `{subjects: {groups: ["system:authenticated"]}, ` + everything + `}`, nil, []Holder{{Kind: "Group", Name: "system:unauthenticated"}}, nil},
		{"no Guard", `{subjects: {}, resources: [pods]}`, nil, []Holder{admins}, []string{`read Guard "new": spec.subjects`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			candidate := parse(t, "new", c.candidate)
			var all []v1alpha1.Guard
			for name, spec := range c.in {
				all = append(all, parse(t, name, spec))
			}
			err := LockOut(&candidate, all, c.holders)
			if (err != nil) != (len(c.want) > 0) {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}

// What LockOut lets in can be deleted: the gate itself says so.
func TestWhatLockOutLetsInCanBeDeleted(t *testing.T) {
	candidate := parse(t, "new", `{subjects: {all: true}, except: {users: [root]}, resources: ["*"], condition: "("}`)
	if err := LockOut(&candidate, nil, []Holder{root}); err != nil {
		t.Fatal(err)
	}
	a := newTest(t, Options{})
	if err := a.Upsert(&candidate); err == nil {
		t.Fatal("a condition that does not compile is not refused")
	}
	for request, want := range map[string]bool{
		"root,system:authenticated delete guards.gatehouse.io -/new": false,
		"anna,system:authenticated delete guards.gatehouse.io -/new": true,
	} {
		if denied, _ := decide(t, a, request); denied != want {
			t.Errorf("%s: denied %v", request, denied)
		}
	}
}

func TestLockOutOfThousands(t *testing.T) {
	var all []v1alpha1.Guard
	for i := range 2000 {
		all = append(all, parse(t, fmt.Sprintf("g%d", i), fmt.Sprintf(`{subjects: {groups: [g%d]}, resources: ["*"]}`, i)))
	}
	var holders []Holder
	for i := range 1000 {
		holders = append(holders, Holder{Kind: "Group", Name: fmt.Sprintf("g%d", i)})
	}
	candidate := parse(t, "new", `{subjects: {all: true}, resources: ["*"]}`)
	began := time.Now()
	err := LockOut(&candidate, all, holders)
	var locked *LockOutError
	if !errors.As(err, &locked) || len(locked.Holders) != 1000 || !slices.Contains(locked.Stuck, "new") || len(err.Error()) > 1000 {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	t.Log(time.Since(began))
}
