package record

import (
	"bytes"
	"math"
	"time"
	"unsafe"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/internal/jsondoc"
)

// straight is one pass over an Event of the shape that servers print: members by the
// names that upstream gives them, once each. Anything else it leaves to the tree of a
// Document, which knows every shape and says what is wrong, so that one reader alone
// decides what an event is; of what both read they say the same (TestStraight).
//
// Parts that come again and again (a user, a list of addresses, annotations, a status)
// are looked up by their bytes. Texts that do not are laid into one piece of memory.
type straight struct {
	d       *Decoder
	e       *audit.Event
	data    []byte
	at      int
	omitted int64
	texts   [10]span
	count   int
	size    int
}

// span is a text that is not yet copied.
type span struct {
	into       *string
	start, end int
	escaped    bool
}

// straight decodes one Event into e; false where it is to be read with a Document. room
// is memory for texts of the event, which is made where there is too little.
func (d *Decoder) straight(e *audit.Event, data, room []byte) (used []byte, ok bool) {
	if len(data) >= math.MaxInt32 {
		return room, false
	}
	s := straight{d: d, e: e, data: data, at: jsondoc.Space(data, 0)}
	*e = audit.Event{Source: d.Source}
	if !s.members(len(fields), s.field) || jsondoc.Space(data, s.at) != len(data) {
		return room, false
	}
	room = s.copyTexts(room)
	if e.Time.IsZero() {
		e.Time = e.Received
	}
	if e.ID == "" || e.Stage == "" || e.Time.IsZero() {
		return room, false
	}
	d.Omitted += s.omitted
	return room, true
}

// members reads an object, whose members are each read by one call of member: it says
// which of most members it was, below 0 for one that is not read here.
func (s *straight) members(most int, member func(key []byte) int) bool {
	if s.at >= len(s.data) || s.data[s.at] != '{' {
		return false
	}
	s.at = jsondoc.Space(s.data, s.at+1)
	if s.at < len(s.data) && s.data[s.at] == '}' {
		s.at++
		return true
	}
	const longestKey = 32
	var seen uint32
	for s.at < len(s.data) && s.data[s.at] == '"' {
		rest := s.data[s.at+1 : min(s.at+1+longestKey, len(s.data))]
		length := bytes.IndexByte(rest, '"')
		if length < 0 {
			return false
		}
		s.at = jsondoc.Space(s.data, s.at+length+2)
		if s.at >= len(s.data) || s.data[s.at] != ':' {
			return false
		}
		if s.at = jsondoc.Space(s.data, s.at+1); s.at >= len(s.data) {
			return false
		}
		which := member(rest[:length])
		if which < 0 || which >= most || seen&(1<<which) != 0 {
			return false
		}
		seen |= 1 << which
		if s.at = jsondoc.Space(s.data, s.at); s.at >= len(s.data) {
			return false
		}
		switch s.data[s.at] {
		case '}':
			s.at++
			return true
		case ',':
			s.at = jsondoc.Space(s.data, s.at+1)
		default:
			return false
		}
	}
	return false
}

// field reads a member of the event.
func (s *straight) field(key []byte) int {
	e, ok, which := s.e, false, -1
	switch string(key) {
	case "kind":
		which, ok = 0, s.begins(`"Event"`)
	case "apiVersion":
		which, ok = 1, s.begins(`"`+group)
	case "level":
		which, ok = 2, s.again(&e.Level, lastLevel)
	case "auditID":
		which, ok = 3, s.once(&e.ID)
	case "stage":
		which, ok = 4, s.again(&e.Stage, lastStage)
	case "requestURI":
		which, ok = 5, s.once(&e.URI)
	case "verb":
		which, ok = 6, s.again(&e.Verb, lastVerb)
	case "user":
		which, ok = 7, s.user("user", &e.User, &e.UID, &e.Groups, &e.Extra)
	case "impersonatedUser":
		which, ok = 8, s.user("impersonatedUser", &e.AsUser, &e.AsUID, &e.AsGroups, &e.AsExtra)
	case "sourceIPs":
		which, ok = 9, s.addresses()
	case "userAgent":
		which, ok = 10, s.again(&e.UserAgent, lastAgent)
	case "objectRef":
		which, ok = 11, s.members(len(objectFields), s.object)
	case "responseStatus":
		which, ok = 12, s.status()
	case "requestObject":
		which, ok = 13, s.body(&e.Request)
	case "responseObject":
		which, ok = 14, s.body(&e.Response)
	case "requestReceivedTimestamp":
		which, ok = 15, s.time(&e.Received)
	case "stageTimestamp":
		which, ok = 16, s.time(&e.Time)
	case "annotations":
		which, ok = 17, s.annotations()
	}
	if !ok {
		return -1
	}
	return which
}

// object reads a member of the objectRef.
func (s *straight) object(key []byte) int {
	e, ok, which := s.e, false, -1
	switch string(key) {
	case "resource":
		which, ok = 0, s.again(&e.Resource, lastResource)
	case "namespace":
		which, ok = 1, s.again(&e.Namespace, lastNamespace)
	case "name":
		which, ok = 2, s.once(&e.Name)
	case "uid":
		which, ok = 3, s.once(&e.ObjectUID)
	case "apiGroup":
		which, ok = 4, s.again(&e.APIGroup, lastGroup)
	case "apiVersion":
		which, ok = 5, s.again(&e.APIVersion, lastVersion)
	case "resourceVersion":
		which, ok = 6, s.once(&e.ResourceVersion)
	case "subresource":
		which, ok = 7, s.again(&e.Subresource, lastSubresource)
	}
	if !ok {
		return -1
	}
	return which
}

// begins reads a string that begins so, the quote included.
func (s *straight) begins(with string) bool {
	if rest := s.data[s.at:]; len(rest) < len(with) || string(rest[:len(with)]) != with {
		return false
	}
	_, _, ok := s.quoted()
	return ok
}

// quoted reads a string. Its text begins at start and ends before the quote in front of
// where the reading is then.
func (s *straight) quoted() (start int, escaped, ok bool) {
	start = s.at + 1
	s.at, escaped, ok = jsondoc.Quoted(s.data, s.at)
	return start, escaped, ok
}

// once reads a text that hardly comes again.
func (s *straight) once(into *string) bool {
	start, escaped, ok := s.quoted()
	if !ok || s.count == len(s.texts) {
		return false
	}
	s.texts[s.count] = span{into, start, s.at - 1, escaped}
	s.count++
	s.size += s.at - 1 - start
	return true
}

// copyTexts copies what once has read.
func (s *straight) copyTexts(room []byte) []byte {
	if cap(room) < s.size {
		room = make([]byte, 0, s.size)
	}
	room = room[:0]
	for _, t := range s.texts[:s.count] {
		from := len(room)
		if raw := s.data[t.start:t.end]; t.escaped {
			room = jsondoc.Unescape(room, raw)
		} else {
			room = append(room, raw...)
		}
		*t.into = unsafe.String(unsafe.SliceData(room[from:]), len(room)-from)
	}
	return room
}

// again reads a text that comes again and again: most often it is that of the last event.
func (s *straight) again(into *string, last lastText) bool {
	start, escaped, ok := s.quoted()
	if !ok {
		return false
	}
	text := s.data[start : s.at-1]
	if escaped {
		s.d.scratch = jsondoc.Unescape(s.d.scratch[:0], text)
		text = s.d.scratch
	}
	if before := &s.d.last[last]; string(text) != *before {
		*before = s.d.kept.text(text)
	}
	*into = s.d.last[last]
	return true
}

// lastText are the texts of which a Decoder remembers the last.
type lastText int

const (
	lastLevel lastText = iota
	lastStage
	lastVerb
	lastAgent
	lastResource
	lastNamespace
	lastGroup
	lastVersion
	lastSubresource
	lastTexts // how many there are
)

func (s *straight) time(into *time.Time) bool {
	start, escaped, ok := s.quoted()
	if !ok || escaped {
		return false
	}
	*into, ok = s.d.times.parse(s.data[start : s.at-1])
	return ok
}

// raw reads a value as its bytes; what is null is not read here.
func (s *straight) raw() (raw []byte, ok bool) {
	start := s.at
	s.at, ok = jsondoc.Skip(s.data, s.at, 1)
	return s.data[start:s.at], ok && s.data[start] != 'n'
}

func (s *straight) body(into *[]byte) bool {
	raw, ok := s.raw()
	if ok {
		*into = Body(raw)
	}
	return ok
}

// tree reads a part of the event with the Document, into an event of its own, and counts
// what it leaves out.
func (s *straight) tree(raw []byte, read func(root jsondoc.Node) error) (omitted int64, ok bool) {
	before := s.d.Omitted
	ok = s.d.doc.Parse(raw) == nil && read(s.d.doc.Root()) == nil
	omitted = s.d.Omitted - before
	s.d.Omitted = before
	return omitted, ok
}

// someone is a user as it stood in an event.
type someone struct {
	name, uid string
	groups    []string
	extra     map[string][]string
	omitted   int64
}

func (s *straight) user(field string, name, uid *string, groups *[]string, extra *map[string][]string) bool {
	raw, ok := s.raw()
	if !ok {
		return false
	}
	u, known := s.d.kept.users[string(raw)]
	if !known {
		u = &someone{}
		if u.omitted, ok = s.tree(raw, func(root jsondoc.Node) error {
			return s.d.user(root, field, &u.name, &u.uid, &u.groups, &u.extra)
		}); !ok {
			return false
		}
		if len(raw) <= longestPart {
			remember(&s.d.kept.users, string(raw), u)
		}
	}
	*name, *uid, *groups, *extra = u.name, u.uid, u.groups, u.extra
	s.omitted += u.omitted
	return true
}

func (s *straight) addresses() bool {
	raw, ok := s.raw()
	if !ok {
		return false
	}
	list, known := s.d.kept.lists[string(raw)]
	if !known {
		if _, ok = s.tree(raw, func(root jsondoc.Node) (err error) {
			list, err = s.d.texts(root, "sourceIPs") // which remembers it
			return err
		}); !ok {
			return false
		}
	}
	s.e.SourceIPs = list
	return true
}

// answer is a responseStatus that says nothing of its own.
type answer struct {
	code           int32
	status, reason string
	omitted        int64
}

func (s *straight) status() bool {
	raw, ok := s.raw()
	if !ok {
		return false
	}
	a, known := s.d.kept.answers[string(raw)]
	if !known {
		var e audit.Event
		if a.omitted, ok = s.tree(raw, func(root jsondoc.Node) error { return s.d.status(root, &e) }); !ok {
			return false
		}
		a.code, a.status, a.reason = e.Code, e.Status, e.StatusReason
		if s.e.Message = e.Message; e.Message == "" && len(raw) <= longestPart {
			remember(&s.d.kept.answers, string(raw), a)
		}
	}
	s.e.Code, s.e.Status, s.e.StatusReason = a.code, a.status, a.reason
	s.omitted += a.omitted
	return true
}

func (s *straight) annotations() bool {
	raw, ok := s.raw()
	if !ok {
		return false
	}
	n, known := s.d.kept.notes[string(raw)]
	if !known {
		if _, ok = s.tree(raw, func(root jsondoc.Node) (err error) {
			n, err = s.d.notes(root) // which remembers them
			return err
		}); !ok {
			return false
		}
	}
	n.onto(s.e)
	return true
}
