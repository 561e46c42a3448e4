package wal

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-io/gatehouse/audit"
)

// version is the first byte of a record.
const version = 1

// Encode appends the record of an event, and tells how much of it is its identity. What
// makes an event the same as another comes first, so that it can be compared without
// decoding; bodies come last, so that they can be left out (Decode). What is no UTF-8
// becomes U+FFFD, as it does in a segment: an event is the same before it is sealed and
// after.
func Encode(to []byte, e *audit.Event) (record []byte, identity int) { return encode(to, e, nil) }

func encode(to []byte, e *audit.Event, known *Encoder) (record []byte, identity int) {
	start := len(to)
	to = append(to, version)
	to = binary.AppendVarint(to, e.Time.UnixMicro())
	to = appendText(to, e.ID)
	to = appendWord(to, e.Stage)
	to = appendWord(to, e.Verb)
	to = appendText(to, e.URI)
	to = appendText(to, e.User)
	identity = len(to) - start
	// What filters ask for most comes next.
	to = appendText(to, e.AsUser)
	to = appendText(to, e.Namespace)
	to = appendText(to, e.Resource)
	to = appendText(to, e.Subresource)
	to = appendText(to, e.APIGroup)
	to = appendText(to, e.Name)
	to = binary.AppendVarint(to, int64(e.Code))

	to = appendWord(to, e.APIVersion)
	to = appendWord(to, e.Level)
	to = binary.AppendVarint(to, e.Received.UnixMicro()-e.Time.UnixMicro())
	to = appendText(to, e.UID)
	to = known.list(to, e.Groups)
	to = known.extra(to, e.Extra)
	to = appendText(to, e.AsUID)
	to = known.list(to, e.AsGroups)
	to = known.extra(to, e.AsExtra)
	to = appendText(to, e.Constraint)
	to = known.list(to, e.SourceIPs)
	to = appendText(to, e.UserAgent)
	to = appendText(to, e.ObjectUID)
	to = appendText(to, e.ResourceVersion)
	to = appendWord(to, e.Status)
	to = appendWord(to, e.StatusReason)
	to = appendText(to, e.Message)
	to = known.annotations(to, e.Annotations)
	to = appendWord(to, e.Source)
	to = known.list(to, e.Unknown)
	truncated := byte(0)
	if e.Truncated {
		truncated = 1
	}
	to = append(to, truncated)
	to = appendBody(to, e.Request)
	return appendBody(to, e.Response), identity
}

func appendText(to []byte, s string) []byte {
	if s == "" {
		return append(to, 0)
	}
	s = valid(s)
	return append(binary.AppendUvarint(to, uint64(len(s))), s...)
}

func appendWord(to []byte, s string) []byte {
	if place, ok := wordPlace(s); ok {
		return append(to, place)
	}
	s = valid(s)
	return append(binary.AppendUvarint(to, wordLimit+uint64(len(s))), s...)
}

func appendList(to []byte, list []string) []byte {
	to = binary.AppendUvarint(to, uint64(len(list)))
	for _, s := range list {
		to = appendWord(to, s)
	}
	return to
}

func appendExtra(to []byte, m map[string][]string) []byte {
	to = binary.AppendUvarint(to, uint64(len(m)))
	var room [8]string
	for _, k := range sortedKeys(room[:0], m) {
		to = appendList(appendWord(to, k), m[k])
	}
	return to
}

func appendAnnotations(to []byte, m map[string]string) []byte {
	to = binary.AppendUvarint(to, uint64(len(m)))
	var room [8]string
	for _, k := range sortedKeys(room[:0], m) {
		to = appendWord(appendWord(to, k), m[k])
	}
	return to
}

// sortedKeys makes a record the same however a map was built, which compresses better.
func sortedKeys[V any](to []string, m map[string]V) []string {
	for k := range m {
		to = append(to, k)
	}
	slices.Sort(to)
	return to
}

// appendBody tells a body that is not there from an empty one.
func appendBody(to, body []byte) []byte {
	if body == nil {
		return append(to, 0)
	}
	if !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, replacement)
	}
	return append(binary.AppendUvarint(to, uint64(len(body))+1), body...)
}

var replacement = []byte("\uFFFD")

func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
