package trace

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	upstream "go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/internal/auditid"
)

// Span is the part of a gate in a trace; nil where there is none.
type Span struct {
	span     upstream.Span
	part     string         // of the gate, where it is known from the start
	recorder *gate.Recorder // nil where steps are not asked for
	outer    *gate.Recorder // whose steps these are too
}

// Start begins the span of a gate within ctx's, and returns nil where ctx's request is
// not sampled. name is the span's, which begins with the gate's as a rule.
func Start(ctx context.Context, gateName, name string) (context.Context, *Span) {
	parent := upstream.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, nil
	}
	ctx, span := parent.TracerProvider().Tracer(scope).Start(ctx, name)
	span.SetAttributes(AuditID.String(auditid.From(ctx)), Gate.String(gateName))
	return ctx, &Span{span: span}
}

// Record makes the gates below ctx record their steps for the span.
func (s *Span) Record(ctx context.Context) context.Context {
	if s == nil {
		return ctx
	}
	s.recorder, s.outer = &gate.Recorder{}, gate.RecorderFrom(ctx)
	if s.outer != nil {
		s.recorder.All = s.outer.All
	}
	return gate.WithRecorder(ctx, s.recorder)
}

// Set adds attributes. They are made before it is called: where that counts, a caller
// looks whether there is a span.
func (s *Span) Set(about ...attribute.KeyValue) {
	if s != nil {
		s.span.SetAttributes(about...)
	}
}

// Fail marks that the gate could not answer. kind is a word of few, never the error's text.
func (s *Span) Fail(kind string) {
	if s != nil {
		s.span.SetStatus(codes.Error, "")
		s.span.SetAttributes(Failed.String(kind))
	}
}

// End ends the span with what the gate came to. Where steps were recorded, the one that
// decided gives part and sources, and those that have something to say are events.
// withheld keeps reasons out.
func (s *Span) End(verdict gate.Step, withheld bool) {
	if s == nil {
		return
	}
	if verdict.Part == "" {
		verdict.Part = s.part
	}
	steps := s.recorder.Steps()
	for i := range steps {
		s.outer.Record(steps[i])
	}
	told := 0
	for i := range steps {
		step := &steps[i]
		if len(verdict.Sources) == 0 && step.Opinion == verdict.Opinion {
			verdict.Sources = step.Sources
			if verdict.Part == "" {
				verdict.Part = step.Part
			}
			if verdict.Reason == "" {
				verdict.Reason = step.Reason
			}
		}
		if step.Opinion == gate.NoOpinion || told == most {
			continue
		}
		told++
		s.span.AddEvent("step", upstream.WithAttributes(attributes(step, withheld)...))
	}
	if len(steps) > 0 {
		s.span.SetAttributes(Steps.Int(len(steps)))
	}
	s.span.SetAttributes(attributes(&verdict, withheld)...)
	s.span.End()
}
