package trace

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"github.com/gatehouse-io/gatehouse/gate"
)

// Attributes of spans and of their events. The audit ID has the name that audit events
// have it under as log records (package audit/otlp).
const (
	AuditID = attribute.Key("gatehouse.audit.id")
	Gate    = attribute.Key("gatehouse.gate.name")    // authentication, authorization, admission, encryption, audit
	Part    = attribute.Key("gatehouse.gate.part")    // RBAC, client certificate, the name of a plugin, secretbox
	Verdict = attribute.Key("gatehouse.gate.verdict") // allow, deny, no_opinion, mutate, warn
	Reason  = attribute.Key("gatehouse.gate.reason")  // one sentence
	Sources = attribute.Key("gatehouse.gate.sources") // who said so: ["RoleBinding shop/devs", "ClusterRole view rules[2]"]
	Failed  = attribute.Key("error.type")             // where a gate could not answer
	Steps   = attribute.Key("gatehouse.gate.steps")   // how many parts of the gate spoke
	Stage   = attribute.Key("gatehouse.audit.stage")  // of the event
	Level   = attribute.Key("gatehouse.audit.level")  // of the event
	Phase   = attribute.Key("gatehouse.admission.phase")
)

// longest bounds a text of an attribute, and most the steps of a gate that are told.
const (
	longest = 1024
	most    = 32
)

// text is what an attribute has of a text: bounded, and without what steers a terminal.
func text(s string) string {
	s = gate.Plain(s)
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "")
	}
	return s
}

// attributes are what a step says. Of a reason that is withheld nothing is told.
func attributes(step *gate.Step, withheld bool) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, 5)
	all = append(all, Verdict.String(strings.ReplaceAll(string(step.Opinion), " ", "_")))
	if step.Part != "" {
		all = append(all, Part.String(text(step.Part)))
	}
	if step.Reason != "" && !withheld {
		all = append(all, Reason.String(text(step.Reason)))
	}
	if len(step.Sources) > 0 {
		names := make([]string, len(step.Sources))
		for i := range step.Sources {
			names[i] = text(step.Sources[i].String())
		}
		all = append(all, Sources.StringSlice(names))
	}
	return all
}
