package plaintext

import (
	"bytes"
	"cmp"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Options say what is looked for.
type Options struct {
	// KnownFormsOnly leaves out values that look random under names such as password.
	KnownFormsOnly bool
}

// Finding is a credential: what it seems to be, and where it begins.
type Finding struct {
	// What is a few words: "a GitHub token".
	What string
	// Line and Column in the text, from 1; Column counts bytes.
	Line, Column int

	offset int
}

// most is how much of a text is searched: more than an API server stores of an object.
const most = 4 << 20

// everyForm is made once, when the first text is searched: their expressions take
// some milliseconds to compile.
var everyForm = sync.OnceValue(forms)

// Find searches one text that is called name: the key of a ConfigMap, the name of an
// environment variable. Findings are in the order of the text, and of those at one
// place one is returned.
func Find(name string, text []byte, opts Options) []Finding {
	if len(text) < shortest {
		return nil
	}
	text = text[:min(len(text), most)]
	var found []Finding
	small := bytes.ToLower(text)
	for _, form := range everyForm() {
		if form.holds != nil && !slices.ContainsFunc(form.holds, func(part string) bool { return bytes.Contains(small, []byte(part)) }) {
			continue
		}
		_, at := form.detector.Detect(text)
		for _, offset := range at {
			if form.not != nil && offset >= 0 && offset < len(text) && form.not(token(text[offset:])) {
				continue
			}
			found = append(found, Finding{What: form.what, offset: offset})
		}
	}
	if !opts.KnownFormsOnly {
		found = append(found, random(name, text)...)
	}
	if len(found) == 0 {
		return nil
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Compare(a.offset, b.offset) })
	// Of several names for one thing the first form counts.
	end := -1
	kept := found[:0]
	line, from := 1, 0
	for _, f := range found {
		if f.offset < end {
			continue
		}
		f.offset = min(max(f.offset, 0), len(text))
		end = f.offset + len(token(text[f.offset:]))
		line += bytes.Count(text[from:f.offset], []byte("\n"))
		from = f.offset
		f.Line, f.Column = line, f.offset-bytes.LastIndexByte(text[:f.offset], '\n')
		kept = append(kept, f)
	}
	return kept
}

// shortest is how long a text with a credential is at least.
const shortest = 12

// telling are the names that say that their value is to be kept secret.
var telling = regexp.MustCompile(`(?i)(pass(word|wd|phrase)?|secret|token|api[_.-]?key|access[_.-]?key|private[_.-]?key|signing[_.-]?key|encryption[_.-]?key|master[_.-]?key|credentials?|auth[_.-]?key)$`)

// stems are what every telling name holds.
var stems = []string{"pass", "secret", "token", "key", "credential"}

// assigned is a name and a value on a line: in properties, YAML, JSON, shell.
var assigned = regexp.MustCompile(`(?m)["']?([A-Za-z0-9_.-]{2,64})["']?[ \t]*(?:=>|[:=])[ \t]*["']?([^\s"',;]{12,512})`)

// random finds values with the randomness of a generated secret under a telling name.
func random(name string, text []byte) (found []Finding) {
	if telling.MatchString(name) {
		if value := bytes.TrimSpace(text); generated(string(value)) {
			return []Finding{{What: "a value that looks generated, under a name for secrets", offset: bytes.Index(text, value)}}
		}
	}
	from := 0
	for line := range bytes.Lines(text) {
		if small := bytes.ToLower(line); slices.ContainsFunc(stems, func(stem string) bool { return bytes.Contains(small, []byte(stem)) }) {
			for _, at := range assigned.FindAllSubmatchIndex(line, -1) {
				if telling.Match(line[at[2]:at[3]]) && generated(string(line[at[4]:at[5]])) {
					found = append(found, Finding{What: "a value that looks generated, under a name for secrets", offset: from + at[4]})
				}
			}
		}
		from += len(line)
	}
	return found
}

var (
	alphabet = regexp.MustCompile(`^[A-Za-z0-9+/=_.~!@#$%^&*-]+$`)
	uuid     = regexp.MustCompile(`(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	hexOnly  = regexp.MustCompile(`^[0-9a-fA-F]+$`)
)

// generated reports whether a value has the randomness of a secret that a program has
// made, and is none of the things that have it too and are public.
func generated(value string) bool {
	switch {
	case len(value) < 16 && !mixed(value) || len(value) < shortest || len(value) > 512 || !alphabet.MatchString(value),
		uuid.MatchString(value), strings.HasPrefix(value, "sha256:"), strings.HasPrefix(value, "/"), strings.Contains(value, "://"),
		strings.HasPrefix(value, "$"), strings.Contains(value, ".svc"):
		return false
	}
	bits := entropy(value)
	if hexOnly.MatchString(value) {
		return len(value) >= 32 && bits >= 3
	}
	if !mixed(value) {
		return false // words and numbers
	}
	if len(value) < 20 {
		return bits >= 3.3
	}
	return bits >= 3.6
}

// mixed reports whether letters and digits, or letters of both sizes, alternate often:
// words do not.
func mixed(value string) bool {
	class := func(c byte) int {
		switch {
		case c >= '0' && c <= '9':
			return 1
		case c >= 'a' && c <= 'z':
			return 2
		case c >= 'A' && c <= 'Z':
			return 3
		}
		return 4
	}
	changes, seen := 0, 0
	for i := range len(value) {
		seen |= 1 << class(value[i])
		if i > 0 && class(value[i]) != class(value[i-1]) {
			changes++
		}
	}
	digits, lower, upper := seen&2 != 0, seen&4 != 0, seen&8 != 0
	return (digits && (lower || upper) || lower && upper) && changes*4 >= len(value)
}

// entropy is Shannon's, in bits a byte.
func entropy(value string) (bits float64) {
	var count [256]int
	for i := range len(value) {
		count[value[i]]++
	}
	for _, n := range count {
		if n > 0 {
			p := float64(n) / float64(len(value))
			bits -= p * math.Log2(p)
		}
	}
	return bits
}

// token is what is written in one piece.
func token(text []byte) []byte {
	if i := bytes.IndexAny(text, " \t\r\n\"'"); i >= 0 {
		return text[:i]
	}
	return text
}
