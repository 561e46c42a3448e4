package query

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Field is what events can be counted by.
type Field struct {
	Name string
	// needs are what of an event tells the values.
	needs audit.Fields
	// of are the values of an event. It may have several, and counts for each.
	of func(e *audit.Event) []string
}

// Unknown is the value of what the source of an event cannot tell.
const Unknown = "(unknown)"

func one(of func(e *audit.Event) string) func(e *audit.Event) []string {
	return func(e *audit.Event) []string { return []string{of(e)} }
}

// known is a value, or Unknown where it is empty and the source cannot tell it.
func known(field string, of func(e *audit.Event) string) func(e *audit.Event) []string {
	return one(func(e *audit.Event) string {
		if value := of(e); value != "" || e.Knows(field) {
			return value
		}
		return Unknown
	})
}

// fields are all there are. The slice is never written to.
var fields = []Field{
	{"user", audit.FieldUser, one(func(e *audit.Event) string { return e.User })},
	{"impersonated", audit.FieldAsUser, one(func(e *audit.Event) string { return e.AsUser })},
	{"group", audit.FieldGroups | audit.FieldUnknown, func(e *audit.Event) []string {
		switch {
		case len(e.Groups) > 0:
			return distinct(e.Groups)
		case !e.Knows(audit.UnknownGroups):
			return []string{Unknown}
		}
		return []string{""}
	}},
	{"verb", audit.FieldVerb, one(func(e *audit.Event) string { return e.Verb })},
	{"resource", audit.FieldAPIGroup | audit.FieldResource | audit.FieldSubresource, one(ResourceOf)},
	{"apigroup", audit.FieldAPIGroup, one(func(e *audit.Event) string { return e.APIGroup })},
	{"subresource", audit.FieldSubresource, one(func(e *audit.Event) string { return e.Subresource })},
	{"namespace", audit.FieldNamespace, one(func(e *audit.Event) string { return e.Namespace })},
	{"name", audit.FieldName, one(func(e *audit.Event) string { return e.Name })},
	{"code", audit.FieldCode | audit.FieldUnknown, known(audit.UnknownCode, func(e *audit.Event) string {
		if e.Code == 0 {
			return ""
		}
		return strconv.Itoa(int(e.Code))
	})},
	{"decision", audit.FieldDecision | audit.FieldUnknown, known(audit.UnknownDecision, (*audit.Event).Decision)},
	{"reason", audit.FieldReason | audit.FieldUnknown, known(audit.UnknownDecision, (*audit.Event).Reason)},
	// The last address is the only one that a client cannot set.
	{"ip", audit.FieldSourceIPs, one(SourceIP)},
	{"useragent", audit.FieldUserAgent | audit.FieldUnknown, known(audit.UnknownUserAgent, func(e *audit.Event) string { return e.UserAgent })},
	{"path", audit.FieldPath, one(func(e *audit.Event) string { path, _, _ := strings.Cut(e.URI, "?"); return path })},
	{"stage", audit.FieldStage, one(func(e *audit.Event) string { return e.Stage })},
	{"level", audit.FieldLevel, one(func(e *audit.Event) string { return e.Level })},
	{"source", audit.FieldSource, one(func(e *audit.Event) string { return e.Source })},
	{"minute", audit.FieldMinute, one(func(e *audit.Event) string { return e.Time.UTC().Format("2006-01-02T15:04Z") })},
	{"hour", audit.FieldHour, one(func(e *audit.Event) string { return e.Time.UTC().Format("2006-01-02T15Z") })},
	{"day", audit.FieldDay, one(func(e *audit.Event) string { return e.Time.UTC().Format("2006-01-02") })},
}

// distinct is a list with each value once.
func distinct(list []string) []string {
	for i := range list {
		if slices.Contains(list[:i], list[i]) {
			sorted := slices.Clone(list)
			slices.Sort(sorted)
			return slices.Compact(sorted)
		}
	}
	return list
}

// FieldNames are what ParseFields knows.
func FieldNames() (names []string) {
	for _, f := range fields {
		names = append(names, f.Name)
	}
	return names
}

// maxFields is how many fields events are counted by at once.
const maxFields = 4

// ParseFields reads names of fields. Case and hyphens do not matter.
func ParseFields(names []string) (list []Field, err error) {
	for _, name := range names {
		plain := strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(strings.TrimSpace(name)))
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == plain })
		if i < 0 {
			return nil, fmt.Errorf("events are not counted by %q; they are by %s", name, strings.Join(FieldNames(), ", "))
		}
		if !slices.ContainsFunc(list, func(f Field) bool { return f.Name == plain }) {
			list = append(list, fields[i])
		}
	}
	if len(list) > maxFields {
		return nil, fmt.Errorf("events are counted by at most %d fields at once, not %d", maxFields, len(list))
	}
	return list, nil
}

// ResourceOf is what an event is about as one writes it: pods, deployments.apps/scale.
func ResourceOf(e *audit.Event) string {
	text := e.Resource
	if e.APIGroup != "" {
		text += "." + e.APIGroup
	}
	if e.Subresource != "" {
		text += "/" + e.Subresource
	}
	return text
}

// SourceIP is where an event's request came from: the last address, which is the one the
// server saw.
func SourceIP(e *audit.Event) string {
	if len(e.SourceIPs) == 0 {
		return ""
	}
	return e.SourceIPs[len(e.SourceIPs)-1]
}
