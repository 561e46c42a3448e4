package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/internal/jsondoc"
)

// Decoder decodes events. It remembers the texts that come again and again, so that
// one used for many events allocates little. The zero value is ready; it is for one
// goroutine at a time.
type Decoder struct {
	// Source is what Event.Source becomes where the event itself does not say.
	Source string
	// Omitted counts members of events that an audit.Event has no place for.
	Omitted int64

	doc     jsondoc.Document
	kept    kept
	last    [lastTexts]string
	times   clock
	scratch []byte
	room    []byte // of the texts of the event that Into has decoded last
}

// Item is one element of an EventList: an event, or why it could not be decoded.
type Item struct {
	// Raw is the element as it stands in the list, a part of what was decoded.
	Raw   []byte
	Event *audit.Event
	Err   error
}

// FieldError is a member of an event that says what it may not.
type FieldError struct {
	// Field is the path of the member, of names that upstream knows.
	Field  string
	Offset int
	what   string
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("decode event: %s at byte %d: %s", e.Field, e.Offset, e.what)
}

// Event decodes one Event.
func (d *Decoder) Event(data []byte) (*audit.Event, error) {
	e := new(audit.Event)
	if _, ok := d.straight(e, data, nil); ok {
		return e, nil
	}
	return d.tree(data)
}

// Into decodes one Event into one that is there, and overwrites all of it. Its texts are
// valid until the next call, for whoever hands on every event before the next one comes.
func (d *Decoder) Into(e *audit.Event, data []byte) (err error) {
	var ok bool
	if d.room, ok = d.straight(e, data, d.room); ok {
		if cap(d.room) > mostRoom {
			d.room = nil
		}
		return nil
	}
	read, err := d.tree(data)
	if err == nil {
		*e = *read
	}
	return err
}

// mostRoom is where the memory of one event's texts is not kept for the next.
const mostRoom = 64 << 10

// tree decodes one Event of any shape.
func (d *Decoder) tree(data []byte) (*audit.Event, error) {
	if err := d.doc.Parse(data); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	return d.event(d.doc.Root())
}

// List decodes an EventList or a single Event. The error is for what is neither; an
// element that is no event is an Item with an error of its own.
func (d *Decoder) List(data []byte) ([]Item, error) {
	if err := d.doc.Parse(data); err != nil {
		return nil, fmt.Errorf("decode events: %w", err)
	}
	root := d.doc.Root()
	if d.doc.Kind(root) != jsondoc.Object {
		return nil, d.fault(root, "document", "neither an Event nor an EventList")
	}
	list, kinds := jsondoc.Node(0), 0
	for i := d.doc.Child(root); i != 0; i = d.doc.Next(i) {
		switch key := d.doc.Key(i); {
		case string(key) == "items":
			if list != 0 {
				return nil, d.fault(i, "items", "stands twice")
			}
			list = i
		case string(key) == "kind":
			kinds++
			if string(d.doc.Text(i)) != "EventList" {
				kinds += 2
			}
		}
	}
	if kinds != 1 || list == 0 {
		e, err := d.event(root)
		if err != nil {
			return nil, err
		}
		return []Item{{Raw: data, Event: e}}, nil
	}
	if v := d.doc.Get(root, "apiVersion"); v == 0 || !strings.HasPrefix(string(d.doc.Text(v)), group) {
		return nil, d.fault(root, "apiVersion", "not of audit.k8s.io")
	}
	if d.doc.Kind(list) != jsondoc.Array {
		return nil, d.fault(list, "items", "not a list")
	}
	items := make([]Item, 0, d.doc.Len(list))
	for i := d.doc.Child(list); i != 0; i = d.doc.Next(i) {
		e, err := d.event(i)
		items = append(items, Item{Raw: d.doc.Raw(i), Event: e, Err: err})
	}
	return items, nil
}

const group = "audit.k8s.io/"

// Annotations in which AppendJSON keeps what an Event of audit.k8s.io has no field for.
const (
	annotationSource    = "audit.gatehouse.io/source"
	annotationUnknown   = "audit.gatehouse.io/unknown"
	annotationTruncated = "audit.gatehouse.io/truncated"
	// upstreamTruncated is what upstream's truncating backend leaves.
	upstreamTruncated = "audit.k8s.io/truncated"
)

// fields are the members of an Event that are read. A member that is one of them in
// other letters, which encoding/json would take for it, is refused.
var fields = [...]string{
	"kind", "apiVersion", "level", "auditID", "stage", "requestURI", "verb", "user", "impersonatedUser",
	"authenticationMetadata", "sourceIPs", "userAgent", "objectRef", "responseStatus", "requestObject", "responseObject",
	"requestReceivedTimestamp", "stageTimestamp", "annotations",
}

// member finds which of some names a key is. It refuses a key that is a name in other
// letters, and one that was seen already.
func (d *Decoder) member(n jsondoc.Node, names []string, seen *uint32) (which int, err error) {
	key := d.doc.Key(n)
	for i, name := range names {
		if string(key) == name {
			if *seen&(1<<i) != 0 {
				return -1, d.fault(n, name, "stands twice")
			}
			*seen |= 1 << i
			return i, nil
		}
	}
	for _, name := range names {
		if strings.EqualFold(string(key), name) {
			return -1, d.fault(n, name, "is spelled with other letters")
		}
	}
	d.Omitted++
	return -1, nil
}

func (d *Decoder) fault(n jsondoc.Node, field, what string) error {
	return &FieldError{Field: field, Offset: d.doc.Offset(n), what: what}
}

func (d *Decoder) event(root jsondoc.Node) (*audit.Event, error) {
	if d.doc.Kind(root) != jsondoc.Object {
		return nil, d.fault(root, "event", "not an object")
	}
	e := &audit.Event{Source: d.Source}
	var seen uint32
	for i := d.doc.Child(root); i != 0; i = d.doc.Next(i) {
		which, err := d.member(i, fields[:], &seen)
		if err != nil {
			return nil, err
		}
		if which < 0 || d.doc.Kind(i) == jsondoc.Null {
			continue
		}
		name := fields[which]
		switch name {
		case "kind":
			if string(d.doc.Text(i)) != "Event" {
				err = d.fault(i, name, "not Event")
			}
		case "apiVersion":
			if !strings.HasPrefix(string(d.doc.Text(i)), group) {
				err = d.fault(i, name, "not of audit.k8s.io")
			}
		case "level":
			err = d.text(i, name, &e.Level, true)
		case "auditID":
			err = d.text(i, name, &e.ID, false)
		case "stage":
			err = d.text(i, name, &e.Stage, true)
		case "requestURI":
			err = d.text(i, name, &e.URI, false)
		case "verb":
			err = d.text(i, name, &e.Verb, true)
		case "user":
			err = d.user(i, name, &e.User, &e.UID, &e.Groups, &e.Extra)
		case "impersonatedUser":
			err = d.user(i, name, &e.AsUser, &e.AsUID, &e.AsGroups, &e.AsExtra)
		case "authenticationMetadata":
			err = d.metadata(i, &e.Constraint)
		case "sourceIPs":
			e.SourceIPs, err = d.texts(i, name)
		case "userAgent":
			err = d.text(i, name, &e.UserAgent, true)
		case "objectRef":
			err = d.object(i, e)
		case "responseStatus":
			err = d.status(i, e)
		case "requestObject":
			e.Request = Body(d.doc.Raw(i))
		case "responseObject":
			e.Response = Body(d.doc.Raw(i))
		case "requestReceivedTimestamp":
			err = d.time(i, name, &e.Received)
		case "stageTimestamp":
			err = d.time(i, name, &e.Time)
		case "annotations":
			err = d.annotations(i, e)
		}
		if err != nil {
			return nil, err
		}
	}
	if e.Time.IsZero() {
		e.Time = e.Received
	}
	switch {
	case e.ID == "":
		return nil, d.fault(root, "auditID", "missing")
	case e.Stage == "":
		return nil, d.fault(root, "stage", "missing")
	case e.Time.IsZero():
		return nil, d.fault(root, "stageTimestamp", "missing")
	}
	return e, nil
}

func (d *Decoder) text(n jsondoc.Node, field string, into *string, again bool) error {
	switch d.doc.Kind(n) {
	case jsondoc.Null:
		return nil
	case jsondoc.String:
	default:
		return d.fault(n, field, "not a string")
	}
	if text := d.doc.Text(n); again {
		*into = d.kept.text(text)
	} else {
		*into = string(text)
	}
	return nil
}

// texts decodes a list of strings. Lists that come again are shared: nobody changes
// what an event holds.
func (d *Decoder) texts(n jsondoc.Node, field string) ([]string, error) {
	if d.doc.Kind(n) == jsondoc.Null {
		return nil, nil
	}
	if d.doc.Kind(n) != jsondoc.Array {
		return nil, d.fault(n, field, "not a list")
	}
	raw := d.doc.Raw(n)
	if list, ok := d.kept.lists[string(raw)]; ok {
		return list, nil
	}
	list := make([]string, d.doc.Len(n))
	at := 0
	for i := d.doc.Child(n); i != 0; i = d.doc.Next(i) {
		if err := d.text(i, field, &list[at], true); err != nil {
			return nil, err
		}
		at++
	}
	d.kept.list(raw, list)
	return list, nil
}

var userFields = []string{"username", "uid", "groups", "extra"}

func (d *Decoder) user(n jsondoc.Node, field string, name, uid *string, groups *[]string, extra *map[string][]string) error {
	if d.doc.Kind(n) != jsondoc.Object {
		return d.fault(n, field, "not an object")
	}
	var seen uint32
	for i := d.doc.Child(n); i != 0; i = d.doc.Next(i) {
		which, err := d.member(i, userFields, &seen)
		if err != nil {
			return err
		}
		switch which {
		case 0:
			err = d.text(i, field+".username", name, true)
		case 1:
			err = d.text(i, field+".uid", uid, true)
		case 2:
			*groups, err = d.texts(i, field+".groups")
		case 3:
			*extra, err = d.extra(i, field+".extra")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *Decoder) extra(n jsondoc.Node, field string) (map[string][]string, error) {
	switch d.doc.Kind(n) {
	case jsondoc.Null:
		return nil, nil
	case jsondoc.Object:
	default:
		return nil, d.fault(n, field, "not an object")
	}
	raw := d.doc.Raw(n)
	if m, ok := d.kept.extras[string(raw)]; ok {
		return m, nil
	}
	m := make(map[string][]string, d.doc.Len(n))
	for i := d.doc.Child(n); i != 0; i = d.doc.Next(i) {
		key := d.kept.text(d.doc.Key(i))
		if _, twice := m[key]; twice {
			return nil, d.fault(i, field, "a key stands twice")
		}
		list, err := d.texts(i, field)
		if err != nil {
			return nil, err
		}
		m[key] = list
	}
	d.kept.extra(raw, m)
	return m, nil
}

func (d *Decoder) metadata(n jsondoc.Node, constraint *string) error {
	if d.doc.Kind(n) != jsondoc.Object {
		return d.fault(n, "authenticationMetadata", "not an object")
	}
	var seen uint32
	for i := d.doc.Child(n); i != 0; i = d.doc.Next(i) {
		which, err := d.member(i, []string{"impersonationConstraint"}, &seen)
		if err == nil && which == 0 {
			err = d.text(i, "authenticationMetadata.impersonationConstraint", constraint, true)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var objectFields = []string{"resource", "namespace", "name", "uid", "apiGroup", "apiVersion", "resourceVersion", "subresource"}

func (d *Decoder) object(n jsondoc.Node, e *audit.Event) error {
	if d.doc.Kind(n) != jsondoc.Object {
		return d.fault(n, "objectRef", "not an object")
	}
	into := [...]*string{&e.Resource, &e.Namespace, &e.Name, &e.ObjectUID, &e.APIGroup, &e.APIVersion, &e.ResourceVersion, &e.Subresource}
	var seen uint32
	for i := d.doc.Child(n); i != 0; i = d.doc.Next(i) {
		which, err := d.member(i, objectFields, &seen)
		if err == nil && which >= 0 {
			again := which != 3 && which != 6 // other for almost every object
			err = d.text(i, "objectRef", into[which], again)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var statusFields = []string{"kind", "apiVersion", "status", "message", "reason", "code", "details", "metadata"}

func (d *Decoder) status(n jsondoc.Node, e *audit.Event) error {
	if d.doc.Kind(n) != jsondoc.Object {
		return d.fault(n, "responseStatus", "not an object")
	}
	var seen uint32
	var unused string
	for i := d.doc.Child(n); i != 0; i = d.doc.Next(i) {
		which, err := d.member(i, statusFields, &seen)
		if err != nil {
			return err
		}
		switch which {
		case 0, 1:
			err = d.text(i, "responseStatus", &unused, true)
		case 2:
			err = d.text(i, "responseStatus.status", &e.Status, true)
		case 3:
			err = d.text(i, "responseStatus.message", &e.Message, false)
		case 4:
			err = d.text(i, "responseStatus.reason", &e.StatusReason, true)
		case 5:
			if d.doc.Kind(i) == jsondoc.Null {
				break
			}
			code, fault := strconv.ParseInt(string(d.doc.Raw(i)), 10, 32)
			if fault != nil {
				return d.fault(i, "responseStatus.code", "not a whole number of 32 bits")
			}
			e.Code = int32(code)
		case 6, 7:
			switch {
			case d.doc.Kind(i) != jsondoc.Object && d.doc.Kind(i) != jsondoc.Null:
				err = d.fault(i, "responseStatus."+statusFields[which], "not an object")
			case d.doc.Len(i) > 0:
				d.Omitted++
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *Decoder) annotations(n jsondoc.Node, e *audit.Event) error {
	found, err := d.notes(n)
	if err == nil {
		found.onto(e)
	}
	return err
}

// notes are the annotations of an event, without what AppendJSON has put into them.
type notes struct {
	annotations map[string]string
	source      *string // nil where they say nothing of it
	unknown     []string
	truncated   bool
}

func (n *notes) onto(e *audit.Event) {
	e.Annotations, e.Unknown, e.Truncated = n.annotations, n.unknown, n.truncated
	if n.source != nil {
		e.Source = *n.source
	}
}

func (d *Decoder) notes(n jsondoc.Node) (*notes, error) {
	if d.doc.Kind(n) != jsondoc.Object {
		return nil, d.fault(n, "annotations", "not an object")
	}
	raw := d.doc.Raw(n)
	if found, ok := d.kept.notes[string(raw)]; ok {
		return found, nil
	}
	m := make(map[string]string, d.doc.Len(n))
	for i := d.doc.Child(n); i != 0; i = d.doc.Next(i) {
		key := d.kept.text(d.doc.Key(i))
		if _, twice := m[key]; twice {
			return nil, d.fault(i, "annotations", "a key stands twice")
		}
		var value string
		if err := d.text(i, "annotations", &value, true); err != nil {
			return nil, err
		}
		m[key] = value
	}
	found := lift(m)
	if len(raw) <= longestPart {
		remember(&d.kept.notes, string(raw), found)
	}
	return found, nil
}

func (d *Decoder) time(n jsondoc.Node, field string, into *time.Time) error {
	if d.doc.Kind(n) != jsondoc.String {
		return d.fault(n, field, "not a string")
	}
	t, ok := d.times.parse(d.doc.Text(n))
	if !ok {
		return d.fault(n, field, "no timestamp of RFC 3339")
	}
	*into = t
	return nil
}

// Body is a copy of a body in JSON, in UTF-8 and on one line.
func Body(raw []byte) []byte {
	if !utf8.Valid(raw) {
		raw = toUTF8(raw)
	}
	return appendLine(make([]byte, 0, len(raw)), raw)
}

// appendLine appends JSON on one line.
func appendLine(dst, body []byte) []byte {
	if bytes.IndexByte(body, '\n') < 0 && bytes.IndexByte(body, '\r') < 0 {
		return append(dst, body...)
	}
	compact := bytes.NewBuffer(dst)
	if err := json.Compact(compact, body); err != nil {
		return append(dst, "null"...) // no JSON, which a redacted body always is
	}
	return compact.Bytes()
}

// toUTF8 replaces each byte that is no UTF-8, as encoding/json does.
func toUTF8(raw []byte) []byte {
	out := make([]byte, 0, len(raw)+16)
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		out = utf8.AppendRune(out, r)
		raw = raw[size:]
	}
	return out
}

// lift moves what AppendJSON has put into annotations back to where it belongs.
func lift(m map[string]string) *notes {
	n := &notes{annotations: m}
	source, hasSource := m[annotationSource]
	unknown, hasUnknown := m[annotationUnknown]
	truncated, hasTruncated := m[annotationTruncated]
	if hasSource {
		n.source = &source
	}
	if unknown != "" {
		n.unknown = strings.Split(unknown, ",")
		slices.Sort(n.unknown)
	}
	n.truncated = truncated == "true" || m[upstreamTruncated] == "true"
	if hasSource || hasUnknown || hasTruncated {
		delete(m, annotationSource)
		delete(m, annotationUnknown)
		delete(m, annotationTruncated)
		if len(m) == 0 {
			n.annotations = nil
		}
	}
	return n
}
