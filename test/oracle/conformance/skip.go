package main

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"

	"sigs.k8s.io/yaml"
)

//go:embed skip.yaml
var skipFile []byte

// skip excludes the specs whose name matches.
type skip struct {
	// Match is a regular expression over the full name of a spec.
	Match string `json:"match"`
	// Reason says what the spec needs that is not there.
	Reason string `json:"reason"`

	expr *regexp.Regexp
}

// loadSkips reads the frozen list.
func loadSkips() ([]skip, error) { return parseSkips(skipFile) }

// parseSkips reads a skip list and refuses an entry without a reason.
func parseSkips(data []byte) ([]skip, error) {
	var skips []skip
	if err := yaml.UnmarshalStrict(data, &skips); err != nil {
		return nil, fmt.Errorf("read the skip list: %w", err)
	}
	var errs []error
	for i := range skips {
		s := &skips[i]
		if s.Match == "" || s.Reason == "" {
			errs = append(errs, fmt.Errorf("skip list, entry %d: both match and reason must be set", i+1))
		}
		expr, err := regexp.Compile(s.Match)
		if err != nil {
			errs = append(errs, fmt.Errorf("skip list, entry %d: %w", i+1, err))
		}
		s.expr = expr
	}
	return skips, errors.Join(errs...)
}
