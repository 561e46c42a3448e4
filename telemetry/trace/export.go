package trace

import (
	"context"
	"regexp"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// scrubbed takes out of spans, whoever made them, what no trace may hold. It works on
// what is sent, beside all requests.
type scrubbed struct{ sdk.SpanExporter }

// ExportSpans implements sdk.SpanExporter.
func (s scrubbed) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	all := make([]sdk.ReadOnlySpan, len(spans))
	for i, span := range spans {
		all[i] = scrubbedSpan{span}
	}
	return s.SpanExporter.ExportSpans(ctx, all)
}

type scrubbedSpan struct{ sdk.ReadOnlySpan }

func (s scrubbedSpan) Attributes() []attribute.KeyValue { return scrub(s.ReadOnlySpan.Attributes()) }

func (s scrubbedSpan) Name() string { return withoutCredentials(s.ReadOnlySpan.Name()) }

func (s scrubbedSpan) Status() sdk.Status {
	status := s.ReadOnlySpan.Status()
	status.Description = withoutCredentials(status.Description)
	return status
}

func (s scrubbedSpan) Events() []sdk.Event {
	events := append([]sdk.Event(nil), s.ReadOnlySpan.Events()...)
	for i := range events {
		events[i].Name, events[i].Attributes = withoutCredentials(events[i].Name), scrub(events[i].Attributes)
	}
	return events
}

// scrub leaves queries out, for they hold the commands of exec, and what is behind a
// proxy, which is no business of the cluster; and credentials out of any text.
func scrub(list []attribute.KeyValue) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, len(list))
	for _, kv := range list {
		switch kv.Key {
		case "url.query":
			continue
		case "http.target", "url.full", "url.path", "url", "http.url":
			if kv.Value.Type() == attribute.STRING {
				kv.Value = attribute.StringValue(withoutCredentials(plainPath(kv.Value.AsString())))
			}
		default:
			switch kv.Value.Type() {
			case attribute.STRING:
				kv.Value = attribute.StringValue(withoutCredentials(kv.Value.AsString()))
			case attribute.STRINGSLICE:
				texts := kv.Value.AsStringSlice()
				for i := range texts {
					texts[i] = withoutCredentials(texts[i])
				}
				kv.Value = attribute.StringSliceValue(texts)
			}
		}
		all = append(all, kv)
	}
	return all
}

func plainPath(url string) string {
	url, _, _ = strings.Cut(url, "?")
	if at := strings.Index(url, "/proxy/"); at >= 0 {
		url = url[:at+len("/proxy/")]
	}
	return url
}

// credential is a JSON web token, a bootstrap token or a private key.
var credential = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*|\b[a-z0-9]{6}\.[a-z0-9]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*)`)

func withoutCredentials(s string) string {
	if !strings.ContainsRune(s, '.') && !strings.Contains(s, "PRIVATE KEY") {
		return s
	}
	return credential.ReplaceAllStringFunc(s, func(found string) string {
		// Words with a dot are names of APIs and fields as a rule; a token has a digit.
		if found[0] != '-' && !strings.HasPrefix(found, "eyJ") && !strings.ContainsAny(found[7:], "0123456789") {
			return found
		}
		return "[withheld]"
	})
}
