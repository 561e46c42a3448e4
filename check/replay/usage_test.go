package replay

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit"
)

const usedWorld = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: edit}
rules:
- {apiGroups: [""], resources: [pods, pods/log, secrets], verbs: [get, list, delete]}
- {apiGroups: ["*"], resources: ["*"], verbs: ["*"]}
- {nonResourceURLs: ["/metrics", "/healthz"], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: everywhere}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{kind: Group, name: ops}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: devs, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{kind: Group, name: developers}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: nobody, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: gone}
subjects: [{kind: ServiceAccount, name: builder}]
`

func used(t *testing.T, target Target, requests ...*audit.Request) *UsageReport {
	t.Helper()
	recording, err := NewRecording([]byte(someAuditPolicy))
	if err != nil {
		t.Fatal(err)
	}
	reader := &ordering{Memory: &audit.Memory{}, requests: requests}
	report, err := Use(context.Background(), reader, UsageOptions{World: World{View: viewOf(t, usedWorld)}, Target: target, Recording: recording})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func names(report *UsageReport) (all []string) {
	for _, b := range report.Bindings {
		all = append(all, b.Binding.Name)
	}
	return all
}

func TestUse(t *testing.T) {
	jane := request(func(r *audit.Request) { r.Groups = []string{"developers"} })
	joe := request(func(r *audit.Request) { r.User, r.Groups, r.Verb = "joe", []string{"developers", "ops"}, "delete" })
	refused := request(func(r *audit.Request) { r.Decision = "forbid" })
	unsaid := request(func(r *audit.Request) { r.User, r.Groups, r.Decision = "ann", []string{"developers"}, "" })
	other := request(func(r *audit.Request) { r.User, r.Groups, r.Reason = "node", []string{"system:nodes"}, "" })
	groupless := request(func(r *audit.Request) { r.User, r.Groups, r.GroupsUnknown = "zoe", nil, true })
	all := []*audit.Request{jane, joe, refused, unsaid, other, groupless}

	report := used(t, Target{}, all...)
	if report.Seen.Distinct != 5 || report.Elsewhere.Distinct != 2 || report.GroupsUnknown.Distinct != 1 {
		t.Errorf("%+v", report)
	}
	everywhere, devs, nobody := report.Bindings[0], report.Bindings[1], report.Bindings[2]
	if everywhere.Requests != 3 || devs.Requests != 9 || nobody.Requests != 0 || !nobody.Missing || nobody.Last != nil {
		t.Errorf("%+v", report.Bindings)
	}
	pods := devs.Rules[0]
	if pods.Requests != 9 || len(pods.Uses) != 2 || pods.Uses[0].Verb != "delete" || pods.Uses[0].Requests != 3 || pods.Uses[1].Requests != 6 || !slices.Equal(pods.Uses[0].Names, []string{"web"}) {
		t.Errorf("%+v", pods)
	}
	if !slices.Equal(pods.UnusedVerbs, []string{"list"}) || !slices.Equal(pods.UnusedResources, []string{"pods/log", "secrets"}) || pods.Wildcard || !slices.Equal(pods.Unrecorded, []string{"get", "list"}) {
		t.Errorf("%+v", pods)
	}
	if star := devs.Rules[1]; !star.Wildcard || len(star.Uses) != 2 || star.UnusedVerbs != nil {
		t.Errorf("%+v", star)
	}
	if paths := devs.Rules[2]; paths.Requests != 0 || !slices.Equal(paths.UnusedResources, []string{"/metrics", "/healthz"}) || !slices.Equal(paths.Unrecorded, []string{"get"}) {
		t.Errorf("%+v", paths)
	}
	bindings, rules := report.Unused()
	if len(bindings) != 1 || bindings[0].Binding.Name != "nobody" || len(rules) != 2 || len(rules[0].Rules) != 1 {
		t.Errorf("unused %+v, %+v", bindings, rules)
	}

	for _, test := range []struct {
		target Target
		seen   int64
		want   []string
	}{
		{Target{User: "jane"}, 1, []string{"devs"}},
		{Target{User: "jane", Groups: []string{"ops"}}, 1, []string{"everywhere", "devs"}},
		{Target{User: "joe"}, 1, []string{"everywhere", "devs"}},
		{Target{User: "system:serviceaccount:shop:builder"}, 0, []string{"nobody"}},
		{Target{Group: "ops"}, 1, []string{"everywhere"}},
		{Target{RoleKind: "ClusterRole", RoleName: "edit"}, 5, []string{"everywhere", "devs"}},
		{Target{RoleKind: "Role", RoleNamespace: "shop", RoleName: "gone"}, 5, []string{"nobody"}},
		{Target{BindingKind: "RoleBinding", BindingNamespace: "shop", BindingName: "devs"}, 5, []string{"devs"}},
		{Target{BindingKind: "ClusterRoleBinding", BindingName: "devs"}, 5, nil},
	} {
		report := used(t, test.target, all...)
		if report.Seen.Distinct != test.seen || !slices.Equal(names(report), test.want) {
			t.Errorf("%+v: %+v, %v", test.target, report.Seen, names(report))
		}
	}
	// joe's use of the binding of the developers is his own, and not jane's.
	if b := used(t, Target{User: "joe"}, all...).Bindings[1]; b.Requests != 3 {
		t.Errorf("%+v", b)
	}
}

// A grant that is not used can go, and nothing flips: over random histories.
func TestUnusedBindingsCanGo(t *testing.T) {
	gone := 0
	for seed := range uint64(30) {
		c := newChance(1000 + seed)
		before := c.world(60)
		reader := memory(c.recorded(60, before.upstream()))
		report, err := Use(context.Background(), reader, UsageOptions{World: World{View: before.view()}})
		if err != nil {
			t.Fatal(err)
		}
		after := objects{}
		unused, _ := report.Unused()
		for key, o := range before {
			if !slices.ContainsFunc(unused, func(b BindingUsage) bool {
				return key == "*v1."+b.Binding.Kind+" "+b.Binding.Namespace+"/"+b.Binding.Name
			}) {
				after[key] = o
			}
		}
		gone += len(before) - len(after)
		flips, err := Run(context.Background(), reader, Options{Current: World{View: before.view()}, Proposed: World{View: after.view()}})
		if err != nil {
			t.Fatal(err)
		}
		if len(flips.Flips) > 0 {
			t.Errorf("seed %d: %+v", seed, flips.Flips)
		}
		again, err := Use(context.Background(), reader, UsageOptions{World: World{View: before.view()}, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		x, _ := json.Marshal(report)
		if y, _ := json.Marshal(again); string(x) != string(y) {
			t.Errorf("seed %d: another number of workers, another report:\n%s\n%s", seed, x, y)
		}
	}
	if gone < 50 {
		t.Errorf("%d unused bindings are too few to prove anything", gone)
	}
}
