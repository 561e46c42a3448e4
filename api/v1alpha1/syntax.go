package v1alpha1

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var yamlErrorPattern = regexp.MustCompile(`^yaml: (?:line (\d+): )?((?s).*)$`)

// syntaxError makes a FieldError of what the YAML library says. The library
// names the line where the surrounding list or mapping begins, give or take one,
// or no line at all; a person needs the line to change.
func syntaxError(data []byte, err error) *FieldError {
	from, message := 0, err.Error()
	if m := yamlErrorPattern.FindStringSubmatch(message); m != nil {
		from, _ = strconv.Atoi(m[1])
		message = m[2]
	}
	line := brokenLine(data, err, max(from, 1))
	e := &FieldError{Line: line, Col: 1, Message: "parse YAML: " + message}
	lines := bytes.SplitN(data, []byte("\n"), line+1)
	if line > len(lines) {
		return e
	}
	text := string(lines[line-1])
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	e.Col = len(indent) + 1
	switch {
	case strings.Contains(indent, "\t"):
		e.Hint = "indent with spaces: YAML does not allow tabs here"
	case strings.HasPrefix(message, "mapping values are not allowed"):
		e.Hint = `put a value that contains ": " in quotes, and check the indentation`
	case strings.HasPrefix(message, "did not find expected key"),
		strings.HasPrefix(message, "did not find expected '-' indicator"):
		e.Hint = "check the indentation: fields of one section begin in the same column"
	case strings.HasPrefix(message, "found unexpected end of stream"):
		e.Hint = "a quote that is opened here is not closed"
	case strings.HasPrefix(message, "could not find expected ':'"):
		e.Hint = `write "name: value"`
	}
	return e
}

// brokenLine returns the first line, counting from 1 and looking from the given
// one on, up to which the file is broken in the same way as the whole of it.
func brokenLine(data []byte, err error, from int) int {
	// Each line looked at costs a parse of all before it. The budget ends that on
	// a large file; the line the library gave is then good enough.
	const budget = 8 << 20
	end := 0
	for line, spent := 1, 0; end < len(data) && spent < budget; line++ {
		if i := bytes.IndexByte(data[end:], '\n'); i >= 0 {
			end += i + 1
		} else {
			end = len(data)
		}
		if line < from {
			continue
		}
		spent += end
		if e := parseAll(data[:end]); e != nil && kindOf(e) == kindOf(err) {
			return line
		}
	}
	return from
}

// parseAll returns the first error in data, of whichever document; nil at its end.
func parseAll(data []byte) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		if err := dec.Decode(&n); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// kindOf returns what an error says, without the line.
func kindOf(err error) string {
	if m := yamlErrorPattern.FindStringSubmatch(err.Error()); m != nil {
		return m[2]
	}
	return err.Error()
}
