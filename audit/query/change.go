package query

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Change is what one request did to an object.
type Change struct {
	// Patch is the body of a patch request, as JSON, redacted.
	Patch []byte
	// Fields are what is different, sorted by path.
	Fields []FieldChange
	// Compared says what Fields stand on.
	Compared string
	// Before is the event that the object before is from; nil where it did not exist.
	Before *audit.Event
	// Certain says that nothing else changed the object between Before and the event.
	Certain bool
	// Missing says why there is no more than there is; empty where nothing is missing.
	Missing string
}

// writes are the verbs that change an object.
var writes = []string{"create", "update", "patch", "delete"}

// maxLookBack is how many events of an object are looked at for the one before.
const maxLookBack = 200

// ChangeOf is what the request of an event did to its object. The event has its bodies.
// It is nil where the request is none that changes an object.
func ChangeOf(ctx context.Context, r audit.Reader, e *audit.Event) (*Change, error) {
	verb := ""
	for _, w := range writes {
		if e.Verb == w {
			verb = w
		}
	}
	if verb == "" || e.Resource == "" || e.Stage == audit.StageReceived {
		return nil, nil
	}
	c := &Change{}
	secret := isSecret(e)
	if verb == "patch" && len(e.Request) > 0 {
		c.Patch = hideSecret(secret, e.Request)
	}
	switch {
	case e.Code >= 300:
		c.Missing = fmt.Sprintf("the request was refused with %d: nothing was changed", e.Code)
		return c, nil
	case dryRun(e):
		c.Missing = "it was a dry run: nothing was changed"
		return c, nil
	case e.Subresource != "" && e.Subresource != "status" && e.Subresource != "scale":
		return c, nil // what such a request is for is no change of the object
	}
	status := e.Subresource == "status"
	after := objectBody(e.Response)
	if after == nil && (verb == "create" || verb == "update") {
		after = objectBody(e.Request)
	}
	if after == nil && verb != "delete" {
		c.Missing = lacksBody(e)
		return c, nil
	}
	if verb == "create" && e.Subresource == "" {
		c.Fields, c.Certain = Diff(nil, clean(after.Object, status, secret)), true
		c.Compared = "it was created"
		return c, nil
	}
	o := ObjectOf(e)
	before, body, err := stateBefore(ctx, r, o, e)
	if err != nil {
		return nil, err
	}
	if verb == "delete" {
		// The answer of a delete is the object as it was.
		if after != nil {
			body = after
		}
		if body == nil {
			c.Missing = "the object as it was is in no event; " + lacksBody(e)
			return c, nil
		}
		c.Before, c.Certain, c.Compared = before, after != nil, "it was deleted"
		c.Fields = Diff(clean(body.Object, status, secret), nil)
		return c, nil
	}
	if body == nil {
		c.Missing = "no earlier event has the object as it was: it would have been seen at level RequestResponse"
		return c, nil
	}
	c.Before = before
	// An update says which version it is of, and fails where that is not the newest.
	asked := e.ResourceVersion
	if asked == "" {
		if request := objectBody(e.Request); request != nil {
			asked = request.GetResourceVersion()
		}
	}
	c.Certain = asked != "" && asked == body.GetResourceVersion()
	c.Compared = "compared with " + at(before)
	if !c.Certain {
		c.Compared += "; what others changed since then, and was not recorded with its body, would show here too"
	}
	c.Fields = Diff(clean(body.Object, status, secret), clean(after.Object, status, secret))
	return c, nil
}

// stateBefore is the newest body of an object that is older than an event, and the event
// it is in.
func stateBefore(ctx context.Context, r audit.Reader, o Object, e *audit.Event) (*audit.Event, *unstructured.Unstructured, error) {
	filter := o.filter()
	filter.Resources = append(filter.Resources, o.pattern()+"/status")
	filter.Verbs = []string{"create", "update", "patch", "get"}
	filter.To = e.Time
	if e.Stage == audit.StageComplete && !e.Received.IsZero() && e.Received.Before(e.Time) {
		filter.To = e.Received
	}
	for x, err := range r.Scan(ctx, audit.Scan{Filter: filter, Order: audit.NewestFirst, Bodies: true, Limit: maxLookBack}) {
		if err != nil {
			return nil, nil, err
		}
		if !succeeded(x) || requestOf(x) == requestOf(e) {
			continue
		}
		state := objectBody(x.Response)
		if state == nil && x.Verb != "patch" && x.Verb != "get" {
			state = objectBody(x.Request)
		}
		if state == nil || o.UID != "" && state.GetUID() != "" && string(state.GetUID()) != o.UID {
			continue
		}
		return x, state, nil
	}
	return nil, nil, nil
}

// lacksBody says why an event has no object, and what would have shown it.
func lacksBody(e *audit.Event) string {
	switch {
	case e.Truncated:
		return "the source of the event cut its bodies"
	case !e.Knows(audit.UnknownBody):
		return "the source of the event does not tell bodies"
	case e.Level == "RequestResponse":
		return "the event has no object, though it is of level RequestResponse"
	}
	return fmt.Sprintf("the event is of level %s: RequestResponse would have shown the object", e.Level)
}

// at names an event.
func at(e *audit.Event) string {
	return fmt.Sprintf("event %s (%s, %s)", e.ID, e.Verb, e.Time.UTC().Format("2006-01-02T15:04:05.000Z"))
}
