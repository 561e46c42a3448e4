package guard

import (
	"context"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/internal/auditid"
)

// AnnotationAudit is the audit annotation of a request that Guards of mode audit
// would have refused: their reasons, separated by "; ".
const AnnotationAudit = "gatehouse.io/guard-audit"

// The names under which steps are recorded.
const (
	gateName = "authorization"
	partName = "Guard"
)

// judgement is what Guards that touch one request make of it.
type judgement struct {
	ctx        context.Context
	attributes authorizer.Attributes
	recorder   *gate.Recorder
	now        time.Time

	// review is the request as conditions see it; nil until one asks.
	review *authorizationv1.SubjectAccessReview

	// recorded says that a step was recorded.
	recorded bool
}

// judge asks the Guards that enforce, then those that audit: where a request is
// refused, what others would have done changes nothing.
func (j *judgement) judge(rules []*rule) (authorizer.Decision, string, error) {
	all := j.recorder != nil && j.recorder.All
	refusal := ""
	for _, r := range rules {
		if r.audit || refusal != "" && !all {
			continue
		}
		if reason := j.ask(r); refusal == "" {
			refusal = reason
		}
	}
	var noted []string
	for _, r := range rules {
		if !r.audit || refusal != "" && !all {
			continue
		}
		if reason := j.ask(r); reason != "" {
			noted = append(noted, reason)
		}
	}
	if refusal != "" {
		return authorizer.DecisionDeny, refusal, nil
	}
	if len(noted) > 0 {
		annotate(j.ctx, strings.Join(noted, "; "))
	}
	if !j.recorded {
		recordUntouched(j.recorder)
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// ask returns why the Guard refuses, or empty where its window is closed or its
// condition is not met.
func (j *judgement) ask(r *rule) string {
	var began time.Time
	if j.recorder != nil {
		began = time.Now()
	}
	if !r.open(j.now) {
		return ""
	}
	reason, detail := "Guard "+r.name+": "+r.reason, ""
	if r.condition != nil {
		if j.review == nil {
			j.review = reviewOf(j.attributes)
		}
		met, err := r.condition.met(j.ctx, j.review)
		switch {
		case err != nil:
			// The error may quote what the request holds; only who may ask for an
			// explanation sees it.
			reason += " (its condition failed, which counts as met)"
			detail = err.Error()
		case !met:
			return ""
		}
	}
	if r.broad != "" {
		reason += " (its " + r.broad + " cannot be read, which counts as matching)"
	}
	j.record(r, reason, detail, began)
	return reason
}

func (j *judgement) record(r *rule, reason, detail string, began time.Time) {
	if j.recorder == nil {
		return
	}
	if detail != "" {
		reason += ": " + detail
	}
	step := gate.Step{
		Gate: gateName, Part: partName, Opinion: gate.Deny, Reason: reason,
		Sources: []gate.Source{{Kind: "Guard", Name: r.name}}, Took: time.Since(began),
	}
	if r.audit {
		step.Opinion, step.Reason = gate.NoOpinion, "would be refused, but its mode is audit: "+reason
	}
	j.recorder.Record(step)
	j.recorded = true
}

func recordUntouched(recorder *gate.Recorder) {
	if recorder != nil {
		recorder.Record(gate.Step{Gate: gateName, Part: partName, Opinion: gate.NoOpinion, Reason: "no Guard touches this"})
	}
}

// annotate writes into the audit event. An event has one value for a key: where
// one request asks the authorizer twice (an impersonation, then the request
// itself), the first value stays.
func annotate(ctx context.Context, value string) {
	event := audit.AuditContextFrom(ctx)
	if !event.Enabled() {
		return
	}
	if before, ok := event.GetEventAnnotation(AnnotationAudit); ok && before != value {
		auditid.Log(ctx).V(2).Info("A request has the audit annotation of Guards already", "first", before, "left out", value)
		return
	}
	audit.AddAuditAnnotation(ctx, AnnotationAudit, value)
}
