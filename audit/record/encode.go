package record

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/internal/jsondoc"
)

// AppendJSON appends an event as an Event of audit.k8s.io/v1 on one line, without the
// line's end, in the order upstream prints. Source, Unknown and Truncated become
// annotations.
func AppendJSON(dst []byte, e *audit.Event) []byte {
	w := writer{dst}
	w.raw(`{"kind":"Event","apiVersion":"audit.k8s.io/v1"`)
	w.text(`,"level":`, e.Level)
	w.text(`,"auditID":`, e.ID)
	w.text(`,"stage":`, e.Stage)
	w.text(`,"requestURI":`, e.URI)
	w.text(`,"verb":`, e.Verb)
	w.user(`,"user":`, e.User, e.UID, e.Groups, e.Extra)
	if e.AsUser != "" || e.AsUID != "" || e.AsGroups != nil || e.AsExtra != nil {
		w.user(`,"impersonatedUser":`, e.AsUser, e.AsUID, e.AsGroups, e.AsExtra)
	}
	if e.Constraint != "" {
		w.text(`,"authenticationMetadata":{"impersonationConstraint":`, e.Constraint)
		w.raw("}")
	}
	if len(e.SourceIPs) > 0 {
		w.texts(`,"sourceIPs":`, e.SourceIPs)
	}
	w.some(`,"userAgent":`, e.UserAgent)
	w.object(e)
	w.status(e)
	w.body(`,"requestObject":`, e.Request)
	w.body(`,"responseObject":`, e.Response)
	w.time(`,"requestReceivedTimestamp":`, e.Received)
	w.time(`,"stageTimestamp":`, e.Time)
	w.annotations(e)
	w.raw("}")
	return w.out
}

type writer struct{ out []byte }

func (w *writer) raw(s string) { w.out = append(w.out, s...) }

func (w *writer) text(key, value string) {
	w.raw(key)
	w.out = jsondoc.AppendString(w.out, value)
}

func (w *writer) some(key, value string) {
	if value != "" {
		w.text(key, value)
	}
}

func (w *writer) texts(key string, list []string) {
	w.raw(key)
	if list == nil {
		w.raw("null") // an extra without a list is not one with an empty list
		return
	}
	w.raw("[")
	for i, s := range list {
		if i > 0 {
			w.raw(",")
		}
		w.out = jsondoc.AppendString(w.out, s)
	}
	w.raw("]")
}

func (w *writer) body(key string, body []byte) {
	if body != nil {
		w.raw(key)
		w.out = appendLine(w.out, body)
	}
}

func (w *writer) time(key string, t time.Time) {
	w.raw(key)
	if t.IsZero() {
		w.raw("null")
		return
	}
	w.raw(`"`)
	w.out = t.UTC().AppendFormat(w.out, layout)
	w.raw(`"`)
}

// members writes an object whose members are each written by one call of member; a
// comma is put between them.
func (w *writer) members(key string, member func()) {
	w.raw(key)
	at := len(w.out)
	member()
	if len(w.out) == at {
		w.raw("{}")
		return
	}
	w.out[at] = '{' // every member begins with a comma
	w.raw("}")
}

func (w *writer) user(key, name, uid string, groups []string, extra map[string][]string) {
	w.members(key, func() {
		w.some(`,"username":`, name)
		w.some(`,"uid":`, uid)
		if groups != nil {
			w.texts(`,"groups":`, groups)
		}
		if extra != nil {
			w.members(`,"extra":`, func() {
				for _, k := range slices.Sorted(maps.Keys(extra)) {
					w.text(",", k)
					w.texts(":", extra[k])
				}
			})
		}
	})
}

func (w *writer) object(e *audit.Event) {
	if e.Resource == "" && e.Namespace == "" && e.Name == "" && e.ObjectUID == "" && e.APIGroup == "" && e.APIVersion == "" && e.ResourceVersion == "" && e.Subresource == "" {
		return
	}
	w.members(`,"objectRef":`, func() {
		w.some(`,"resource":`, e.Resource)
		w.some(`,"namespace":`, e.Namespace)
		w.some(`,"name":`, e.Name)
		w.some(`,"uid":`, e.ObjectUID)
		w.some(`,"apiGroup":`, e.APIGroup)
		w.some(`,"apiVersion":`, e.APIVersion)
		w.some(`,"resourceVersion":`, e.ResourceVersion)
		w.some(`,"subresource":`, e.Subresource)
	})
}

func (w *writer) status(e *audit.Event) {
	if e.Status == "" && e.Message == "" && e.StatusReason == "" && e.Code == 0 {
		return
	}
	w.members(`,"responseStatus":`, func() {
		w.raw(`,"metadata":{}`)
		w.some(`,"status":`, e.Status)
		w.some(`,"message":`, e.Message)
		w.some(`,"reason":`, e.StatusReason)
		if e.Code != 0 {
			w.raw(`,"code":`)
			w.out = strconv.AppendInt(w.out, int64(e.Code), 10)
		}
	})
}

func (w *writer) annotations(e *audit.Event) {
	if e.Annotations == nil && e.Source == "" && len(e.Unknown) == 0 && !e.Truncated {
		return
	}
	w.members(`,"annotations":`, func() {
		w.some(`,"`+annotationSource+`":`, e.Source)
		w.some(`,"`+annotationUnknown+`":`, strings.Join(e.Unknown, ","))
		if e.Truncated && e.Annotations[upstreamTruncated] != "true" {
			w.some(`,"`+annotationTruncated+`":`, "true")
		}
		if len(e.Annotations) < 3 { // without sorting what has one order or two
			w.few(e.Annotations)
			return
		}
		for _, k := range slices.Sorted(maps.Keys(e.Annotations)) {
			w.annotation(k, e.Annotations[k])
		}
	})
}

// few writes at most two annotations in order.
func (w *writer) few(m map[string]string) {
	first, second := "", ""
	n := 0
	for k := range m {
		if n++; n == 1 || k < first {
			first, second = k, first
		} else {
			second = k
		}
	}
	if n > 0 {
		w.annotation(first, m[first])
	}
	if n > 1 {
		w.annotation(second, m[second])
	}
}

func (w *writer) annotation(key, value string) {
	switch key {
	case annotationSource, annotationUnknown, annotationTruncated:
		return // Gatehouse's own stand there already
	}
	w.text(",", key)
	w.text(":", value)
}
