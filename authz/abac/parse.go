package abac

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
)

// Parse reads a policy file; path is what errors and sources call it. An error is
// an *Error, and the first there is.
func Parse(path string, data []byte) (*Policies, error) {
	var all []policy
	var remarks remarks
	line := 0
	lines := bufio.NewScanner(bytes.NewReader(data)) // with the limit upstream has, which is its default
	for lines.Scan() {
		line++
		text := lines.Bytes()
		if trimmed := bytes.TrimSpace(text); len(trimmed) == 0 || trimmed[0] == '#' {
			continue
		}
		d, err := decode(text)
		if err != nil {
			problem, mend := diagnose(text)
			return nil, &Error{File: path, Line: line, Problem: problem, Mend: mend}
		}
		remarks.on(line, &d)
		all = append(all, policy{spec: d.spec, line: line})
	}
	if err := lines.Err(); err != nil {
		problem := err.Error()
		if errors.Is(err, bufio.ErrTooLong) {
			problem = fmt.Sprintf("the line is too long: at most %d bytes", bufio.MaxScanTokenSize-1)
		}
		return nil, &Error{File: path, Line: line + 1, Problem: problem, Mend: "split it: each policy is one JSON object on a line of its own"}
	}
	p := newPolicies(path, all)
	p.findings = remarks.findings(path)
	return p, nil
}
