package authn

import "strconv"

// FileError is what is wrong with a file that a person wrote or put in place,
// and how to mend it. It never quotes the file's content, which may be secret.
type FileError struct {
	// Path is the file as the settings name it.
	Path string

	// Line is where in the file, counted from 1; 0 where no line can be named.
	Line int

	// Problem says what is wrong, in lower case.
	Problem string

	// Mend says what to do about it. May be empty.
	Mend string

	// Err is the cause, for errors.Is and errors.As; nil where there is none. Its
	// text is already part of Problem.
	Err error
}

// Error is PATH:LINE: PROBLEM.
func (e *FileError) Error() string {
	if e.Line > 0 {
		return e.Path + ":" + strconv.Itoa(e.Line) + ": " + e.Problem
	}
	return e.Path + ": " + e.Problem
}

// Unwrap is the cause.
func (e *FileError) Unwrap() error { return e.Err }

// Hint is what to do about it.
func (e *FileError) Hint() string { return e.Mend }
