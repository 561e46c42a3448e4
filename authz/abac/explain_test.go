package abac

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/gate"
)

const shopFile = `# who may do what in the shop
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"ann","namespace":"shop","resource":"pods","readonly":true}}
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"group":"devs","namespace":"shop","resource":"*","apiGroup":"apps"}}
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"ann","group":"ops","namespace":"*","resource":"pods"}}

{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"group":"*","nonResourcePath":"/healthz*","readonly":true}}
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"bob","namespace":"*","resource":"*","apiGroup":"*"}}
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"ann","namespace":"shop","resource":"pods"}}
`

func TestStepsNameTheLine(t *testing.T) {
	policies := mustParse(t, shopFile)
	for _, test := range []struct {
		request string // user, groups, verb, and a path or namespace, resource and API group
		want    string
	}{
		{"ann devs get shop pods -", "allow: allowed by the policy of user ann; by f:2"},
		{"ann devs delete shop pods -", "allow: allowed by the policy of user ann; by f:8"},
		{"ann ops delete shop pods -", "allow: allowed by the policy of user ann in group ops; by f:4"},
		{"eve ops,devs,devs delete shop deployments apps", "allow: allowed by the policy of group devs; by f:3"},
		{"eve system:authenticated get /healthz/etcd", "allow: allowed by the policy of group system:authenticated; by f:6"},
		{"ann devs delete kube-system pods -", "no opinion: no policy allows it; " +
			"f:4 lacks the user in group ops; f:8 lacks namespace kube-system (it has shop); " +
			"f:2 lacks namespace kube-system (it has shop) and verb delete (it is readonly)"},
		{"eve devs get - nodes -", `no opinion: no policy allows it; f:3 lacks all namespaces (it has shop) and API group "" (the core group) (it has apps)`},
		{"ann - get shop deployments apps", "no opinion: no policy allows it; " +
			"f:2 lacks resource deployments (it has pods) and API group apps; f:8 lacks resource deployments (it has pods) and API group apps"},
		{"eve system:authenticated post /healthz", "no opinion: no policy allows it; f:6 lacks verb post (it is readonly)"},
		{"eve system:authenticated get /metrics", "no opinion: no policy allows it; f:6 lacks path /metrics (it has /healthz*)"},
		{"eve - get shop pods -", "no opinion: no policy allows it"},
	} {
		recorder := &gate.Recorder{All: true}
		decision, _, err := policies.Authorize(gate.WithRecorder(context.Background(), recorder), attributes(test.request))
		steps := recorder.Steps()
		if err != nil || len(steps) != 1 || steps[0].Gate != "authorization" || steps[0].Part != "ABAC" {
			t.Fatalf("%s: %+v, %v", test.request, steps, err)
		}
		if got := draw(steps[0]); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.request, got, test.want)
		}
		if (decision == authorizer.DecisionAllow) != (steps[0].Opinion == gate.Allow) {
			t.Errorf("%s: %v, and the step says %s", test.request, decision, steps[0].Opinion)
		}
	}
}

func TestMissesAreForWhoAsksForAll(t *testing.T) {
	recorder := &gate.Recorder{}
	ctx := gate.WithRecorder(context.Background(), recorder)
	policies := mustParse(t, shopFile)
	policies.Authorize(ctx, attributes("ann - delete kube-system pods -"))
	policies.Authorize(ctx, authorizer.AttributesRecord{Verb: "get", Path: "/healthz"})
	steps := recorder.Steps()
	if got := draw(steps[0]); got != "no opinion: no policy allows it" {
		t.Error(got)
	}
	if got := draw(steps[1]); got != "no opinion: the request has no user" {
		t.Error(got)
	}
}

func mustParse(t testing.TB, data string) *Policies {
	t.Helper()
	policies, err := Parse("f", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return policies
}

// attributes reads a request as the tables write it, with - for what is empty.
func attributes(text string) authorizer.AttributesRecord {
	words := strings.Fields(text)
	for i := range words {
		words[i] = strings.TrimPrefix(words[i], "-")
	}
	a := authorizer.AttributesRecord{User: &user.DefaultInfo{Name: words[0], Groups: strings.Split(words[1], ",")}, Verb: words[2]}
	if len(words) == 4 {
		a.Path = words[3]
		return a
	}
	a.ResourceRequest, a.Namespace, a.Resource, a.APIGroup = true, words[3], words[4], words[5]
	return a
}

func draw(s gate.Step) string {
	text := fmt.Sprintf("%s: %s", s.Opinion, s.Reason)
	for _, source := range s.Sources {
		text += "; by " + source.String()
	}
	for _, miss := range s.Misses {
		text += "; " + miss.Sources[0].String() + " lacks " + miss.Lacks
	}
	return text
}
