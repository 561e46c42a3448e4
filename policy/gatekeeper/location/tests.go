package location

import (
	"errors"
	"fmt"
	"math"
)

// Condition is what must be so of a part of a location for it to be applied.
type Condition string

// The conditions.
const (
	MustExist    Condition = "MustExist"
	MustNotExist Condition = "MustNotExist"
)

// Test is a condition for a location, or a beginning of it.
type Test struct {
	SubPath   Location
	Condition Condition
}

// Errors that tests do not go with a location, or with each other.
var (
	ErrNoPrefix = errors.New("a subPath must be a beginning of the location")
	ErrConflict = errors.New("the conditions contradict each other")
)

// Tests are those of a location, by depth. The zero value has none.
type Tests struct{ at map[int]Condition }

// NewTests checks tests. Which ones contradict each other is Gatekeeper's to say: it
// goes by their place in the list.
func NewTests(l Location, tests []Test) (Tests, error) {
	t := Tests{at: make(map[int]Condition, len(tests))}
	forbidden, required := math.MaxInt, 0
	for i, test := range tests {
		if !test.SubPath.begins(l) {
			return Tests{}, fmt.Errorf("%w: %q does not begin %q", ErrNoPrefix, test.SubPath, l)
		}
		t.at[len(test.SubPath)-1] = test.Condition
		switch {
		case test.Condition == MustNotExist && i < forbidden:
			forbidden = i
		case test.Condition == MustExist && i > required:
			required = i
		}
	}
	for _, test := range tests {
		if t.at[len(test.SubPath)-1] != test.Condition {
			return Tests{}, fmt.Errorf("%w: %q must exist and must not", ErrConflict, test.SubPath)
		}
	}
	if required > forbidden {
		return Tests{}, fmt.Errorf("%w: %q must exist, and %q before it must not", ErrConflict, tests[required].SubPath, tests[forbidden].SubPath)
	}
	return t, nil
}

func (l Location) begins(other Location) bool {
	if len(l) > len(other) {
		return false
	}
	for i := range l {
		if l[i] != other[i] {
			return false
		}
	}
	return true
}

// mayExist and mayMiss say what a test at a depth lets through.
func (t Tests) mayExist(depth int) bool {
	c, ok := t.at[depth]
	return !ok || c == MustExist
}

func (t Tests) mayMiss(depth int) bool {
	c, ok := t.at[depth]
	return !ok || c == MustNotExist
}
