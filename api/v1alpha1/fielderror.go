package v1alpha1

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// FieldError is one thing wrong with a settings file.
type FieldError struct {
	// File is the name the file was parsed under; empty where there is no file.
	File string
	// Line and Col are where the problem is, counted from 1. Zero where no place
	// in the file is to blame, for example a file that cannot be read.
	Line, Col int
	// Field is the path of the field concerned, "audit.policyFile" or
	// "authorization.modes[1]". Empty for a problem of the file as a whole.
	Field string
	// Message says what is wrong, in one line.
	Message string
	// Hint says what to do about it, in one line. Empty where there is nothing to say.
	Hint string
}

// Position returns "file:line:col", or as much of it as is known.
func (e *FieldError) Position() string {
	var parts []string
	if e.File != "" {
		parts = append(parts, e.File)
	}
	if e.Line > 0 {
		parts = append(parts, strconv.Itoa(e.Line))
		if e.Col > 0 {
			parts = append(parts, strconv.Itoa(e.Col))
		}
	}
	return strings.Join(parts, ":")
}

// Error returns "file:line:col: message", and where there is a hint a second
// line, "hint: …".
func (e *FieldError) Error() string {
	s := e.Message
	if p := e.Position(); p != "" {
		s = p + ": " + s
	}
	if e.Hint != "" {
		s += "\nhint: " + e.Hint
	}
	return s
}

// FieldErrorList is everything wrong with a settings file, in the order of the
// file. As an error it is never empty.
type FieldErrorList []*FieldError

// Error returns the errors one below the other.
func (l FieldErrorList) Error() string {
	lines := make([]string, len(l))
	for i, e := range l {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the first FieldError.
func (l FieldErrorList) Unwrap() []error {
	errs := make([]error, len(l))
	for i, e := range l {
		errs[i] = e
	}
	return errs
}

// orNil returns the list, in the order of the file, as an error; nil where it is empty.
func (l FieldErrorList) orNil() error {
	if len(l) == 0 {
		return nil
	}
	slices.SortStableFunc(l, func(a, b *FieldError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return l
}
