package celevent

import (
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/traits"

	"github.com/gatehouse-io/gatehouse/audit"
)

// variable is the name of the event in expressions.
const variable = "event"

// The fields that are bodies.
const (
	requestObject  = "requestObject"
	responseObject = "responseObject"
)

const objectTraits = traits.IndexerType | traits.FieldTesterType

// The types of an event and its parts, as error messages name them.
var (
	eventType     = types.NewObjectType("audit.Event", objectTraits)
	userType      = types.NewObjectType("audit.UserInfo", objectTraits)
	objectRefType = types.NewObjectType("audit.ObjectReference", objectTraits)
	statusType    = types.NewObjectType("audit.Status", objectTraits)
	authnType     = types.NewObjectType("audit.AuthenticationMetadata", objectTraits)

	stringsType = types.NewListType(types.StringType)
)

// Parts of an event. Each is one pointer, so that an interface holds it without an
// allocation.
type (
	userPart         struct{ *Activation }
	impersonatedPart struct{ *Activation }
	objectRefPart    struct{ *Activation }
	statusPart       struct{ *Activation }
	authnPart        struct{ *Activation }
)

// field is a field of an event or of a part.
type field struct {
	typ *types.Type
	set func(part any) bool
	get func(part any) (any, error)
}

func ofEvent(get func(e *audit.Event) any, set func(e *audit.Event) bool, typ *types.Type) field {
	return field{typ, func(p any) bool { return set(p.(*Activation).event) }, func(p any) (any, error) { return get(p.(*Activation).event), nil }}
}

// text is a field that is a string, and is set where it is not empty.
func text(of func(part any) string) field {
	return field{types.StringType, func(p any) bool { return of(p) != "" }, func(p any) (any, error) { return of(p), nil }}
}

func eventText(of func(e *audit.Event) string) field {
	return text(func(p any) string { return of(p.(*Activation).event) })
}

func part(typ *types.Type, of func(a *Activation) any, set func(e *audit.Event) bool) field {
	return field{typ, func(p any) bool { return set(p.(*Activation).event) }, func(p any) (any, error) { return of(p.(*Activation)), nil }}
}

func always(*audit.Event) bool { return true }

// fields are the types and their fields. The map is never written to.
var fields = map[string]map[string]field{
	eventType.TypeName(): {
		"level":      eventText(func(e *audit.Event) string { return e.Level }),
		"auditID":    eventText(func(e *audit.Event) string { return e.ID }),
		"stage":      eventText(func(e *audit.Event) string { return e.Stage }),
		"requestURI": eventText(func(e *audit.Event) string { return e.URI }),
		"verb":       eventText(func(e *audit.Event) string { return e.Verb }),
		"userAgent":  eventText(func(e *audit.Event) string { return e.UserAgent }),
		"decision":   eventText((*audit.Event).Decision),
		"source":     eventText(func(e *audit.Event) string { return e.Source }),

		"user":             part(userType, func(a *Activation) any { return userPart{a} }, always),
		"impersonatedUser": part(userType, func(a *Activation) any { return impersonatedPart{a} }, func(e *audit.Event) bool { return e.AsUser != "" }),
		"objectRef": part(objectRefType, func(a *Activation) any { return objectRefPart{a} }, func(e *audit.Event) bool {
			return e.Resource != "" || e.Name != "" || e.Namespace != ""
		}),
		"responseStatus":         part(statusType, func(a *Activation) any { return statusPart{a} }, func(e *audit.Event) bool { return e.Code != 0 || e.Status != "" }),
		"authenticationMetadata": part(authnType, func(a *Activation) any { return authnPart{a} }, func(e *audit.Event) bool { return e.Constraint != "" }),

		"sourceIPs": ofEvent(func(e *audit.Event) any { return e.SourceIPs }, func(e *audit.Event) bool { return len(e.SourceIPs) > 0 }, stringsType),
		"unknown":   ofEvent(func(e *audit.Event) any { return e.Unknown }, func(e *audit.Event) bool { return len(e.Unknown) > 0 }, stringsType),
		"annotations": ofEvent(func(e *audit.Event) any { return e.Annotations }, func(e *audit.Event) bool { return len(e.Annotations) > 0 },
			types.NewMapType(types.StringType, types.StringType)),
		"truncated":                ofEvent(func(e *audit.Event) any { return e.Truncated }, func(e *audit.Event) bool { return e.Truncated }, types.BoolType),
		"requestReceivedTimestamp": ofEvent(func(e *audit.Event) any { return e.Received }, func(e *audit.Event) bool { return !e.Received.IsZero() }, types.TimestampType),
		"stageTimestamp":           ofEvent(func(e *audit.Event) any { return e.Time }, func(e *audit.Event) bool { return !e.Time.IsZero() }, types.TimestampType),
		"latency":                  ofEvent(func(e *audit.Event) any { return latency(e) }, func(e *audit.Event) bool { return latency(e) > 0 }, types.DurationType),

		requestObject: {types.DynType, func(p any) bool { return len(p.(*Activation).event.Request) > 0 }, func(p any) (any, error) { return p.(*Activation).Request() }},
		responseObject: {types.DynType, func(p any) bool { return len(p.(*Activation).event.Response) > 0 },
			func(p any) (any, error) { return p.(*Activation).Response() }},
	},
	userType.TypeName(): {
		"username": text(func(p any) string { return identityOf(p).name }),
		"uid":      text(func(p any) string { return identityOf(p).uid }),
		"groups":   {stringsType, func(p any) bool { return len(identityOf(p).groups) > 0 }, func(p any) (any, error) { return identityOf(p).groups, nil }},
		"extra": {types.NewMapType(types.StringType, stringsType), func(p any) bool { return len(identityOf(p).extra) > 0 },
			func(p any) (any, error) { return identityOf(p).extra, nil }},
	},
	objectRefType.TypeName(): {
		"resource":        text(func(p any) string { return p.(objectRefPart).event.Resource }),
		"namespace":       text(func(p any) string { return p.(objectRefPart).event.Namespace }),
		"name":            text(func(p any) string { return p.(objectRefPart).event.Name }),
		"uid":             text(func(p any) string { return p.(objectRefPart).event.ObjectUID }),
		"apiGroup":        text(func(p any) string { return p.(objectRefPart).event.APIGroup }),
		"apiVersion":      text(func(p any) string { return p.(objectRefPart).event.APIVersion }),
		"resourceVersion": text(func(p any) string { return p.(objectRefPart).event.ResourceVersion }),
		"subresource":     text(func(p any) string { return p.(objectRefPart).event.Subresource }),
	},
	statusType.TypeName(): {
		"status":  text(func(p any) string { return p.(statusPart).event.Status }),
		"reason":  text(func(p any) string { return p.(statusPart).event.StatusReason }),
		"message": text(func(p any) string { return p.(statusPart).event.Message }),
		"code": {types.IntType, func(p any) bool { return p.(statusPart).event.Code != 0 },
			func(p any) (any, error) { return int64(p.(statusPart).event.Code), nil }},
	},
	authnType.TypeName(): {
		"impersonationConstraint": text(func(p any) string { return p.(authnPart).event.Constraint }),
	},
}

var objectTypes = map[string]*types.Type{
	eventType.TypeName(): eventType, userType.TypeName(): userType, objectRefType.TypeName(): objectRefType,
	statusType.TypeName(): statusType, authnType.TypeName(): authnType,
}

// identity is who a user or an impersonated user is.
type identity struct {
	name, uid string
	groups    []string
	extra     map[string][]string
}

func identityOf(part any) identity {
	if p, ok := part.(impersonatedPart); ok {
		return identity{p.event.AsUser, p.event.AsUID, p.event.AsGroups, p.event.AsExtra}
	}
	e := part.(userPart).event
	return identity{e.User, e.UID, e.Groups, e.Extra}
}

// latency is how long a request took up to the stage.
func latency(e *audit.Event) time.Duration {
	if e.Received.IsZero() || e.Time.IsZero() {
		return 0
	}
	return e.Time.Sub(e.Received)
}
