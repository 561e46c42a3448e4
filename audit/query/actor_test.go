package query_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
)

// told is an Actor on a few lines: OBJECT DID by WHO (CERTAINTY).
func told(a *query.Actor) string {
	var lines []string
	for _, h := range a.Hops {
		line := h.Object.String()
		if h.Event != nil {
			line += fmt.Sprintf(" %s by %s", h.Did, h.By)
		}
		line += " (" + string(h.Certainty) + ")"
		lines = append(lines, line)
	}
	if !a.Found {
		lines = append(lines, "not found")
	}
	return strings.Join(lines, "\n")
}

const (
	rs, dc = "replicaset-controller", "deployment-controller"
	pod    = "web-5d4f8c7b9-x7k2p"
)

// rollout is what kubectl create deployment leaves, with bodies or without.
func rollout(l *log, bodies bool) {
	with := func(f func(*audit.Event)) func(*audit.Event) {
		if bodies {
			return f
		}
		return func(*audit.Event) {}
	}
	l.event(0, "jane create deployments.apps shop/web", with(response(owned("Deployment", "web", "d1", ""))))
	l.event(0.1, controller(dc)+" create replicasets.apps shop/web-5d4f8c7b9", with(response(owned("ReplicaSet", "web-5d4f8c7b9", "r1", "apps/v1 Deployment web d1"))))
	l.event(0.15, controller(dc)+" update deployments.apps/status shop/web")
	l.event(0.2, controller(rs)+" create pods shop/", with(response(owned("Pod", pod, "p1", "apps/v1 ReplicaSet web-5d4f8c7b9 r1"))))
	l.event(0.3, "system:kube-scheduler create pods/binding shop/"+pod)
	l.event(1, "system:node:n1 patch pods/status shop/"+pod)
	l.event(1.1, controller(rs)+" update replicasets.apps/status shop/web-5d4f8c7b9")
}

func TestFindActor(t *testing.T) {
	podObject := query.Object{Resource: "pods", Namespace: "shop", Name: pod}
	chain := "pods shop/" + pod + " created by " + controller(rs) + " (%s)\nreplicasets.apps shop/web-5d4f8c7b9 created by " + controller(dc) + " (%s)\n"
	for name, c := range map[string]struct {
		log    func(l *log)
		object query.Object
		opts   query.ActorOptions
		want   string
		check  func(t *testing.T, a *query.Actor)
	}{
		"deployment": {
			log: func(l *log) { rollout(l, true) }, object: podObject,
			want: fmt.Sprintf(chain, "sure", "sure") + "deployments.apps shop/web created by jane (sure)",
		},
		"deployment without bodies": {
			log: func(l *log) { rollout(l, false) }, object: podObject,
			want: fmt.Sprintf(chain, "likely", "likely") + "deployments.apps shop/web created by jane (sure)",
			check: func(t *testing.T, a *query.Actor) {
				if a.Certainty != query.Likely || !strings.Contains(a.Hops[0].Lacks, "level Request for pods") || !strings.Contains(a.Hops[1].Lacks, "level Request for replicasets.apps") {
					t.Errorf("%s: lacks %q, %q", a.Certainty, a.Hops[0].Lacks, a.Hops[1].Lacks)
				}
			},
		},
		"controllers impersonate, as Gatehouse's do": {
			log: func(l *log) {
				l.event(0, "jane create deployments.apps shop/web")
				l.event(0.1, "system:apiserver create replicasets.apps shop/web-5d4f8c7b9", as(controller(dc)))
				l.event(0.2, "system:apiserver create pods shop/", as(controller(rs)))
				l.event(0.3, "system:kube-scheduler create pods/binding shop/"+pod)
			}, object: podObject,
			want: fmt.Sprintf(chain, "likely", "likely") + "deployments.apps shop/web created by jane (sure)",
		},
		"one account for all controllers": {
			log: func(l *log) {
				l.event(0, "jane create deployments.apps shop/web")
				l.event(0.1, "system:kube-controller-manager create replicasets.apps shop/web-5d4f8c7b9")
				l.event(0.2, "system:kube-controller-manager create pods shop/")
				l.event(0.3, "system:kube-scheduler create pods/binding shop/"+pod)
			}, object: podObject,
			want: strings.ReplaceAll(strings.ReplaceAll(fmt.Sprintf(chain, "likely", "likely"), controller(dc), "system:kube-controller-manager"), controller(rs), "system:kube-controller-manager") + "deployments.apps shop/web created by jane (sure)",
		},
		"a person in another's name": {
			log: func(l *log) {
				rollout(l, true)
				l.event(10, "bob patch deployments.apps shop/web", as("system:admin"))
				l.event(10.1, controller(dc)+" create replicasets.apps shop/web-66c9b7d8f", response(owned("ReplicaSet", "web-66c9b7d8f", "r2", "apps/v1 Deployment web d1")))
				l.event(10.2, controller(rs)+" create pods shop/", response(owned("Pod", "web-66c9b7d8f-bbbbb", "p2", "apps/v1 ReplicaSet web-66c9b7d8f r2")))
			}, object: query.Object{Resource: "pods", Namespace: "shop", Name: "web-66c9b7d8f-bbbbb"},
			want: "pods shop/web-66c9b7d8f-bbbbb created by " + controller(rs) + " (sure)\nreplicasets.apps shop/web-66c9b7d8f created by " + controller(dc) + " (sure)\ndeployments.apps shop/web patched by bob as system:admin (sure)",
		},
		"scaled": {
			log: func(l *log) {
				rollout(l, true)
				l.event(100, "bob patch deployments.apps/scale shop/web")
				l.event(100.1, controller(dc)+" update replicasets.apps shop/web-5d4f8c7b9", response(owned("ReplicaSet", "web-5d4f8c7b9", "r1", "apps/v1 Deployment web d1")))
				l.event(100.2, controller(rs)+" create pods shop/", response(owned("Pod", "web-5d4f8c7b9-zzzzz", "p3", "apps/v1 ReplicaSet web-5d4f8c7b9 r1")))
				l.event(200, "eve patch deployments.apps shop/web") // later, and not why
			}, object: query.Object{Resource: "pods", Namespace: "shop", Name: "web-5d4f8c7b9-zzzzz"},
			want: "pods shop/web-5d4f8c7b9-zzzzz created by " + controller(rs) + " (sure)\nreplicasets.apps shop/web-5d4f8c7b9 changed by " + controller(dc) + " (sure)\ndeployments.apps shop/web scaled by bob (sure)",
		},
		"scaled in vain": { // refused, and a dry run
			log: func(l *log) {
				l.event(0, "jane create deployments.apps shop/web")
				l.event(1, "bob patch deployments.apps shop/web 403")
				l.event(2, "bob patch deployments.apps shop/web", func(e *audit.Event) { e.URI += "?dryRun=All" })
				l.event(3, controller(dc)+" create replicasets.apps shop/web-5d4f8c7b9", request(owned("ReplicaSet", "web-5d4f8c7b9", "", "apps/v1 Deployment web d1")))
			}, object: query.Object{APIGroup: "apps", Resource: "replicasets", Namespace: "shop", Name: "web-5d4f8c7b9"},
			want: "replicasets.apps shop/web-5d4f8c7b9 created by " + controller(dc) + " (sure)\ndeployments.apps shop/web created by jane (sure)",
		},
		"autoscaled": {
			log: func(l *log) {
				rollout(l, true)
				l.event(5, "ann create horizontalpodautoscalers.autoscaling shop/web-hpa", request(`{"kind":"HorizontalPodAutoscaler","metadata":{"name":"web-hpa"},"spec":{"scaleTargetRef":{"kind":"Deployment","name":"web"}}}`))
				l.event(100, controller("horizontal-pod-autoscaler")+" update deployments.apps/scale shop/web")
				l.event(100.1, controller(dc)+" update replicasets.apps shop/web-5d4f8c7b9", response(owned("ReplicaSet", "web-5d4f8c7b9", "r1", "apps/v1 Deployment web d1")))
				l.event(100.2, controller(rs)+" create pods shop/", response(owned("Pod", "web-5d4f8c7b9-zzzzz", "p3", "apps/v1 ReplicaSet web-5d4f8c7b9 r1")))
			}, object: query.Object{Resource: "pods", Namespace: "shop", Name: "web-5d4f8c7b9-zzzzz"},
			want: "pods shop/web-5d4f8c7b9-zzzzz created by " + controller(rs) + " (sure)\nreplicasets.apps shop/web-5d4f8c7b9 changed by " + controller(dc) + " (sure)\ndeployments.apps shop/web scaled by " + controller("horizontal-pod-autoscaler") + " (sure)\nhorizontalpodautoscalers.autoscaling shop/web-hpa created by ann (sure)",
		},
		"replaced": {
			log: func(l *log) {
				rollout(l, true)
				l.event(9000, "mallory delete pods shop/"+pod)
				l.event(9000.2, controller(rs)+" create pods shop/", response(owned("Pod", "web-5d4f8c7b9-zzzzz", "p3", "apps/v1 ReplicaSet web-5d4f8c7b9 r1")))
			}, object: query.Object{Resource: "pods", Namespace: "shop", Name: "web-5d4f8c7b9-zzzzz"},
			want: "pods shop/web-5d4f8c7b9-zzzzz created by " + controller(rs) + " (sure)\nreplicasets.apps shop/web-5d4f8c7b9 created by " + controller(dc) + " (likely)\ndeployments.apps shop/web created by jane (sure)",
			check: func(t *testing.T, a *query.Actor) {
				if a.Trigger == nil || a.Trigger.User != "mallory" {
					t.Errorf("trigger is %v", a.Trigger)
				}
			},
		},
		"cron job": {
			log: func(l *log) {
				l.event(0, "system:serviceaccount:argocd:argocd-application-controller create cronjobs.batch ops/backup")
				l.event(86400, controller("cronjob-controller")+" create jobs.batch ops/backup-29543210", response(owned("Job", "backup-29543210", "j1", "batch/v1 CronJob backup c1")))
				l.event(86401, controller("job-controller")+" create pods ops/", response(owned("Pod", "backup-29543210-q8w7r", "p1", "batch/v1 Job backup-29543210 j1")))
			}, object: query.Object{Resource: "pods", Namespace: "ops", Name: "backup-29543210-q8w7r"},
			want: "pods ops/backup-29543210-q8w7r created by " + controller("job-controller") + " (sure)\njobs.batch ops/backup-29543210 created by " + controller("cronjob-controller") + " (sure)\ncronjobs.batch ops/backup created by system:serviceaccount:argocd:argocd-application-controller (sure)",
		},
		"cron job run by hand": {
			log: func(l *log) {
				l.event(0, "ann create cronjobs.batch ops/backup")
				l.event(50, "bob create jobs.batch ops/now", response(owned("Job", "now", "j1", "batch/v1 CronJob backup c1")))
				l.event(50.1, controller("job-controller")+" create pods ops/", request(`{"kind":"Pod","metadata":{"generateName":"now-","ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","name":"now","uid":"j1","controller":true}]}}`))
			}, object: query.Object{Resource: "pods", Namespace: "ops", Name: "now-q8w7r"},
			want: "pods ops/now-q8w7r created by " + controller("job-controller") + " (likely)\njobs.batch ops/now created by bob (sure)",
		},
		"bare pod, and exec": {
			log: func(l *log) {
				l.event(0, "jane create pods shop/debug")
				l.event(5, "system:node:n1 patch pods/status shop/debug")
				l.event(60, "bob create pods/exec shop/debug 101")
				l.event(61, "eve get pods/exec shop/debug 101")
				l.event(62, "eve get pods shop/debug")
				l.event(62, "eve get pods/log shop/debug")
			}, object: query.Object{Resource: "pods", Namespace: "shop", Name: "debug"},
			want: "pods shop/debug created by jane (sure)",
			check: func(t *testing.T, a *query.Actor) {
				var since []string
				for _, e := range a.Since {
					since = append(since, e.User+" "+e.Subresource)
				}
				if got := strings.Join(since, ", "); got != "bob exec, eve exec" {
					t.Errorf("since: %s", got)
				}
			},
		},
		"made anew under the same name": {
			log: func(l *log) {
				l.event(0, "jane create pods shop/debug", response(owned("Pod", "debug", "old", "")))
				l.event(5, "jane delete pods shop/debug")
				l.event(9, "bob create pods shop/debug", response(owned("Pod", "debug", "new", "")))
			}, object: query.Object{Resource: "pods", Namespace: "shop", Name: "debug"},
			want: "pods shop/debug created by bob (sure)",
		},
		"the one before it": {
			log: func(l *log) {
				l.event(0, "jane create pods shop/debug", response(owned("Pod", "debug", "old", "")))
				l.event(9, "bob create pods shop/debug", response(owned("Pod", "debug", "new", "")))
			}, object: query.Object{Resource: "pods", Namespace: "shop", Name: "debug", UID: "old"},
			want: "pods shop/debug created by jane (sure)",
		},
		"at a time before": {
			log: func(l *log) {
				l.event(0, "jane create pods shop/debug")
				l.event(9, "bob create pods shop/debug")
			}, object: query.Object{Resource: "pods", Namespace: "shop", Name: "debug"}, opts: query.ActorOptions{At: start.Add(5 * time.Second)},
			want: "pods shop/debug created by jane (sure)",
		},
		"static pod": {
			log: func(l *log) {
				l.event(0, "system:node:n1 create pods kube-system/etcd-n1", response(owned("Pod", "etcd-n1", "p", "v1 Node n1 n")))
			}, object: query.Object{Resource: "pods", Namespace: "kube-system", Name: "etcd-n1"},
			want: "pods kube-system/etcd-n1 created by system:node:n1 (sure)",
		},
		"nothing recorded": {
			log:    func(l *log) { l.event(0, "jane get pods shop/other") },
			object: podObject,
			want:   "pods shop/" + pod + " (guess)\nreplicasets.apps shop/web-5d4f8c7b9 (guess)\ndeployments.apps shop/web (guess)\nnot found",
			check: func(t *testing.T, a *query.Actor) {
				if !strings.Contains(a.Hops[0].Lacks, "level Metadata for pods") {
					t.Errorf("lacks %q", a.Hops[0].Lacks)
				}
			},
		},
		"deleted by a person, then by the kubelet": {
			log: func(l *log) {
				rollout(l, true)
				l.event(500, "mallory delete pods shop/"+pod)
				l.event(530, "system:node:n1 delete pods shop/"+pod)
			}, object: podObject, opts: query.ActorOptions{Deleted: true},
			want: "pods shop/" + pod + " deleted by mallory (sure)",
		},
		"evicted": {
			log: func(l *log) {
				rollout(l, true)
				l.event(500, "ops create pods/eviction shop/"+pod)
				l.event(530, "system:node:n1 delete pods shop/"+pod)
			}, object: podObject, opts: query.ActorOptions{Deleted: true},
			want: "pods shop/" + pod + " evicted by ops (sure)",
		},
		"deleted with its deployment": {
			log: func(l *log) {
				rollout(l, true)
				l.event(500, "mallory delete deployments.apps shop/web")
				l.event(500.1, controller("generic-garbage-collector")+" delete replicasets.apps shop/web-5d4f8c7b9")
				l.event(500.2, controller("generic-garbage-collector")+" delete pods shop/"+pod)
				l.event(530, "system:node:n1 delete pods shop/"+pod)
			}, object: podObject, opts: query.ActorOptions{Deleted: true},
			want: "pods shop/" + pod + " deleted by " + controller("generic-garbage-collector") + " (sure)\nreplicasets.apps shop/web-5d4f8c7b9 deleted by " + controller("generic-garbage-collector") + " (sure)\ndeployments.apps shop/web deleted by mallory (sure)",
		},
		"deleted with its namespace": {
			log: func(l *log) {
				rollout(l, true)
				l.event(500, "mallory delete namespaces shop/shop")
				l.event(501, controller("namespace-controller")+" deletecollection pods shop/")
			}, object: podObject, opts: query.ActorOptions{Deleted: true},
			want: "pods shop/" + pod + " deleted by " + controller("namespace-controller") + " (guess)\nnamespaces shop deleted by mallory (sure)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &log{}
			c.log(l)
			a, err := query.FindActor(context.Background(), l, c.object, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if got := told(a); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			for _, h := range a.Hops {
				if h.Event != nil && len(h.Evidence) == 0 || h.Event == nil && h.Lacks == "" {
					t.Errorf("%s says nothing of why", h.Object)
				}
			}
			if c.check != nil {
				c.check(t, a)
			}
		})
	}
}

// TestActorKnowsOnlyItsNamespace: through a Scoped reader no hop is from elsewhere.
func TestActorKnowsOnlyItsNamespace(t *testing.T) {
	l := &log{}
	rollout(l, true)
	a, err := query.FindActor(context.Background(), query.Scoped(l, "other"), query.Object{Resource: "pods", Namespace: "shop", Name: pod}, query.ActorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range a.Hops {
		if h.Event != nil {
			t.Errorf("%s is told of", h.Event.ID)
		}
	}
}
