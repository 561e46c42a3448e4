package redact

import (
	"reflect"
	"strings"
	"unsafe"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Series redacts one event after another as its Redactor does, and remembers what came
// out of user agents and annotations, which a log has again and again: an import reads
// millions. It is for one goroutine at a time, and for events whose annotations nobody
// changes, as audit/record makes them.
type Series struct {
	r *Redactor
	// clean are user agents that stay as they are.
	clean map[string]struct{}
	// notes are what became of annotations, by the map that they are and what the event is
	// about. The map is kept too, so that no other one has its place in memory.
	notes map[noteKey]redactedNotes
}

type noteKey struct {
	of    unsafe.Pointer
	about subject
}

type redactedNotes struct{ was, is map[string]string }

const (
	// mostRemembered is how much a Series remembers of each, before it forgets all of it.
	mostRemembered = 4096
	longestAgent   = 256
)

// Series begins a series.
func (r *Redactor) Series() *Series { return &Series{r: r} }

// Event redacts an event in place.
func (s *Series) Event(e *audit.Event) { s.r.event(e, s) }

func (s *Series) scrub(agent string) string {
	if s == nil || len(agent) > longestAgent {
		return scrub(agent)
	}
	if _, ok := s.clean[agent]; ok {
		return agent
	}
	clean := scrub(agent)
	if clean == agent {
		if s.clean == nil || len(s.clean) >= mostRemembered {
			s.clean = map[string]struct{}{}
		}
		s.clean[strings.Clone(agent)] = struct{}{}
	}
	return clean
}

func (s *Series) annotations(r *Redactor, m map[string]string, about subject) map[string]string {
	if s == nil || len(m) == 0 {
		return r.annotations(m, about)
	}
	key := noteKey{reflect.ValueOf(m).UnsafePointer(), about}
	if known, ok := s.notes[key]; ok {
		return known.is
	}
	clean := r.annotations(m, about)
	if s.notes == nil || len(s.notes) >= mostRemembered {
		s.notes = map[noteKey]redactedNotes{}
	}
	s.notes[key] = redactedNotes{m, clean}
	return clean
}
