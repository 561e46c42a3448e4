package trace

import (
	"context"
	"errors"
	"time"

	upstream "go.opentelemetry.io/otel/trace"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/internal/auditid"
)

// Admission is a decorator of plugins: each of those that decide by what somebody has
// set has a span for each phase, and any other where it refused, or took long.
type Admission struct {
	// Always have a span.
	Always map[string]bool
	// Recording are those whose steps are asked for: plugins that record them at no
	// other cost than that.
	Recording map[string]bool
}

// slow is from when on a plugin has a span that is not among Always.
const slow = time.Millisecond

// Decorate implements admission.Decorator. What it returns does what handler does, and
// not the phase that handler does not do.
func (d *Admission) Decorate(handler admission.Interface, name string) admission.Interface {
	mutator, mutates := handler.(admission.MutationInterface)
	validator, validates := handler.(admission.ValidationInterface)
	p := tracedPlugin{name: name, always: d.Always[name], recording: d.Recording[name]}
	switch {
	case mutates && validates:
		return tracedBoth{tracedMutator{mutator, p}, tracedValidator{validator, p}}
	case mutates:
		return tracedMutator{mutator, p}
	case validates:
		return tracedValidator{validator, p}
	}
	return handler
}

// tracedPlugin is how a plugin is traced.
type tracedPlugin struct {
	name              string
	always, recording bool
}

type tracedMutator struct {
	admission.MutationInterface
	plugin tracedPlugin
}

// Admit implements admission.MutationInterface.
func (t tracedMutator) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if !upstream.SpanFromContext(ctx).IsRecording() {
		return t.MutationInterface.Admit(ctx, a, o)
	}
	return t.plugin.traced(ctx, "mutate", a, func(ctx context.Context) error { return t.MutationInterface.Admit(ctx, a, o) })
}

type tracedValidator struct {
	admission.ValidationInterface
	plugin tracedPlugin
}

// Validate implements admission.ValidationInterface.
func (t tracedValidator) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if !upstream.SpanFromContext(ctx).IsRecording() {
		return t.ValidationInterface.Validate(ctx, a, o)
	}
	return t.plugin.traced(ctx, "validate", a, func(ctx context.Context) error { return t.ValidationInterface.Validate(ctx, a, o) })
}

type tracedBoth struct {
	tracedMutator
	validator tracedValidator
}

// Validate implements admission.ValidationInterface.
func (t tracedBoth) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	return t.validator.Validate(ctx, a, o)
}

func (p tracedPlugin) traced(ctx context.Context, phase string, a admission.Attributes, ask func(context.Context) error) error {
	name := "admission " + phase + " " + p.name
	if p.always {
		inner, span := StartAdmission(ctx, phase, p.name)
		if p.recording {
			inner = span.Record(inner)
		}
		err := ask(inner)
		span.EndAdmission(a, err, span != nil && changed(span.recorder.Steps()))
		return err
	}
	began := time.Now()
	err := ask(ctx)
	ended := time.Now()
	if err == nil && ended.Sub(began) < slow {
		return nil
	}
	_, span := upstream.SpanFromContext(ctx).TracerProvider().Tracer(scope).Start(ctx, name, upstream.WithTimestamp(began))
	span.SetAttributes(AuditID.String(auditid.From(ctx)), Gate.String("admission"), Phase.String(phase))
	verdict := admitted(p.name, err)
	span.SetAttributes(attributes(&verdict, secretive(a))...)
	span.End(upstream.WithTimestamp(ended))
	return err
}

// StartAdmission begins the span of a plugin, or of an engine of policies, in one phase.
func StartAdmission(ctx context.Context, phase, name string) (context.Context, *Span) {
	if !upstream.SpanFromContext(ctx).IsRecording() {
		return ctx, nil
	}
	ctx, span := Start(ctx, "admission", "admission "+phase+" "+name)
	span.Set(Phase.String(phase))
	span.part = name
	return ctx, span
}

// EndAdmission ends it with the plugin's answer; changed says that it changed the object.
func (s *Span) EndAdmission(a admission.Attributes, err error, changed bool) {
	if s == nil {
		return
	}
	verdict := admitted("", err)
	if err == nil && changed {
		verdict.Opinion = gate.Mutate
	}
	s.End(verdict, secretive(a))
}

func admitted(part string, err error) gate.Step {
	switch {
	case err == nil:
		return gate.Step{Opinion: gate.Allow, Part: part}
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return gate.Step{Opinion: gate.Deny, Part: part, Reason: "the time for the request was over"}
	}
	return gate.Step{Opinion: gate.Deny, Part: part, Reason: err.Error()}
}

func changed(steps []gate.Step) bool {
	for i := range steps {
		if steps[i].Opinion == gate.Mutate {
			return true
		}
	}
	return false
}

// secretive says whether what admission says of a request may quote a secret: policies
// say what people have written into them, of whatever is in the object.
func secretive(a admission.Attributes) bool {
	resource := a.GetResource()
	switch {
	case resource.Group == "" && resource.Resource == "secrets",
		resource.Group == "" && resource.Resource == "serviceaccounts" && a.GetSubresource() == "token",
		resource.Group == "authentication.k8s.io":
		return true
	}
	return false
}
