package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

// One pass may meet several problems. Their texts stay apart from their hints,
// and neither is said twice.
func TestProblems(t *testing.T) {
	wide := func(file string) error {
		return &FileError{Verb: "load key", File: file, Err: errors.New("is wide"), Mend: "chmod 600 " + file}
	}
	err := fmt.Errorf("ensure PKI: %w", problems{wide("a"), fs.ErrClosed, wide("b"), wide("b")}.orNil())
	if want := "ensure PKI: load key: a: is wide; file already closed; load key: b: is wide; load key: b: is wide"; err.Error() != want {
		t.Errorf("error is %s", err)
	}
	var h interface{ Hint() string }
	if !errors.As(err, &h) || h.Hint() != "chmod 600 a; chmod 600 b" {
		t.Errorf("hint is %v", h)
	}
	if got := inOneLine(err).Error(); got != err.Error()+": chmod 600 a; chmod 600 b" {
		t.Errorf("in one line: %s", got)
	}
	if !errors.Is(err, fs.ErrClosed) {
		t.Error("a cause is lost")
	}
	if problems(nil).orNil() != nil {
		t.Error("no problem is an error")
	}
	if plain := errors.New("plain"); inOneLine(plain) != plain {
		t.Error("a plain error is changed")
	}
}
