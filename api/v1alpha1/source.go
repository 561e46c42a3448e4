package v1alpha1

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Source remembers where in a settings file each field was written, so that a
// value which is refused later is still refused with its line.
//
// A nil Source is a configuration that came from no file: it knows no place.
type Source struct {
	// file is the name that errors carry.
	file string
	// positions holds the place of each value, by field path. The root's path is
	// "". Parsing writes it; nobody writes it afterwards.
	positions map[string]position
}

// position is a place in a file, counted from 1.
type position struct{ line, col int }

// Locate gives each error its place in the file and returns them as a
// FieldErrorList, in the order of the file; nil where there are none. An error
// about a field that the file does not set takes the place of the nearest field
// around it.
func (s *Source) Locate(errs field.ErrorList) error {
	var list FieldErrorList
	for _, err := range errs {
		e := &FieldError{Field: err.Field, Message: err.Field + ": " + lowerFirst(err.ErrorBody())}
		if s != nil {
			e.File = s.file
			p := s.find(err.Field)
			e.Line, e.Col = p.line, p.col
		}
		list = append(list, e)
	}
	return list.orNil()
}

// find returns the place of the field, or of the nearest one around it.
func (s *Source) find(path string) position {
	for {
		if p, ok := s.positions[path]; ok || path == "" {
			return p
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
