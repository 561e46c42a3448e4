package policy

import (
	"errors"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/gate"
)

// Part is the name that the policy gate's steps go by, in the gate of admission.
const (
	Gate = "admission"
	Part = "Policy"
)

// Outcome is what the policies come to. It must not be changed.
type Outcome struct {
	// Denials refuse the request; where there are none it passes.
	Denials []Said
	// Warnings are for the client.
	Warnings []Said
	// Audits are for the audit event alone.
	Audits []Said
	// Excepted were let through by an Exception.
	Excepted []Said
	// Ignored could not be evaluated, and their failure policy lets the request pass.
	Ignored []Said
	// Annotations are for the audit event.
	Annotations map[string]string
	// Asked is how many policies matched by their Selectors.
	Asked int
	// Changed says that mutators made another object: that of the Request now.
	Changed bool
}

// Said is a Result and whose it is.
type Said struct {
	Result
	// By is the policy; its source is the first of Sources.
	By Policy
	// Exception that let it through; nil for none.
	Exception *Exception
}

// Sources said so: never empty.
func (s *Said) sources() []gate.Source {
	if len(s.Sources) > 0 {
		return s.Sources
	}
	return []gate.Source{s.By.Source()}
}

// Text is "K8sRequiredLabels must-have-owner: you must provide the label owner".
func (s *Said) Text() string {
	source := s.sources()[0]
	source.File, source.Line = "", 0
	return source.String() + ": " + s.sentence()
}

func (s *Said) sentence() string {
	if s.Err != nil && s.Message == "" {
		return "it could not be evaluated: " + s.Err.Error()
	}
	return s.Message
}

// mostMessage and mostPath are how long what is told a client, and the name of a
// field in it, may be, in bytes: a policy, or the object that it quotes, may be of
// any length.
const mostMessage, mostPath = 16 << 10, 1 << 10

// Message is every denial in one text; empty where nothing refuses. Clients print it
// to terminals, so it holds no control characters.
func (o *Outcome) Message() string {
	texts := make([]string, len(o.Denials))
	for i := range o.Denials {
		texts[i] = gate.Plain(clip(o.Denials[i].Text(), mostMessage/4))
	}
	return clip(strings.Join(texts, "; "), mostMessage)
}

// Error is the refusal as an API server answers it: every denial in one message, with
// the status of the first; nil where nothing refuses.
func (o *Outcome) Error(a admission.Attributes) error {
	if len(o.Denials) == 0 {
		return nil
	}
	err := apierrors.NewForbidden(a.GetResource().GroupResource(), a.GetName(), errors.New(o.Message()))
	if reason := o.Denials[0].Reason; reason != "" {
		err.ErrStatus.Reason, err.ErrStatus.Code = reason, codeOf(reason)
	}
	for i := range o.Denials[:min(len(o.Denials), mostCauses)] {
		err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
			Type: "PolicyViolation", Message: gate.Plain(clip(o.Denials[i].Text(), mostMessage/4)), Field: gate.Plain(clip(o.Denials[i].Path, mostPath)),
		})
	}
	return err
}

// mostCauses is how many denials a refusal lists one by one.
const mostCauses = 32

// codeOf is that of upstream's ValidatingAdmissionPolicy for the reasons it allows.
func codeOf(reason metav1.StatusReason) int32 {
	switch reason {
	case metav1.StatusReasonForbidden:
		return http.StatusForbidden
	case metav1.StatusReasonUnauthorized:
		return http.StatusUnauthorized
	case metav1.StatusReasonRequestEntityTooLarge:
		return http.StatusRequestEntityTooLarge
	case metav1.StatusReasonInvalid:
		return http.StatusUnprocessableEntity
	default:
		return http.StatusForbidden
	}
}

// clip shortens text to at most n bytes of whole characters.
func clip(text string, n int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}
