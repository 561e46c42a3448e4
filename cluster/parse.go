package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// parse returns the documents of a piece as trees; the root of each is what the
// document holds. The places in them are places in the piece.
func parse(p *piece) (roots []*yaml.Node, problem *v1alpha1.FieldError) {
	defer func() {
		// The YAML library reports some input by a panic that it does not catch.
		if r := recover(); r != nil {
			roots, problem = nil, p.problem(1, 1, fmt.Sprintf("cannot be parsed: %v", r), "")
		}
	}()
	if at := invalidUTF8(p.data); at >= 0 {
		line, col := placeOf(p.data, at)
		return nil, p.problem(line, col, "the file is not UTF-8 text", "save it as UTF-8; a packed or binary file cannot be read")
	}
	if p.json {
		return parseJSON(p)
	}
	dec := yaml.NewDecoder(bytes.NewReader(p.data))
	for {
		var n yaml.Node
		switch err := dec.Decode(&n); {
		case errors.Is(err, io.EOF):
			return roots, nil
		case err != nil:
			return nil, yamlProblem(p, err)
		}
		if len(n.Content) == 1 {
			roots = append(roots, n.Content[0])
		}
	}
}

func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for at := 0; at < len(data); {
		r, n := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && n == 1 {
			return at
		}
		at += n
	}
	return -1
}

// placeOf is the line and column, from 1, of an offset.
func placeOf(data []byte, at int) (line, col int) {
	line = 1 + bytes.Count(data[:at], []byte("\n"))
	return line, at - bytes.LastIndexByte(data[:at], '\n')
}

var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?((?s).*)$`)

// yamlProblem places an error of the YAML library, which names the line where the
// surrounding list or mapping begins, give or take one, or none at all.
func yamlProblem(p *piece, err error) *v1alpha1.FieldError {
	from, message := 1, err.Error()
	if m := yamlError.FindStringSubmatch(message); m != nil {
		if n, _ := strconv.Atoi(m[1]); n > 0 {
			from = n
		}
		message = m[2]
	}
	line := brokenLine(p.data, message, from)
	text := firstLine(lineOf(p.data, line))
	indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]
	hint := ""
	switch {
	case bytes.Contains(text, []byte("{{")):
		hint = templateHint
	case bytes.ContainsRune(indent, '\t'):
		hint = "indent with spaces: YAML does not allow tabs here"
	case strings.HasPrefix(message, "mapping values are not allowed"):
		hint = `put a value that contains ": " in quotes, and check the indentation`
	case strings.HasPrefix(message, "did not find expected key"), strings.HasPrefix(message, "did not find expected '-' indicator"):
		hint = "check the indentation: fields of one section begin in the same column"
	case strings.HasPrefix(message, "found unexpected end of stream"):
		hint = "a quote that is opened here is not closed"
	case strings.HasPrefix(message, "could not find expected ':'"):
		hint = `write "name: value"`
	case strings.HasPrefix(message, "control characters are not allowed"):
		hint = "remove the character, or write it as \\x.. in double quotes"
	}
	return p.problem(line, len(indent)+1, "parse YAML: "+message, hint)
}

// brokenLine returns the first line, from 1 and not before from, up to which the
// data is broken in the same way as the whole of it.
func brokenLine(data []byte, message string, from int) int {
	// Each line looked at costs a parse of all before it.
	const budget = 4 << 20
	end, spent := 0, 0
	for line := 1; end < len(data) && spent < budget; line++ {
		if i := bytes.IndexByte(data[end:], '\n'); i >= 0 {
			end += i + 1
		} else {
			end = len(data)
		}
		if line < from {
			continue
		}
		spent += end
		dec := yaml.NewDecoder(bytes.NewReader(data[:end]))
		var err error
		for err == nil {
			err = dec.Decode(new(yaml.Node))
		}
		if m := yamlError.FindStringSubmatch(err.Error()); m != nil && m[2] == message {
			return line
		}
	}
	return from
}

// lineOf is the data from the beginning of a line on.
func lineOf(data []byte, line int) []byte {
	for ; line > 1; line-- {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			return nil
		}
		data = data[i+1:]
	}
	return data
}

func firstLine(data []byte) []byte {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return line
}

const templateHint = "this is a template: render it first, for example with helm template, and read what that prints"

// mostDepth is how deep JSON may be nested; it is encoding/json's own limit.
const mostDepth = 10000

// parseJSON reads one JSON value into the tree that YAML would make of it.
func parseJSON(p *piece) ([]*yaml.Node, *v1alpha1.FieldError) {
	j := jsonReader{data: p.data, dec: json.NewDecoder(bytes.NewReader(p.data)), line: 1}
	j.dec.UseNumber()
	root, err := j.value(0)
	if err == nil {
		if _, more := j.dec.Token(); more != io.EOF {
			err = errors.New("more follows the value")
		}
	}
	if err != nil {
		offset := int(j.dec.InputOffset())
		message := err.Error()
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			offset = int(syntax.Offset) - 1
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			offset, message = len(p.data), "it ends before it is complete"
		}
		line, col := placeOf(p.data, min(max(offset, 0), len(p.data)))
		return nil, p.problem(line, col, "parse JSON: "+message, "what begins with a brace is read as JSON")
	}
	return []*yaml.Node{root}, nil
}

type jsonReader struct {
	data []byte
	dec  *json.Decoder
	// begin, from 0, is the first byte of line, and line is from 1: those of the
	// value that was read last.
	begin, line int
}

// place returns the place of the next token.
func (j *jsonReader) place() (line, col int) {
	at := int(j.dec.InputOffset())
	for at < len(j.data) && strings.IndexByte(" \t\r\n,:", j.data[at]) >= 0 {
		at++
	}
	j.line += bytes.Count(j.data[j.begin:at], []byte("\n"))
	if i := bytes.LastIndexByte(j.data[j.begin:at], '\n'); i >= 0 {
		j.begin += i + 1
	}
	return j.line, at - j.begin + 1
}

func (j *jsonReader) value(depth int) (*yaml.Node, error) {
	if depth > mostDepth {
		return nil, errors.New("it is nested too deeply")
	}
	n := &yaml.Node{Kind: yaml.ScalarNode}
	n.Line, n.Column = j.place()
	token, err := j.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		if t == '[' {
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		}
		for j.dec.More() {
			child, err := j.value(depth + 1) // of an object, keys and values in turn
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		if _, err := j.dec.Token(); err != nil {
			return nil, err
		}
	case string:
		n.Value, n.Tag, n.Style = t, "!!str", yaml.DoubleQuotedStyle
	case json.Number:
		n.Value, n.Tag = t.String(), "!!int"
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case bool:
		n.Value, n.Tag = strconv.FormatBool(t), "!!bool"
	case nil:
		n.Value, n.Tag = "null", "!!null"
	}
	return n, nil
}
