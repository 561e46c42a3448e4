package suite

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Filter is gator's --run. The zero value takes everything.
type Filter struct{ tests, cases, either *regexp.Regexp }

// ParseFilter reads "TEST//CASE", each a regular expression: the cases whose name
// matches the one, of tests whose name matches the other. One without // is for tests and
// cases both: the cases that match it, and all of tests that do.
func ParseFilter(text string) (*Filter, error) {
	if text == "" {
		return &Filter{}, nil
	}
	parts := strings.Split(text, "//")
	if len(parts) > 2 {
		return nil, errors.New(`a filter has at most one "//", between the test and the case`)
	}
	var compiled []*regexp.Regexp
	for _, part := range parts {
		expression, err := regexp.Compile(part)
		if err != nil {
			return nil, fmt.Errorf("read filter: %w", err)
		}
		compiled = append(compiled, expression)
	}
	if len(compiled) == 1 {
		return &Filter{either: compiled[0]}, nil
	}
	return &Filter{tests: compiled[0], cases: compiled[1]}, nil
}

// test reports whether a test is run, for all its cases or some.
func (f *Filter) test(t *test) bool {
	switch {
	case f.either != nil:
		return f.either.MatchString(t.Name) || slices.ContainsFunc(t.Cases, func(c testCase) bool { return f.either.MatchString(c.Name) })
	case f.tests != nil:
		return f.tests.MatchString(t.Name)
	}
	return true
}

// of reports whether a case is run.
func (f *Filter) of(t *test, c *testCase) bool {
	switch {
	case f.either != nil:
		return f.either.MatchString(t.Name) || f.either.MatchString(c.Name)
	case f.tests != nil:
		return f.tests.MatchString(t.Name) && f.cases.MatchString(c.Name)
	}
	return true
}
