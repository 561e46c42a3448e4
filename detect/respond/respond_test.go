package respond

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authn/revocation"
	"github.com/gatehouse-io/gatehouse/authz/guard"
	"github.com/gatehouse-io/gatehouse/detect"
)

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func finding(rule, user string, groups ...string) *detect.Finding {
	return &detect.Finding{Fingerprint: "0123456789abcdef", Rule: rule, Message: "somebody\ndid it", Last: now, Subject: detect.Subject{User: user, Groups: groups}}
}

func settings(mode string) v1alpha1.ResponseOptions {
	return v1alpha1.ResponseOptions{Mode: mode, Duration: &metav1.Duration{Duration: 15 * time.Minute}, Rules: []v1alpha1.ResponseRule{
		{Rule: "revoke", Create: v1alpha1.RespondRevocation}, {Rule: "guard", Create: v1alpha1.RespondGuard},
	}}
}

func client() *fake.FakeDynamicClient {
	return fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		resources[v1alpha1.RespondRevocation]: "RevocationList", resources[v1alpha1.RespondGuard]: "GuardList",
	})
}

type running struct {
	*Responder
	clock  *clocktesting.FakeClock
	client *fake.FakeDynamicClient
	mu     sync.Mutex
	log    []string
}

func start(t *testing.T, s v1alpha1.ResponseOptions, c *fake.FakeDynamicClient) *running {
	t.Helper()
	r := &running{clock: clocktesting.NewFakeClock(now), client: c}
	var err error
	r.Responder, err = New(Options{Settings: s, Objects: c, Own: []string{"system:serviceaccount:gatehouse-system:gatehouse-attach"}, Clock: r.clock, Log: func(m string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.log = append(r.log, m)
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { r.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	return r
}

func (r *running) respond(t *testing.T, f *detect.Finding) string {
	t.Helper()
	r.Respond(f)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	said, known := r.Of(ctx, f.Fingerprint)
	if !known {
		t.Errorf("what was done is not known in time: %s", said)
	}
	return said
}

func (r *running) get(t *testing.T, kind string) *unstructured.Unstructured {
	t.Helper()
	u, err := r.client.Resource(resources[kind]).Get(t.Context(), "detect-0123456789abcdef", metav1.GetOptions{})
	if errors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestOffDoesNothing(t *testing.T) {
	for _, mode := range []string{"", v1alpha1.ResponseOff} {
		if r, err := New(Options{Settings: settings(mode)}); r != nil || err != nil {
			t.Errorf("%q: %v %v", mode, r, err)
		}
	}
	if _, err := New(Options{Settings: settings(v1alpha1.ResponseEnforce)}); err == nil {
		t.Error("there is no client")
	}
}

func TestWhatIsMade(t *testing.T) {
	end := now.Add(15 * time.Minute)
	for name, c := range map[string]struct {
		rule, user, kind string
		has              string // in the object's spec
	}{
		"a user's credentials":    {"revoke", "mallory@example.com", v1alpha1.RespondRevocation, "user:map[issuedBefore:2026-05-04T12:15:00Z name:mallory@example.com]"},
		"an account's tokens":     {"revoke", "system:serviceaccount:shop:web", v1alpha1.RespondRevocation, "serviceAccount:map[name:web namespace:shop]"},
		"a user who may nothing":  {"guard", "mallory", v1alpha1.RespondGuard, "subjects:map[users:[mallory]]"},
		"an account that may not": {"guard", "system:serviceaccount:shop:web", v1alpha1.RespondGuard, "subjects:map[serviceAccounts:[map[name:web namespace:shop]]]"},
	} {
		dry := start(t, settings(v1alpha1.ResponseDryRun), client())
		said := dry.respond(t, finding(c.rule, c.user))
		if !strings.HasPrefix(said, "Dry run: it would have made "+c.kind+" detect-0123456789abcdef") || !strings.Contains(said, c.user) || dry.get(t, c.kind) != nil {
			t.Errorf("%s: dry run: %q", name, said)
		}
		r := start(t, settings(v1alpha1.ResponseEnforce), client())
		said = r.respond(t, finding(c.rule, c.user))
		u := r.get(t, c.kind)
		if u == nil || !strings.HasPrefix(said, "It made "+c.kind) || !strings.Contains(said, "2026-05-04T12:15:00Z") {
			t.Errorf("%s: %q", name, said)
			continue
		}
		if spec := fmt.Sprint(u.Object["spec"]); !strings.Contains(spec, c.has) {
			t.Errorf("%s: %s has no %s", name, spec, c.has)
		}
		labels := u.GetLabels()
		if labels[LabelRule] != c.rule || labels[LabelManagedBy] != ManagedBy || labels[LabelOwner] == "" || labels[LabelExpires] != "20260504T121500Z" || labels[LabelFingerprint] != "0123456789abcdef" {
			t.Errorf("%s: labels %v", name, labels)
		}
		if got, _ := expiry(u); !got.Equal(end) || u.GetAnnotations()[v1alpha1.AnnotationReason] != "Detection rule "+c.rule+": somebody did it" {
			t.Errorf("%s: annotations %v", name, u.GetAnnotations())
		}
		// The gates take it.
		if c.kind == v1alpha1.RespondGuard {
			g := &v1alpha1.Guard{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, g); err != nil {
				t.Fatal(err)
			}
			if err := guard.New(guard.Options{}).Check(g); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else {
			v := &v1alpha1.Revocation{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, v); err != nil {
				t.Fatal(err)
			}
			if err := revocation.NewRegistry(revocation.RegistryOptions{}).Upsert(v); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestWhoIsLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		finding *detect.Finding
		always  bool // whatever the settings say
	}{
		"a master":         {finding("guard", "admin", "system:masters"), false},
		"an administrator": {finding("guard", "gatehouse:admin", "gatehouse:admins"), false},
		"a node":           {finding("guard", "system:node:a", "system:nodes"), false},
		"a node by name":   {finding("guard", "system:node:a"), false},
		"the scheduler":    {finding("guard", "system:kube-scheduler"), false},
		"a controller":     {finding("guard", "system:serviceaccount:kube-system:namespace-controller"), false},
		"the server":       {finding("guard", "system:apiserver", "system:masters"), false},
		"Gatehouse itself": {finding("guard", "system:serviceaccount:gatehouse-system:gatehouse-attach"), true},
		"anonymous":        {finding("guard", "system:anonymous"), true},
		"nobody":           {finding("guard", ""), true},
	} {
		r := start(t, settings(v1alpha1.ResponseEnforce), client())
		if said := r.respond(t, c.finding); !strings.HasPrefix(said, "Nothing is done") || r.get(t, v1alpha1.RespondGuard) != nil {
			t.Errorf("%s: %q", name, said)
		}
		s := settings(v1alpha1.ResponseEnforce)
		s.Privileged = true
		r = start(t, s, client())
		if said := r.respond(t, c.finding); strings.HasPrefix(said, "Nothing is done") != c.always {
			t.Errorf("%s, and the settings say so: %q", name, said)
		}
	}
	r := start(t, settings(v1alpha1.ResponseEnforce), client())
	if said := r.respond(t, finding("other", "mallory")); said != "" {
		t.Errorf("a rule that is not named: %q", said)
	}
	old := finding("guard", "mallory")
	old.Last = now.Add(-20 * time.Minute)
	if said := r.respond(t, old); !strings.Contains(said, "it was 20m0s ago") {
		t.Errorf("an old finding: %q", said)
	}
}

func TestItEnds(t *testing.T) {
	c := client()
	r := start(t, settings(v1alpha1.ResponseEnforce), c)
	r.respond(t, finding("revoke", "mallory"))
	// Another replica, or this one after a restart, finds it made.
	again := start(t, settings(v1alpha1.ResponseEnforce), c)
	if said := again.respond(t, finding("revoke", "mallory")); !strings.Contains(said, "in force already") {
		t.Errorf("got %q", said)
	}
	foreign := r.get(t, v1alpha1.RespondRevocation).DeepCopy()
	foreign.SetName("detect-of-somebody")
	foreign.SetLabels(nil)
	if _, err := c.Resource(resources[v1alpha1.RespondRevocation]).Create(t.Context(), foreign, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.clock.Step(10 * time.Minute)
	r.sweep(t.Context())
	if r.get(t, v1alpha1.RespondRevocation) == nil {
		t.Fatal("deleted before its end")
	}
	r.clock.Step(5 * time.Minute)
	late := finding("revoke", "mallory")
	late.Last = r.clock.Now()
	if said := r.respond(t, late); !strings.HasPrefix(said, "It made") {
		t.Errorf("it happens again after the end: %q", said)
	}
	if end, _ := expiry(r.get(t, v1alpha1.RespondRevocation)); !end.Equal(now.Add(30 * time.Minute)) {
		t.Errorf("it ends at %v", end)
	}
	r.clock.Step(15 * time.Minute)
	r.sweep(t.Context())
	if r.get(t, v1alpha1.RespondRevocation) != nil {
		t.Error("not deleted")
	}
	if _, err := c.Resource(resources[v1alpha1.RespondRevocation]).Get(t.Context(), "detect-of-somebody", metav1.GetOptions{}); err != nil {
		t.Errorf("somebody else's: %v", err)
	}
}

func TestNotTooMany(t *testing.T) {
	r := start(t, settings(v1alpha1.ResponseEnforce), client())
	made, refused := 0, 0
	for i := range mostObjects + 5 {
		f := finding("guard", fmt.Sprintf("user-%d", i))
		f.Fingerprint = fmt.Sprintf("%016x", i)
		switch said := r.respond(t, f); {
		case strings.HasPrefix(said, "It made"):
			made++
		case strings.Contains(said, "there are 100 already"):
			refused++
		default:
			t.Fatalf("said %q", said)
		}
	}
	if made != mostObjects || refused != 5 {
		t.Errorf("made %d, refused %d", made, refused)
	}
	stuck, err := New(Options{Settings: settings(v1alpha1.ResponseDryRun), Log: func(string) {}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * mostWaiting { // nobody runs it, and nobody waits
		f := finding("guard", "mallory")
		f.Fingerprint = fmt.Sprintf("%016x", i)
		stuck.Respond(f)
	}
	if len(stuck.done) != mostWaiting {
		t.Errorf("%d wait", len(stuck.done))
	}
}
