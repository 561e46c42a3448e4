package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// FileError is a file of the PKI that cannot be used as it is. It never holds
// the file's content.
type FileError struct {
	// Verb says what was being done: "load cluster CA".
	Verb string
	// File is the path of the file at fault.
	File string
	// Err is what is wrong with it.
	Err error
	// Mend is what the operator can do; empty when there is nothing better to
	// say than Err. Error leaves it out, for an edge shows it as a hint.
	Mend string
}

// Error is VERB: FILE: PROBLEM.
func (e *FileError) Error() string { return fmt.Sprintf("%s: %s: %v", e.Verb, e.File, e.Err) }

func (e *FileError) Unwrap() error { return e.Err }

// Hint is Mend.
func (e *FileError) Hint() string { return e.Mend }

// problems are the errors of one pass, which goes on after each.
type problems []error

// orNil is nil when there are none, and not an interface around nothing.
func (p problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

func (p problems) Error() string {
	texts := make([]string, len(p))
	for i, err := range p {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (p problems) Unwrap() []error { return p }

// Hint is what to do about each of them.
func (p problems) Hint() string {
	var hints []string
	for _, err := range p {
		var fe *FileError
		if errors.As(err, &fe) && fe.Mend != "" && !slices.Contains(hints, fe.Mend) {
			hints = append(hints, fe.Mend)
		}
	}
	return strings.Join(hints, "; ")
}

// inOneLine puts the hint into the text of an error that goes to a log, where
// nothing shows it apart.
func inOneLine(err error) error {
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		return fmt.Errorf("%w: %s", err, h.Hint())
	}
	return err
}

// bare drops the path that os puts into its errors, since FileError says it.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
