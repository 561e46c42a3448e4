package sink

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

func TestEvents(t *testing.T) {
	client := fake.NewClientset()
	var answer error
	client.PrependReactor("create", "events", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetNamespace() == "gone" {
			return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "gone")
		}
		return answer != nil, nil, answer
	})
	all, err := New(Options{Alerts: v1alpha1.AlertOptions{Events: v1alpha1.EventsSinkOptions{Disabled: new(bool)}}, Events: client.CoreV1(), Host: "host"})
	if err != nil {
		t.Fatal(err)
	}
	s := all[0]
	again := told(hostile)
	again.Cause, again.Finding.Count, again.Finding.Last = alert.CauseAgain, 9, now
	gone, nowhere := told("a"), told("b")
	gone.Finding.Object.Namespace, gone.Finding.Fingerprint = "gone", "g"
	nowhere.Finding.Object.Namespace, nowhere.Finding.Fingerprint = "", "n"
	mustSend(t, s, told(hostile), again, gone, nowhere)
	got := func(namespace string) []corev1.Event {
		list, err := client.CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return list.Items
	}
	shop := got("shop")
	if len(shop) != 1 || len(got("default")) != 2 {
		t.Fatalf("got %+v and %+v", shop, got("default"))
	}
	e := shop[0]
	harmless(t, "message", e.Message)
	if e.Count != 9 || !e.LastTimestamp.Time.Equal(now.Truncate(time.Second)) || e.Type != "Warning" || e.Reason != "SecretList" || e.InvolvedObject.Kind != "Secret" || e.InvolvedObject.Namespace != "shop" || len(e.Message) > 1024 {
		t.Errorf("got %+v", e)
	}
	if problems := validation.IsDNS1123Subdomain(e.Name); len(problems) > 0 {
		t.Error(problems)
	}
	mustSend(t, s, resolved(told("a")))
	if e := got("shop")[0]; e.Type != "Normal" {
		t.Errorf("it is over: %+v", e)
	}
	for _, c := range []struct {
		err            error
		refused, later bool
	}{
		{apierrors.NewInvalid(schema.GroupKind{Kind: "Event"}, "e", nil), true, false},
		{apierrors.NewTooManyRequests("later", 7), false, true},
		{errors.New("connection refused"), false, false},
		{apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "e", nil), false, false},
	} {
		answer = c.err
		err := send(t, s, told("a"))
		_, refused := errors.AsType[*alert.RefusedError](err)
		later, isLater := errors.AsType[*alert.LaterError](err)
		if err == nil || refused != c.refused || isLater != c.later || isLater && later.After != 7*time.Second {
			t.Errorf("%v: got %v", c.err, err)
		}
	}
}

func TestKindOf(t *testing.T) {
	for resource, want := range map[string]string{"pods": "Pod", "configmaps": "ConfigMap", "ingresses": "Ingress", "": "Object", "é": "Object", hostile: "Object"} {
		if got := kindOf(resource); got != want {
			t.Errorf("%s: %s", resource, got)
		}
	}
	if got := reason("secret-list/" + hostile + "é"); validation.IsCIdentifier(got) != nil {
		t.Errorf("got %q", got)
	}
}
