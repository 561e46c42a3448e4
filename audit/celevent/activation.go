package celevent

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Activation is one event as an expression sees it. The zero value has none. It is used
// by one goroutine for event after event. It implements cel.Activation.
type Activation struct {
	// Rest resolves other variables, those of Options.Extend. nil has none.
	Rest cel.Activation

	event             *audit.Event
	request, response body
}

// body is a body that is decoded when it is asked for.
type body struct {
	decoded bool
	value   any
	err     error
}

// Set says which event is meant from now on.
func (a *Activation) Set(e *audit.Event) {
	a.event = e
	a.request, a.response = body{}, body{}
}

// Event is the event that is meant.
func (a *Activation) Event() *audit.Event { return a.event }

// ResolveName implements cel.Activation.
func (a *Activation) ResolveName(name string) (any, bool) {
	if name == variable {
		return a, a.event != nil
	}
	if a.Rest != nil {
		return a.Rest.ResolveName(name)
	}
	return nil, false
}

// Parent implements cel.Activation.
func (a *Activation) Parent() cel.Activation { return nil }

// Request is requestObject decoded, or nil where there is none.
func (a *Activation) Request() (any, error) { return a.request.decode(a.event.Request) }

// Response is responseObject decoded, or nil where there is none.
func (a *Activation) Response() (any, error) { return a.response.decode(a.event.Response) }

func (b *body) decode(data []byte) (any, error) {
	if b.decoded {
		return b.value, b.err
	}
	b.decoded = true
	if len(data) == 0 {
		return nil, nil
	}
	if b.err = json.Unmarshal(data, &b.value); b.err != nil {
		b.err = fmt.Errorf("the body is no JSON") // the decoder's words would quote it
	}
	return b.value, b.err
}
