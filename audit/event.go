package audit

import (
	"cmp"
	"time"
)

// Event is one audit event as Gatehouse keeps it: an Event of audit.k8s.io/v1, laid
// flat, so that each field can be a column. Where a source cannot tell a field, the
// field is zero and Unknown names it: an unknown list of groups is not an empty one.
//
// An Event does not change once it has been handed on. Bodies and annotations have
// been redacted before it is kept (package audit/redact).
type Event struct {
	// ID is auditID, the same for all stages of a request. See Identity.
	ID string
	// Stage is RequestReceived, ResponseStarted, ResponseComplete or Panic.
	Stage string
	// Level is Metadata, Request or RequestResponse.
	Level string
	// Time is stageTimestamp, and Received requestReceivedTimestamp, both UTC and in
	// whole microseconds. Events are ordered by Time.
	Time, Received time.Time

	// Verb of the request: get, list, create, …; a lower-cased HTTP method where the
	// request is for no resource.
	Verb string
	// URI is requestURI, redacted.
	URI string

	// User is who was authenticated, or empty.
	User, UID string
	Groups    []string
	// Extra of the user, as authenticators gave it.
	Extra map[string][]string
	// AsUser and AsGroups are who was impersonated; AsUser is empty where nobody was.
	// Authorization was decided for them.
	AsUser   string
	AsUID    string
	AsGroups []string
	AsExtra  map[string][]string
	// Constraint is the verb of a constrained impersonation.
	Constraint string

	// SourceIPs, of which a client can set all but the last.
	SourceIPs []string
	// UserAgent is what the client says it is.
	UserAgent string

	// APIGroup to ResourceVersion are the objectRef; Resource is empty where the
	// request is for no resource. List requests have no Name.
	APIGroup, APIVersion, Resource, Subresource string
	Namespace, Name, ObjectUID, ResourceVersion string

	// Code is the HTTP status of the response; 0 where there is none yet.
	Code int32
	// Status, StatusReason and Message are those of the responseStatus.
	Status, StatusReason, Message string

	// Annotations of the event, those of authorization included.
	Annotations map[string]string

	// Request and Response are the bodies as JSON, redacted; nil where the level has
	// none. Truncated says that a source cut them.
	Request, Response []byte
	Truncated         bool

	// Source is what the event was read from: serve, webhook, raw, eks, gke, aks,
	// openshift.
	Source string
	// Unknown names the fields that the source cannot tell, sorted, as UnknownGroups.
	Unknown []string
}

// Names of fields in Event.Unknown.
const (
	UnknownGroups    = "user.groups"
	UnknownAsGroups  = "impersonatedUser.groups"
	UnknownUID       = "user.uid"
	UnknownDecision  = "decision"
	UnknownUserAgent = "userAgent"
	UnknownBody      = "body"
	UnknownCode      = "responseStatus.code"
)

// Stages of an event.
const (
	StageReceived = "RequestReceived"
	StageStarted  = "ResponseStarted"
	StageComplete = "ResponseComplete"
	StagePanic    = "Panic"
)

// Annotations that authorization leaves (k8s.io/apiserver/pkg/endpoints/filters).
const (
	AnnotationDecision = "authorization.k8s.io/decision"
	AnnotationReason   = "authorization.k8s.io/reason"
)

// Decision is what authorization decided: allow, forbid, or empty where the event does
// not say.
func (e *Event) Decision() string { return e.Annotations[AnnotationDecision] }

// Reason is why authorization decided so, as the authorizer said it.
func (e *Event) Reason() string { return e.Annotations[AnnotationReason] }

// Actor is who authorization was decided for: who was impersonated, or else the user.
func (e *Event) Actor() (name string, groups []string, extra map[string][]string) {
	if e.AsUser != "" {
		return e.AsUser, e.AsGroups, e.AsExtra
	}
	return e.User, e.Groups, e.Extra
}

// Knows reports whether the source could tell a field, such as UnknownGroups.
func (e *Event) Knows(field string) bool {
	for _, f := range e.Unknown {
		if f == field {
			return false
		}
	}
	return true
}

// Identity is what an event is known by: events with one Identity are one that came twice,
// from a webhook that tried again or a file that was read again. ID and Stage alone do not
// say so. A client names the Audit-ID of its request in a header, and could otherwise make
// a second request vanish behind a first; and an aggregated API server audits a request
// under the ID it was handed.
type Identity struct {
	Micros                     int64 // of Event.Time
	ID, Stage, Verb, URI, User string
}

// Identity of the event.
func (e *Event) Identity() Identity {
	return Identity{e.Time.UnixMicro(), e.ID, e.Stage, e.Verb, e.URI, e.User}
}

// Same reports whether two events have one Identity.
func Same(a, b *Event) bool { return a.Identity() == b.Identity() }

// Compare orders events by time, ID and stage, so that every reader tells them in one
// order.
func Compare(a, b *Event) int {
	if c := a.Time.Compare(b.Time); c != 0 { // nearly always
		return c
	}
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Stage, b.Stage))
}
