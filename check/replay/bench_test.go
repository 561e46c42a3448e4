package replay

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/audit"
)

// benchWorld is a cluster of 300 namespaces, 60 roles and 3,000 bindings; changed is
// the same after a change of three roles and the deletion of thirty bindings.
func benchWorld() (before, changed objects) {
	before, changed = objects{}, objects{}
	verbs := [][]string{{"get", "list", "watch"}, {"*"}, {"create", "update", "patch", "delete"}, {"get"}}
	resources := [][]string{{"pods", "pods/log", "services", "configmaps"}, {"deployments", "replicasets"}, {"secrets"}, {"jobs", "cronjobs"}}
	groups := []string{"", "apps", "", "batch"}
	for i := range 60 {
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("role-", i)}}
		for n := range 1 + i%5 {
			at := (i + n) % 4
			role.Rules = append(role.Rules, rbacv1.PolicyRule{Verbs: verbs[at], APIGroups: groups[at : at+1], Resources: resources[at]})
		}
		before.put(role)
		if i%20 == 3 {
			role = role.DeepCopy()
			role.Rules = role.Rules[:1]
		}
		changed.put(role)
	}
	for i := range 3000 {
		subject := rbacv1.Subject{Kind: "User", Name: fmt.Sprint("user-", i/3)}
		switch i % 3 {
		case 1:
			subject = rbacv1.Subject{Kind: "Group", Name: fmt.Sprint("team-", i%100)}
		case 2:
			subject = rbacv1.Subject{Kind: "ServiceAccount", Name: fmt.Sprint("account-", i%10), Namespace: fmt.Sprint("namespace-", i%300)}
		}
		meta := metav1.ObjectMeta{Name: fmt.Sprint("binding-", i), Namespace: fmt.Sprint("namespace-", i%300)}
		ref := rbacv1.RoleRef{Kind: "ClusterRole", Name: fmt.Sprint("role-", i%60)}
		var binding metav1.Object = &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: []rbacv1.Subject{subject}, RoleRef: ref}
		if i%50 == 7 {
			meta.Namespace = ""
			binding = &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: []rbacv1.Subject{subject}, RoleRef: ref}
		}
		before.put(binding)
		if i%100 != 17 {
			changed.put(binding)
		}
	}
	return before, changed
}

// benchEvents are requests of 1,000 users and 3,000 accounts in 300 namespaces. All of
// them differ; their names are 40 to a place.
func benchEvents(count int) []*audit.Event {
	c := newChance(9)
	teams := make([][]string, 100)
	for i := range teams {
		teams[i] = []string{"system:authenticated", "developers", fmt.Sprint("team-", i)}
	}
	kinds := []struct{ group, resource string }{{"", "pods"}, {"", "configmaps"}, {"apps", "deployments"}, {"", "secrets"}, {"batch", "jobs"}, {"", "services"}}
	verbs := []string{"get", "get", "get", "list", "watch", "create", "update", "patch", "delete"}
	events := make([]*audit.Event, count)
	for n := range events {
		kind := kinds[c.IntN(len(kinds))]
		e := &audit.Event{ID: fmt.Sprint(n), Stage: audit.StageComplete, Time: begun.Add(time.Duration(n) * time.Millisecond), Verb: verbs[c.IntN(len(verbs))],
			APIGroup: kind.group, APIVersion: "v1", Resource: kind.resource, Namespace: fmt.Sprint("namespace-", c.IntN(300)), Name: fmt.Sprint("object-", n)}
		if n%3 == 0 {
			e.User = fmt.Sprintf("system:serviceaccount:namespace-%d:account-%d", c.IntN(300), c.IntN(10))
			e.Groups, _ = groupsOf(e.User)
		} else {
			e.User, e.Groups = fmt.Sprint("user-", c.IntN(1000)), teams[c.IntN(len(teams))]
		}
		events[n] = e
	}
	return events
}

const million = 1_000_000

// BenchmarkRun is a change held against a million distinct requests; upstream's
// authorizer is asked the same of both sets of objects, by as many goroutines.
func BenchmarkRun(b *testing.B) {
	before, changed := benchWorld()
	events := benchEvents(million)
	reader := inOrder(events)
	opts := Options{Current: World{View: before.view()}, Proposed: World{View: changed.view()}}
	var flips int64
	b.Run("side=gatehouse/requests=1000000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			report, err := Run(context.Background(), reader, opts)
			if err != nil {
				b.Fatal(err)
			}
			flips = report.Refused.Distinct + report.Allowed.Distinct
		}
		b.ReportMetric(float64(flips), "flips")
	})
	b.Run("side=upstream/requests=1000000", func(b *testing.B) {
		was, is := before.upstream(), changed.upstream()
		for b.Loop() {
			if found := upstreamFlips(was, is, reader.requests); found != flips {
				b.Fatalf("%d flips, and upstream has %d", flips, found)
			}
		}
	})
}

func upstreamFlips(was, is authorizer.UnconditionalAuthorizer, requests []*audit.Request) int64 {
	workers := runtime.GOMAXPROCS(0)
	found := make([]int64, workers)
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			var q asked
			for i := w; i < len(requests); i += workers {
				q.fill(requests[i])
				x, _, _ := was.Authorize(context.Background(), &q.attributes)
				y, _, _ := is.Authorize(context.Background(), &q.attributes)
				if x != y {
					found[w]++
				}
			}
		})
	}
	running.Wait()
	var all int64
	for _, n := range found {
		all += n
	}
	return all
}

// BenchmarkReduce is a million events, of which one in seven is a request that was not
// there before, reduced and then held against the change.
func BenchmarkReduce(b *testing.B) {
	before, changed := benchWorld()
	events := benchEvents(million)
	for n, e := range events {
		copied := *events[n%142_857]
		copied.ID, copied.Time = e.ID, e.Time
		events[n] = &copied
	}
	opts := Options{Current: World{View: before.view()}, Proposed: World{View: changed.view()}}
	b.ReportAllocs()
	for b.Loop() {
		reduced := &Reduced{}
		reduced.Add(events...)
		report, err := Run(context.Background(), reduced, opts)
		if err != nil || report.Seen.Requests != million {
			b.Fatal(report, err)
		}
	}
}
