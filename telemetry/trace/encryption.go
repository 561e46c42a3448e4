package trace

import (
	"context"
	"strings"
	"time"

	upstream "go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage/value"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/internal/auditid"
)

// Encryption gives the transformers of next, with a span for each object that a request
// has encrypted. What is read comes from the watch cache as a rule, where it has been
// decrypted before anybody asked, and a list would have a span for each object: reads
// have none.
func (t *Tracing) Encryption(next value.ResourceTransformers) value.ResourceTransformers {
	if t == nil || next == nil {
		return next
	}
	return tracedTransformers{next}
}

type tracedTransformers struct{ value.ResourceTransformers }

func (t tracedTransformers) TransformerForResource(resource schema.GroupResource) value.Transformer {
	return tracedTransformer{t.ResourceTransformers.TransformerForResource(resource)}
}

type tracedTransformer struct{ value.Transformer }

// encrypted is how every value begins that upstream's providers have encrypted:
// k8s:enc:secretbox:v1:key1:
const encrypted = "k8s:enc:"

// TransformToStorage implements value.Transformer.
func (t tracedTransformer) TransformToStorage(ctx context.Context, data []byte, about value.Context) ([]byte, error) {
	parent := upstream.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return t.Transformer.TransformToStorage(ctx, data, about)
	}
	began := time.Now()
	out, err := t.Transformer.TransformToStorage(ctx, data, about)
	ended := time.Now()
	provider, _, _ := strings.Cut(strings.TrimPrefix(string(out[:min(len(out), 32)]), encrypted), ":")
	verdict := gate.Step{Opinion: gate.Mutate, Part: provider}
	switch {
	case err != nil:
		// What went wrong is in the log: the text of a provider may say anything.
		verdict = gate.Step{Opinion: gate.Deny, Reason: "it could not be encrypted"}
	case !strings.HasPrefix(string(out[:min(len(out), len(encrypted))]), encrypted):
		return out, nil // nothing asks for it to be encrypted
	}
	emit(ctx, parent.TracerProvider().Tracer(scope), "encryption", auditid.From(ctx), began, ended, attributes(&verdict, false)...)
	return out, err
}
