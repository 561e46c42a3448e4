package policy

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
)

func refusal(t *testing.T, results ...Result) *apierrors.StatusError {
	t.Helper()
	for i := range results {
		results[i].Actions = []Action{Deny}
	}
	out := NewSet([]Policy{says("a", results...)}, Options{}).Validate(t.Context(), creation(pod("a")))
	err, ok := out.Error(attributes(admission.Create, pod("a"), nil, anna)).(*apierrors.StatusError)
	if !ok && len(results) > 0 {
		t.Fatalf("got %v", out.Error(attributes(admission.Create, pod("a"), nil, anna)))
	}
	return err
}

func TestError(t *testing.T) {
	if err := (&Outcome{}).Error(nil); err != nil {
		t.Errorf("got %v", err)
	}
	err := refusal(t, Result{Message: "first", Path: "spec.hostNetwork"}, Result{Message: "second", Reason: metav1.StatusReasonInvalid})
	if got := err.Error(); got != `pods "web" is forbidden: Fake a: first; Fake a: second` {
		t.Errorf("got %s", got)
	}
	if s := err.Status(); s.Code != http.StatusForbidden || s.Reason != metav1.StatusReasonForbidden || len(s.Details.Causes) != 2 || s.Details.Causes[0].Field != "spec.hostNetwork" {
		t.Errorf("got %+v", s)
	}
	for reason, code := range map[metav1.StatusReason]int32{
		metav1.StatusReasonInvalid: 422, metav1.StatusReasonUnauthorized: 401, metav1.StatusReasonRequestEntityTooLarge: 413, metav1.StatusReasonForbidden: 403, "Odd": 403,
	} {
		if s := refusal(t, Result{Message: "x", Reason: reason}).Status(); s.Code != code || s.Reason != reason {
			t.Errorf("%s: got %d %s", reason, s.Code, s.Reason)
		}
	}
}

// What objects and policies say may be of any length and hold anything; what a
// client prints is neither endless nor steers its terminal.
func TestErrorOfHostileText(t *testing.T) {
	long := strings.Repeat("ü", 1<<20)
	var many []Result
	for range 200 {
		many = append(many, Result{Message: long, Path: long})
	}
	for name, results := range map[string][]Result{
		"long":               {{Message: long, Path: long}},
		"many":               many,
		"control characters": {{Message: "\x1b[2J\x07\r\n\u202e" + "x", Path: "spec.\x1b[2J"}},
		"not UTF-8":          {{Message: "\xff\xfe" + long}},
	} {
		s := refusal(t, results...).Status()
		if len(s.Message) > mostMessage+1<<10 || len(s.Details.Causes) > 32 {
			t.Errorf("%s: %d bytes, %d causes", name, len(s.Message), len(s.Details.Causes))
		}
		for _, c := range s.Details.Causes {
			if len(c.Message) > mostMessage/4+8 || len(c.Field) > mostPath+8 || strings.ContainsAny(c.Message+c.Field, "\x1b\x07\r\n\u202e") {
				t.Errorf("%s: a cause of %d bytes about %d: %.40q", name, len(c.Message), len(c.Field), c.Message)
			}
		}
		if strings.ContainsAny(s.Message, "\x1b\x07\r\n\u202e") || !utf8.ValidString(s.Message) {
			t.Errorf("%s: got %.60q", name, s.Message)
		}
	}
}

func FuzzError(f *testing.F) {
	f.Add("x", "spec.a")
	f.Add("\x1b[31m", "\xff")
	f.Fuzz(func(t *testing.T, message, path string) {
		s := refusal(t, Result{Message: message, Path: path}).Status()
		for _, text := range []string{s.Message, s.Details.Causes[0].Message, s.Details.Causes[0].Field} {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("got %q", text)
			}
		}
	})
}
