package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

// events is a sink: one Event for each Finding, which is brought up to date.
type events struct {
	settings v1alpha1.EventsSinkOptions
	client   typedcorev1.EventsGetter
	host     string
	clock    clock.PassiveClock
}

func (s *events) Traits() alert.Traits {
	return alert.Traits{Type: "events", Name: "of the cluster", Batch: 20, Least: s.settings.MinSeverity}
}

func (s *events) Send(ctx context.Context, alerts []alert.Alert) error {
	for i := range alerts {
		err := s.put(ctx, s.event(&alerts[i], alerts[i].Finding.Object.Namespace))
		if apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			err = s.put(ctx, s.event(&alerts[i], "")) // its namespace is gone
		}
		if err != nil {
			return failed(err)
		}
	}
	return nil
}

// put makes an Event, or brings it up to date.
func (s *events) put(ctx context.Context, e *corev1.Event) error {
	client := s.client.Events(e.Namespace)
	_, err := client.Create(ctx, e, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	patch, err := json.Marshal(map[string]any{"count": e.Count, "lastTimestamp": e.LastTimestamp, "message": e.Message, "type": e.Type})
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, e.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// failed says whether it is of use to try again.
func failed(err error) error {
	wrapped := fmt.Errorf("make event: %w", err)
	switch {
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return &alert.RefusedError{Err: wrapped}
	}
	if after, ok := apierrors.SuggestsClientDelay(err); ok {
		return &alert.LaterError{Err: wrapped, After: time.Duration(after) * time.Second}
	}
	return wrapped
}

// event makes an Event in the namespace the Finding is about. Where there is none, or it
// is gone, it is in default, where Events about what is in no namespace are.
func (s *events) event(a *alert.Alert, namespace string) *corev1.Event {
	f := &a.Finding
	about := corev1.ObjectReference{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "DetectionRule", Name: plain(f.Rule, shortText)}
	if namespace != "" {
		about = corev1.ObjectReference{Kind: kindOf(f.Object.Resource), Namespace: namespace, Name: plain(f.Object.Name, shortText)}
	}
	e := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			// The same as long as it is the same Finding, and another when it comes back.
			Name:      fmt.Sprintf("gatehouse-%s.%x", label(f.Fingerprint), f.First.Unix()),
			Namespace: namespace,
		},
		InvolvedObject: about, Reason: reason(f.Rule), Message: plain(s.text(a), 1000),
		FirstTimestamp: metav1.NewTime(f.First), LastTimestamp: metav1.NewTime(f.Last),
		Count: int32(min(f.Count, math.MaxInt32)), Type: corev1.EventTypeWarning,
		Source: corev1.EventSource{Component: "gatehouse", Host: s.host}, ReportingController: "gatehouse.io/detect", ReportingInstance: plain(s.host, 128),
	}
	if e.Namespace == "" {
		e.Namespace = metav1.NamespaceDefault
	}
	if a.Status == alert.Resolved {
		e.Type = corev1.EventTypeNormal
	}
	return e
}

func (s *events) text(a *alert.Alert) string {
	text := fmt.Sprintf("[%s] %s", a.Finding.Severity, sentence(a))
	switch a.Cause {
	case alert.CauseOver:
		text = "Over: " + text
	case alert.CauseMuted:
		text = "Muted by " + a.Finding.Muted + ": " + text
	}
	return text
}

// kinds are those of resources whose name is more than one word.
var kinds = map[string]string{
	"configmaps": "ConfigMap", "serviceaccounts": "ServiceAccount", "daemonsets": "DaemonSet", "statefulsets": "StatefulSet",
	"replicasets": "ReplicaSet", "replicationcontrollers": "ReplicationController", "cronjobs": "CronJob", "rolebindings": "RoleBinding",
	"networkpolicies": "NetworkPolicy", "endpointslices": "EndpointSlice", "persistentvolumeclaims": "PersistentVolumeClaim",
	"ingresses": "Ingress", "endpoints": "Endpoints",
}

// kindOf is the kind of a resource; of one that is not known, what it probably is.
func kindOf(resource string) string {
	if kind, ok := kinds[resource]; ok {
		return kind
	}
	kind := strings.TrimSuffix(resource, "s")
	if kind == "" || len(kind) > 63 || strings.ContainsFunc(kind, func(r rune) bool { return !alphanumeric(r) }) {
		return "Object"
	}
	return strings.ToUpper(kind[:1]) + kind[1:]
}

// reason is "SecretList" for secret-list.
func reason(rule string) string {
	var b strings.Builder
	for part := range strings.FieldsFuncSeq(rule, func(r rune) bool { return !alphanumeric(r) }) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return cut(b.String(), 128)
}

// label is a text as names of objects have it.
func label(text string) string {
	text = strings.Map(func(r rune) rune {
		if !alphanumeric(r) {
			return '-'
		}
		return r
	}, strings.ToLower(text))
	return text[:min(len(text), 64)]
}

func alphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
