package otlp

import (
	"maps"
	"slices"
	"strings"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/record"
)

// scope names who made the records.
const scope = "github.com/gatehouse-io/gatehouse/audit"

func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: strings.ToValidUTF8(value, "\uFFFD")}}}
}

func number(key string, value int64) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: value}}}
}

func texts(key string, values []string) *common.KeyValue {
	list := &common.ArrayValue{}
	for _, v := range values {
		list.Values = append(list.Values, text("", v).Value)
	}
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: list}}}
}

// request is a batch as it is sent.
func (x *Exporter) request(batch []*audit.Event, now time.Time) *collector.ExportLogsServiceRequest {
	about := []*common.KeyValue{text("service.name", x.o.Service)}
	if x.o.Version != "" {
		about = append(about, text("service.version", x.o.Version))
	}
	if x.o.Cluster != "" {
		about = append(about, text("k8s.cluster.name", x.o.Cluster))
	}
	for _, key := range slices.Sorted(maps.Keys(x.o.Resource)) {
		about = append(about, text(key, x.o.Resource[key]))
	}
	records := make([]*logs.LogRecord, 0, len(batch))
	for _, e := range batch {
		records = append(records, recordOf(e, now))
	}
	return &collector.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
		Resource:  &resource.Resource{Attributes: about},
		ScopeLogs: []*logs.ScopeLogs{{Scope: &common.InstrumentationScope{Name: scope, Version: x.o.Version}, LogRecords: records}},
	}}}
}

// recordOf is one event as a log record.
func recordOf(e *audit.Event, now time.Time) *logs.LogRecord {
	r := &logs.LogRecord{
		TimeUnixNano: uint64(e.Time.UnixNano()), ObservedTimeUnixNano: uint64(now.UnixNano()), EventName: "k8s.audit",
		Body: text("", string(record.AppendJSON(nil, e))).Value,
	}
	r.SeverityNumber, r.SeverityText = severity(e)
	add := func(key, value string) {
		if value != "" {
			r.Attributes = append(r.Attributes, text(key, value))
		}
	}
	add("gatehouse.audit.id", e.ID)
	add("gatehouse.audit.stage", e.Stage)
	add("gatehouse.audit.level", e.Level)
	add("gatehouse.audit.source", e.Source)
	add("gatehouse.audit.verb", e.Verb)
	add("gatehouse.audit.decision", e.Decision())
	add("gatehouse.audit.reason", e.Reason())
	add("gatehouse.audit.impersonated_user.name", e.AsUser)
	add("gatehouse.audit.object.group", e.APIGroup)
	add("gatehouse.audit.object.resource", e.Resource)
	add("gatehouse.audit.object.subresource", e.Subresource)
	add("gatehouse.audit.object.name", e.Name)
	add("user.name", e.User)
	add("user.id", e.UID)
	add("user_agent.original", e.UserAgent)
	add("k8s.namespace.name", e.Namespace)
	switch e.Resource {
	case "pods":
		add("k8s.pod.name", e.Name)
	case "nodes":
		add("k8s.node.name", e.Name)
	}
	path, query, _ := strings.Cut(e.URI, "?")
	add("url.path", path)
	add("url.query", query)
	if n := len(e.SourceIPs); n > 0 {
		add("client.address", e.SourceIPs[n-1]) // the others are the client's to say
	}
	if e.Code != 0 {
		r.Attributes = append(r.Attributes, number("http.response.status_code", int64(e.Code)))
	}
	if len(e.Groups) > 0 {
		r.Attributes = append(r.Attributes, texts("gatehouse.audit.user.groups", e.Groups))
	}
	if len(e.Unknown) > 0 {
		r.Attributes = append(r.Attributes, texts("gatehouse.audit.unknown", e.Unknown))
	}
	return r
}

func severity(e *audit.Event) (logs.SeverityNumber, string) {
	switch {
	case e.Stage == audit.StagePanic || e.Code >= 500:
		return logs.SeverityNumber_SEVERITY_NUMBER_ERROR, "ERROR"
	case e.Code >= 400 || e.Decision() == "forbid":
		return logs.SeverityNumber_SEVERITY_NUMBER_WARN, "WARN"
	}
	return logs.SeverityNumber_SEVERITY_NUMBER_INFO, "INFO"
}
