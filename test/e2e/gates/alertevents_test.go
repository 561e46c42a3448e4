package gates

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/alert"
	"github.com/gatehouse-io/gatehouse/detect/alert/sink"
)

// TestEventsOfFindings holds that the API server takes the Events that the sink makes, of
// whatever a client called things, in a namespace that is there, is gone, or is none.
func TestEventsOfFindings(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	disabled := false
	sinks, err := sink.New(sink.Options{Alerts: v1alpha1.AlertOptions{Events: v1alpha1.EventsSinkOptions{Disabled: &disabled}}, Events: admin.CoreV1()})
	passes(t, err)
	ns := namespace(t, admin)
	at := time.Now()
	told := func(fingerprint, namespace, name string) alert.Alert {
		return alert.Alert{ID: "1", Status: alert.Firing, Cause: alert.CauseNew, At: at, Finding: detect.Finding{
			Fingerprint: fingerprint, Rule: "secret-list", Title: "Secrets are read", Severity: v1alpha1.SeverityHigh, Message: "By " + name,
			First: at.Add(-time.Minute), Last: at, Count: 2, Object: detect.Object{Verb: "list", Resource: "secrets", Namespace: namespace, Name: name},
		}}
	}
	more := told("00000000000000aa", ns, "")
	more.Cause, more.Finding.Count = alert.CauseAgain, 5
	passes(t, sinks[0].Send(t.Context(), []alert.Alert{
		told("00000000000000aa", ns, ""), more,
		told("00000000000000bb", ns, "x\x1b[2J\xff\n<b>"),
		told("00000000000000cc", "not-there", "a"),
		told("00000000000000dd", "", "b"),
	}))
	for fingerprint, where := range map[string]string{"00000000000000aa": ns, "00000000000000bb": ns, "00000000000000cc": "default", "00000000000000dd": "default"} {
		list, err := admin.CoreV1().Events(where).List(t.Context(), metav1.ListOptions{FieldSelector: "reason=SecretList"})
		passes(t, err)
		found := false
		for _, e := range list.Items {
			if strings.HasPrefix(e.Name, "gatehouse-"+fingerprint+".") {
				found = true
				if fingerprint == "00000000000000aa" && e.Count != 5 {
					t.Errorf("it happened again, and its count is %d", e.Count)
				}
			}
		}
		if !found {
			t.Errorf("there is no Event of %s in %s", fingerprint, where)
		}
	}
}
