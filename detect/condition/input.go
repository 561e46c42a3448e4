package condition

import (
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/celevent"
	"github.com/gatehouse-io/gatehouse/audit/query"
)

// Input is one event as the expressions of rules see it. The zero value has none. It is
// used by one goroutine for event after event.
type Input struct {
	celevent.Activation

	event *audit.Event
	// Count and Values are what a message tells.
	Count  int64
	Values []string

	who      string // what kind of user it is; empty until it is asked for
	decision string // what was decided, once asked says so
	asked    bool

	written bool // object and what is in it have been looked for
	object  map[string]any
	pod     map[string]any
	// containers is nil until it is asked for.
	containers []any
}

// Set says which event is meant from now on.
func (in *Input) Set(e *audit.Event) {
	in.Activation.Set(e)
	in.Rest = (*variables)(in)
	in.event, in.Count, in.Values = e, 0, nil
	in.who, in.asked = "", false
	in.written, in.object, in.pod, in.containers = false, nil, nil, nil
}

// Who is what kind of user made the request.
func (in *Input) Who() string {
	if in.who == "" {
		in.who = query.AccountOf(in.event).Kind
	}
	return in.who
}

// decided is what authorization decided, looked up once.
func (in *Input) decided() string {
	if !in.asked {
		in.decision, in.asked = in.event.Decision(), true
	}
	return in.decision
}

// variables resolves those that are not event. It implements cel.Activation.
type variables Input

// Parent implements cel.Activation.
func (v *variables) Parent() celActivation { return nil }

// ResolveName implements cel.Activation.
func (v *variables) ResolveName(name string) (any, bool) {
	if v.event == nil {
		return nil, false
	}
	if text, ok := texts[name]; ok {
		return text((*Input)(v)), true
	}
	switch name {
	case "count":
		return v.Count, true
	case "values":
		return v.Values, true
	case "object":
		v.write()
		return v.object, true
	case "pod":
		v.write()
		return v.pod, true
	case "containers":
		v.write()
		if v.containers == nil {
			v.containers = containersOf(v.pod)
		}
		return v.containers, true
	}
	return nil, false
}

// write finds the object that was written. A body that is no JSON is as good as none.
func (v *variables) write() {
	if v.written {
		return
	}
	v.written = true
	if response, err := v.Response(); err == nil {
		if o, ok := response.(map[string]any); ok && o["kind"] != "Status" {
			v.object = o
		}
	}
	if v.object == nil {
		if request, err := v.Request(); err == nil {
			switch r := request.(type) {
			case map[string]any:
				v.object = r
			case []any:
				v.object = laidOut(r)
			}
		}
	}
	if v.object == nil {
		v.object = map[string]any{}
	}
	v.pod = podOf(v.event, v.object)
}

// address is the last of an event's source addresses: the one that spoke to the server.
func address(e *audit.Event) string {
	if len(e.SourceIPs) == 0 {
		return ""
	}
	return e.SourceIPs[len(e.SourceIPs)-1]
}

func actor(e *audit.Event) string {
	if e.AsUser != "" {
		return e.AsUser
	}
	return e.User
}
