package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
)

// Reasons of a Problem, for counting.
const (
	Truncated = "truncated" // it ends early, or says that it was cut
	Broken    = "broken"    // it is no JSON, or an event that contradicts itself
	NoEvent   = "no event"  // it is JSON of a form nobody knows
	TooLong   = "too long"  // it is longer than Options.MaxLine
	Damaged   = "damaged"   // the file cannot be read on from here
	Foreign   = "foreign"   // it is a line of another log
)

// Problem is a part of a file that is no event.
type Problem struct {
	File string
	// Line counts from 1, Offset from 0, in the plain text of a compressed file.
	Line   int
	Offset int64
	// Reason is one of the words above.
	Reason string
	// Detail says more, and nothing of what stands there.
	Detail string
	// Raw is what stands there, until the next step of the reading. It may hold a secret.
	Raw []byte
}

func (p *Problem) Error() string {
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Reason, p.Detail)
}

// Aside is what may be kept of a Problem: where it was, a hash to know it by, and the
// few words of it that are never a secret.
type Aside struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Offset int64  `json:"offset"`
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
	// AuditID, Stage, Verb and Time are those of the event that the line would have
	// been, where they are what such words look like.
	AuditID string `json:"auditID,omitempty"`
	Stage   string `json:"stage,omitempty"`
	Verb    string `json:"verb,omitempty"`
	Time    string `json:"time,omitempty"`
}

// The quotes of a line within a line have backslashes.
var (
	auditID = regexp.MustCompile(`\\*"auditID\\*": ?\\*"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\\*"`)
	stage   = regexp.MustCompile(`\\*"stage\\*": ?\\*"(RequestReceived|ResponseStarted|ResponseComplete|Panic)\\*"`)
	verb    = regexp.MustCompile(`\\*"verb\\*": ?\\*"(get|list|watch|create|update|patch|delete|deletecollection|post|put|head|options)\\*"`)
	moment  = regexp.MustCompile(`"(?:stageTimestamp|requestReceivedTimestamp|time|timestamp)\\*": ?\\*"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z)\\*"`)
)

// longestSearched is how much of a line is searched for such words.
const longestSearched = 64 << 10

// Aside is what may be kept of the Problem. What cannot be read may hold a Secret cut in
// two, which no rule of redaction can find: so nothing of it is kept but words of a closed set.
func (p *Problem) Aside() Aside {
	sum := sha256.Sum256(p.Raw)
	a := Aside{File: p.File, Line: p.Line, Offset: p.Offset, Reason: p.Reason, Detail: p.Detail, Bytes: len(p.Raw), SHA256: hex.EncodeToString(sum[:])}
	head := p.Raw[:min(len(p.Raw), longestSearched)]
	for _, find := range []struct {
		in   *regexp.Regexp
		into *string
	}{{auditID, &a.AuditID}, {stage, &a.Stage}, {verb, &a.Verb}, {moment, &a.Time}} {
		if m := find.in.FindSubmatch(head); m != nil {
			*find.into = string(bytes.Clone(m[1]))
		}
	}
	return a
}
