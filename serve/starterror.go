package serve

// StartError is a reason the server cannot start that a person can mend. It is
// shown as one `error:` line and one `hint:` line.
type StartError struct {
	// Problem names the file, address or setting, and what is wrong with it.
	Problem string
	// Mend says what to do about it.
	Mend string
}

func (e *StartError) Error() string { return e.Problem }

// Hint is what to do about it.
func (e *StartError) Hint() string { return e.Mend }
