package attach

// StartError is why the server cannot start, and what to do about it.
type StartError struct {
	// Problem says what is wrong, in lower case.
	Problem string
	// Mend says what to do. May be empty.
	Mend string
}

// Error is the problem.
func (e *StartError) Error() string { return e.Problem }

// Hint is what to do about it.
func (e *StartError) Hint() string { return e.Mend }
