package audit

import (
	"context"
	"time"
)

// Fields are some of what an event has, for a Tally.
type Fields uint32

// Fields of an event that a Tally can tell apart. FieldPath is the URI without its query;
// of FieldMinute, FieldHour and FieldDay the events of a Tally have the beginning as Time.
const (
	FieldUser Fields = 1 << iota
	FieldAsUser
	FieldGroups
	FieldVerb
	FieldAPIGroup
	FieldResource
	FieldSubresource
	FieldNamespace
	FieldName
	FieldCode
	FieldDecision
	FieldReason
	FieldSourceIPs
	FieldUserAgent
	FieldPath
	FieldStage
	FieldLevel
	FieldSource
	FieldUnknown
	FieldMinute
	FieldHour
	FieldDay
)

// Tallied are the events that are equal in some fields.
type Tallied struct {
	// Event has these fields, and no other. It is not to be changed, and is not kept.
	Event *Event
	// Count is how many events there are, and First and Last when the oldest and newest of
	// them were.
	Count       int64
	First, Last time.Time
}

// Tallier is a Reader that counts without making an event of each, in a fraction of the
// time of a Scan.
type Tallier interface {
	Reader
	// Tally counts the events that are meant by the values of some fields. The same values
	// may come several times, each with a part of the count, and in any order. start is
	// called before the first, and again where counting has to begin anew, since what was
	// being read has been deleted; it gives what is then called with each, by one goroutine
	// at a time.
	Tally(ctx context.Context, f Filter, by Fields, start func() (add func(Tallied))) error
}
