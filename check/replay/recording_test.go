package replay

import (
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/audit"
)

const someAuditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: [system:kube-proxy], verbs: [watch], resources: [{group: "", resources: [services]}]}
- {level: None, resources: [{group: coordination.k8s.io, resources: [leases]}]}
- {level: None, verbs: [get, list, watch], resources: [{group: "", resources: [pods, pods/log]}]}
- {level: None, nonResourceURLs: ["/healthz*"]}
- {level: Metadata}
`

func TestLeaves(t *testing.T) {
	r, err := NewRecording([]byte(someAuditPolicy))
	if err != nil {
		t.Fatal(err)
	}
	got := r.Leaves([]schema.GroupResource{{Resource: "pods"}, {Resource: "pods/log"}, {Resource: "services"}, {Group: "coordination.k8s.io", Resource: "leases"}})
	want := &Unrecorded{
		Sets: []UnrecordedSet{
			{[]string{"get", "list", "watch"}, []string{"pods", "pods/log"}},
			{[]string{"*"}, []string{"leases.coordination.k8s.io"}},
		},
		Rules: []string{"rules[0]: users system:kube-proxy; verbs watch; resources services"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if r.RecordsPath("get", "/healthz/etcd") || !r.RecordsPath("get", "/metrics") {
		t.Error("paths are not recorded as the policy has it")
	}
	if _, err := NewRecording([]byte("kind: Pod")); err == nil {
		t.Error("a Pod is an audit policy")
	}
	if r, err = NewRecording(audit.DefaultPolicy); err != nil || !r.Records("get", "", "secrets") {
		t.Errorf("the built-in policy: %v", err)
	}
}
