package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"strings"
)

// testCase is one spec, or one node of the suite itself, in a JUnit report.
type testCase struct {
	// Name is the full name, with the kind of node in front: "[It] [sig-auth] …".
	Name string `xml:"name,attr"`
	// Status is ginkgo's word: passed, skipped, failed, panicked, timedout, ….
	Status string `xml:"status,attr"`
}

// spec returns the spec's name as "--list-tests" prints it, and false for a
// node that is not a spec.
func (c testCase) spec() (string, bool) { return strings.CutPrefix(c.Name, "[It] ") }

// readJUnit reads the cases of a report.
func readJUnit(path string) ([]testCase, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the suite's report: %w", err)
	}
	var report struct {
		Suites []struct {
			Cases []testCase `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(data, &report); err != nil {
		return nil, fmt.Errorf("read the suite's report %s: %w", path, err)
	}
	var cases []testCase
	for _, s := range report.Suites {
		cases = append(cases, s.Cases...)
	}
	return cases, nil
}
