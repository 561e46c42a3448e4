package admission

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync/atomic"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/warning"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/internal/auditid"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

// NativePolicies stand around upstream's plugins for policies in CEL: with them an
// Exception applies to those policies too, a trace tells of each, and a request that
// breaks none costs what its own policies cost, however many others there are.
//
// The engine of policy/cel is asked first, whether all policies that match hold and have
// nothing to say; its index finds them. Only then is upstream's plugin not asked. In all
// other cases it is, and its answer stands, with its texts, counts and annotations. Where
// it objects, or somebody wants a trace, the engine says which of the policies spoke, and
// whether an Exception lets that through. What the engine does not know of, upstream's
// refusal of a policy that was written a moment ago, no Exception takes back. A change
// cannot be taken back from what upstream's plugin came to: where an Exception lets a
// request by a MutatingAdmissionPolicy, the engine asks all of them in its place.
type NativePolicies struct {
	// Policy makes the requests for the engine. Needed.
	Policy *Policy
	// Set is the policies in CEL, with the Exceptions; nil while they have not been
	// read, and then upstream's answer stands.
	Set func() *policy.Set
	// Current is the same policies, while they are those that upstream's plugins have
	// been told of; nil at all other times, and then upstream's plugins are asked about
	// every request. Default: nil, always.
	Current func() *policy.Set
	// Cluster is what the policies look things up in.
	Cluster func() policy.Cluster
	// Answered is told who has let a request pass, or refused it: ByEngine or ByPlugin.
	// Default: nobody is told.
	Answered func(by string)
}

// Who answers a request: the engine, which has found that nothing need be said, or
// upstream's plugin.
const ByEngine, ByPlugin = "engine", "plugin"

func (n *NativePolicies) answered(by string) {
	if n.Answered != nil {
		n.Answered(by)
	}
}

// NativeExceptedAnnotation of audit events has what Exceptions let through of policies
// in CEL, as a JSON list of texts.
const NativeExceptedAnnotation = "validation.policy.gatehouse.io/excepted"

// Around is upstream's plugin with the gate around it; another plugin is left as it is.
func (n *NativePolicies) Around(handler admission.Interface, name string) admission.Interface {
	switch name {
	case validating.PluginName:
		if v, ok := handler.(admission.ValidationInterface); ok {
			plugin, ok := handler.(*validating.Plugin)
			return &nativeValidation{v, shortcut{around: n, may: ok && plugin.GetStaticManifestsDir() == ""}}
		}
	case mutating.PluginName:
		if m, ok := handler.(admission.MutationInterface); ok {
			plugin, ok := handler.(*mutating.Plugin)
			return &nativeMutation{m, shortcut{around: n, may: ok && plugin.GetStaticManifestsDir() == ""}}
		}
	}
	return handler
}

func (n *NativePolicies) request(a admission.Attributes, o admission.ObjectInterfaces) *policy.Request {
	r := n.Policy.request(a, o)
	r.Cluster = n.Cluster()
	return r
}

// shortcut says when a plugin may be left out.
type shortcut struct {
	around *NativePolicies
	// may says that the engine knows every policy that the plugin can know: those that
	// lie in files the plugin alone has read.
	may bool
	// ready is set once the plugin has let a request pass that it judges: until it has
	// read its policies it refuses those.
	ready atomic.Bool
}

// policies are those that may be asked instead of the plugin; nil for none.
func (s *shortcut) policies(ctx context.Context) *policy.Set {
	n := s.around
	if !s.may || !s.ready.Load() || n.Current == nil || gate.RecorderFrom(ctx) != nil {
		return nil // a trace is of all that a request goes through
	}
	return n.Current()
}

// answered notes what the plugin has said of a request.
func (s *shortcut) answered(a admission.Attributes, err error) {
	if err != nil || s.ready.Load() {
		return
	}
	// Of other resources the plugin asks its policies nothing.
	resource := a.GetResource().GroupResource()
	if !s.around.Policy.excluded[resource] && !Exempt(resource) {
		s.ready.Store(true)
	}
}

type nativeValidation struct {
	admission.ValidationInterface
	shortcut
}

// Validate implements admission.ValidationInterface.
func (v *nativeValidation) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if set := v.policies(ctx); set != nil && cel.Holds(ctx, set, v.around.request(a, o)) {
		v.around.answered(ByEngine)
		return nil
	}
	v.around.answered(ByPlugin)
	err := v.ask(ctx, a, o)
	v.answered(a, err)
	return err
}

// ask is upstream's answer, less what Exceptions let through.
func (v *nativeValidation) ask(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	set := v.around.Set()
	if set == nil {
		return v.ValidationInterface.Validate(ctx, a, o)
	}
	held := &heldBack{Attributes: a}
	err := v.ValidationInterface.Validate(warning.WithWarningRecorder(ctx, held), held, o)
	if objects := err != nil || len(held.warnings) > 0 || held.annotations[failureAnnotation] != ""; objects || gate.RecorderFrom(ctx) != nil {
		out := set.Validate(ctx, v.around.request(a, o))
		if objects && len(out.Excepted) > 0 {
			err = held.without(out, err)
		}
	}
	held.let(ctx)
	return err
}

// failureAnnotation is where upstream writes what policies object to without refusing.
const failureAnnotation = "validation.policy.admission.k8s.io/validation_failure"

// heldBack keeps what a plugin says until it is known what of it stands.
type heldBack struct {
	admission.Attributes
	warnings    []string
	annotations map[string]string
}

var _ warning.Recorder = &heldBack{}

// AddWarning implements warning.Recorder.
func (h *heldBack) AddWarning(_, text string) { h.warnings = append(h.warnings, text) }

// AddAnnotation keeps one.
func (h *heldBack) AddAnnotation(key, value string) error {
	if h.annotations == nil {
		h.annotations = map[string]string{}
	}
	h.annotations[key] = value
	return nil
}

// AddAnnotationWithLevel keeps one; upstream's plugin gives no level.
func (h *heldBack) AddAnnotationWithLevel(key, value string, _ auditinternal.Level) error {
	return h.AddAnnotation(key, value)
}

// let says what was kept.
func (h *heldBack) let(ctx context.Context) {
	for _, text := range h.warnings {
		warning.AddWarning(ctx, "", text)
	}
	for _, key := range slices.Sorted(maps.Keys(h.annotations)) {
		if err := h.Attributes.AddAnnotation(key, h.annotations[key]); err != nil {
			auditid.Log(ctx).Error(err, "What policies say cannot be written into the audit event", "key", key)
		}
	}
}

// without takes back what was excepted, and returns what is left of the refusal.
func (h *heldBack) without(out *policy.Outcome, refusal error) error {
	var failures []validating.ValidationFailureValue
	if text := h.annotations[failureAnnotation]; text != "" && json.Unmarshal([]byte(text), &failures) != nil {
		return refusal // it is not upstream's: nothing is taken back
	}
	excepted := false
	for i := range out.Excepted {
		result := &out.Excepted[i].Result
		details, ok := result.Details.(*cel.Details)
		if !ok {
			continue
		}
		if refusal != nil && refusal.Error() == details.Refusal(h, result).Error() {
			excepted = true
		}
		text := details.Warning(result.Message)
		h.warnings = slices.DeleteFunc(h.warnings, func(w string) bool { return w == text })
		failures = slices.DeleteFunc(failures, func(f validating.ValidationFailureValue) bool {
			return f.Policy == details.Policy && f.Binding == details.Binding && f.ExpressionIndex == details.Expression && f.Message == result.Message
		})
	}
	delete(h.annotations, failureAnnotation)
	if len(failures) > 0 {
		if text, err := json.Marshal(failures); err == nil { // what was read can be written
			_ = h.AddAnnotation(failureAnnotation, string(text)) // it is kept
		}
	}
	_ = h.AddAnnotation(NativeExceptedAnnotation, AuditAnnotations(&policy.Outcome{Excepted: out.Excepted})[ExceptedAnnotation])
	if !excepted {
		return refusal
	}
	if len(out.Denials) == 0 {
		return nil
	}
	// Upstream tells one refusal of several.
	if details, ok := out.Denials[0].Details.(*cel.Details); ok {
		return details.Refusal(h, &out.Denials[0].Result)
	}
	return out.Error(h)
}
