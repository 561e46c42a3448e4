package alert

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// Sink is somewhere that Alerts go. One goroutine at a time calls Send.
type Sink interface {
	// Traits are the same whenever they are asked for.
	Traits() Traits
	// Send sends Alerts, at most as many as Traits.Batch, the gravest first and of those
	// the oldest; those of one Finding come in their order. Where it
	// returns an error all of them are sent again, unless that is a RefusedError: then
	// each is sent alone, and one that is refused alone is dropped, and counted. A
	// LaterError says how long to wait. No error has a secret in it.
	Send(ctx context.Context, alerts []Alert) error
}

// Traits are what a Dispatcher knows of a Sink.
type Traits struct {
	// Type is one of few words, such as webhook. It is a label of metrics.
	Type string
	// Name tells it from others of its type, and is shown: it has no secret. The queue
	// is found again by Type and Name.
	Name string
	// Batch is how many Alerts one Send takes. Default: 1.
	Batch int
	// Least is the severity below which Alerts are not sent to it. Default: info.
	Least v1alpha1.DetectionSeverity
	// Resend is how often all that is open is sent again; 0 is never. What is sent again
	// is not queued.
	Resend time.Duration
}

// RefusedError says that sending the same again is of no use.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return "refused: " + e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// LaterError says not to try again before After has passed.
type LaterError struct {
	Err   error
	After time.Duration
}

func (e *LaterError) Error() string { return e.Err.Error() }
func (e *LaterError) Unwrap() error { return e.Err }

// refused reports whether sending the same again is of no use.
func refused(err error) bool {
	_, ok := errors.AsType[*RefusedError](err)
	return ok
}
