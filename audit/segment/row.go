package segment

import (
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/internal/lexicon"
)

// fieldOf are the fields whose texts are the dictionaries of columns.
var fieldOf = [columns]struct {
	field lexicon.Field
	of    bool
}{
	colStage: {lexicon.Stage, true}, colLevel: {lexicon.Level, true}, colVerb: {lexicon.Verb, true}, colURI: {lexicon.URI, true},
	colUser: {lexicon.User, true}, colUID: {lexicon.UID, true}, colGroups: {lexicon.GroupItems, true},
	colExtraKey: {lexicon.ExtraKeys, true}, colExtraValue: {lexicon.ExtraValues, true},
	colAsUser: {lexicon.AsUser, true}, colAsUID: {lexicon.AsUID, true}, colAsGroups: {lexicon.AsGroupItems, true},
	colAsExtraKey: {lexicon.AsExtraKeys, true}, colAsExtraValue: {lexicon.AsExtraValues, true},
	colConstraint: {lexicon.Constraint, true}, colIPs: {lexicon.IPItems, true}, colUserAgent: {lexicon.UserAgent, true},
	colAPIGroup: {lexicon.APIGroup, true}, colAPIVersion: {lexicon.APIVersion, true}, colResource: {lexicon.Resource, true},
	colSubresource: {lexicon.Subresource, true}, colNamespace: {lexicon.Namespace, true}, colName: {lexicon.Name, true},
	colObjectUID: {lexicon.ObjectUID, true}, colResourceVersion: {lexicon.ResourceVersion, true}, colMessage: {lexicon.Message, true}, colStatus: {lexicon.Status, true}, colStatusReason: {lexicon.StatusReason, true},
	colDecision: {lexicon.Decision, true}, colReason: {lexicon.Reason, true}, colAnnotationKey: {lexicon.AnnotationKeys, true},
	colSource: {lexicon.Source, true}, colUnknown: {lexicon.UnknownItems, true},
}

// flatText are the columns that have one text of a dictionary in each row.
var flatText = [...]int{
	colStage, colLevel, colVerb, colUser, colUID, colAsUser, colAsUID, colConstraint, colUserAgent, colAPIGroup, colAPIVersion,
	colResource, colSubresource, colNamespace, colName, colObjectUID, colStatus, colStatusReason, colSource,
}

// either are the columns of texts of which it shows at the end of a row group whether they
// come again.
var either = [...]int{colURI, colResourceVersion, colMessage}

// asTheyAre are the columns of texts that have no numbers.
var asTheyAre = [...]int{colID, colAnnotationValue, colRequest, colResponse}

// event adds one row to every column.
func (w *Writer) event(e *audit.Event) {
	c, r := &w.columns, w.row
	c[colTime].integers = append(c[colTime].integers, e.Time.UnixMicro())
	if received := &c[colReceived]; e.Received.IsZero() {
		received.null()
	} else {
		received.integers = append(received.integers, e.Received.UnixMicro())
		received.level(0, 1)
	}
	for _, leaf := range flatText {
		c[leaf].entry(r.Texts[fieldOf[leaf].field])
	}
	for i, leaf := range either {
		w.either[i] = append(w.either[i], int32(r.Texts[fieldOf[leaf].field]))
	}
	c[colCode].entry(r.Code)
	truncated := int64(0)
	if e.Truncated {
		truncated = 1
	}
	c[colTruncated].integers = append(c[colTruncated].integers, truncated)
	c[colGroups].list(w.words.Groups(r.Groups))
	c[colAsGroups].list(w.words.AsGroups(r.AsGroups))
	c[colIPs].list(w.words.IPs(r.IPs))
	c[colUnknown].list(w.words.Unknown(r.Unknown))
	extra(&c[colExtraKey], &c[colExtraValue], w.words.Extra(r.Extra))
	extra(&c[colAsExtraKey], &c[colAsExtraValue], w.words.AsExtra(r.AsExtra))
	c[colDecision].optional(r.Decision)
	c[colReason].optional(r.Reason)
	w.annotations(r.Annotations)
	c[colID].text(validText(e.ID))
	c[colRequest].body(e.Request)
	c[colResponse].body(e.Response)
}

// optional adds a number and 1 more; 0 is for NULL.
func (c *column) optional(n uint32) {
	if n == 0 {
		c.null()
		return
	}
	c.entry(n - 1)
	c.level(0, 1)
}

func (c *column) list(l *lexicon.List) {
	if len(l.Items) == 0 {
		c.null()
		return
	}
	for i, n := range l.Items {
		c.entry(n)
		c.level(byte(min(i, 1)), 1)
	}
}

func (c *column) body(b []byte) {
	if b == nil {
		c.null()
		return
	}
	c.text(validText(view(b)))
	c.level(0, 1)
}

func extra(key, value *column, x *lexicon.Extra) {
	if len(x.Keys) == 0 {
		key.null()
		value.null()
		return
	}
	for i, k := range x.Keys {
		outer := byte(min(i, 1))
		key.entry(k)
		key.level(outer, 1)
		if len(x.Values[i]) == 0 {
			value.level(outer, 1)
		}
		for j, v := range x.Values[i] {
			if j > 0 {
				outer = 2
			}
			value.entry(v)
			value.level(outer, 2)
		}
	}
}

// annotations writes those that have no columns of their own.
func (w *Writer) annotations(all *lexicon.Annotations) {
	key, value := &w.columns[colAnnotationKey], &w.columns[colAnnotationValue]
	if all == nil {
		key.null()
		value.null()
		return
	}
	for i, k := range all.Keys {
		key.entry(k)
		key.level(byte(min(i, 1)), 1)
		value.text(validText(all.Values[i]))
		value.level(byte(min(i, 1)), 1)
	}
}
