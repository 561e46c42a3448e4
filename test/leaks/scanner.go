package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
)

// window is the length of the piece of a secret that it is found by.
const window = 8

// scanner looks for secrets in files.
type scanner struct {
	// byWindow has the secrets by their first eight bytes, and some has a bit for each of
	// those, by hash: nearly every place of a log has none.
	byWindow map[uint64][]string
	some     [1 << 16]bool
	found    []find
}

type find struct {
	file string
	line int
	what string
}

func newScanner(secrets []string) *scanner {
	s := &scanner{byWindow: map[uint64][]string{}}
	for _, secret := range secrets {
		s.add(secret)
		s.add(base64.StdEncoding.EncodeToString([]byte(secret)))
		// As a string of JSON or Go has it.
		if escaped := strings.NewReplacer("\n", `\n`, `"`, `\"`, "\t", `\t`).Replace(secret); escaped != secret {
			s.add(escaped)
		}
		// A line is what is looked at: of a text of several each is a secret.
		for line := range strings.Lines(secret) {
			if line = strings.TrimSpace(line); len(line) >= 2*window && line != secret && !strings.HasPrefix(line, "-----") {
				s.add(line)
			}
		}
	}
	return s
}

func (s *scanner) add(secret string) {
	if len(secret) < window {
		return
	}
	key := binary.LittleEndian.Uint64([]byte(secret))
	s.byWindow[key] = append(s.byWindow[key], secret)
	s.some[hash(key)] = true
}

func hash(key uint64) uint16 { return uint16((key * 0x9e3779b97f4a7c15) >> 48) }

// file looks through a file, and returns its size.
func (s *scanner) file(path string) (size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, 1<<20)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		size += int64(len(line))
		if what := s.line(line); what != "" {
			s.found = append(s.found, find{path, n, what})
		}
		if errors.Is(err, io.EOF) {
			return size, nil
		}
		if err != nil {
			return size, err
		}
	}
}

// line says which secret a line holds, without saying it, or "".
func (s *scanner) line(line []byte) string {
	for i := 0; i+window <= len(line); i++ {
		key := binary.LittleEndian.Uint64(line[i:])
		if !s.some[hash(key)] {
			continue
		}
		for _, secret := range s.byWindow[key] {
			if bytes.HasPrefix(line[i:], []byte(secret)) {
				return "a secret that a test has handed out, " + hint(secret)
			}
		}
	}
	if bytes.Contains(line, []byte("eyJ")) && webToken.Match(line) {
		return "a JSON web token"
	}
	if bootstrapToken(line) {
		return "a bootstrap token"
	}
	for _, mark := range keyMarks {
		if bytes.Contains(line, mark) {
			return "a private key"
		}
	}
	return ""
}

// hint is enough of a secret to find the test that has it.
func hint(secret string) string { return secret[:3] + "…, " + secret[len(secret)-2:] }

// webToken is three parts in base64, the first two of which are JSON objects.
var webToken = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}`)

// keyMarks are how private keys begin: in PEM, in PEM in base64, and age's.
var keyMarks = [][]byte{
	[]byte("-----BEGIN PRIVATE KEY"), []byte("-----BEGIN EC PRIVATE KEY"), []byte("-----BEGIN RSA PRIVATE KEY"),
	[]byte("LS0tLS1CRUdJTiBQUklWQVRFIEtFW"), []byte("LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFW"), []byte("LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRV"),
	[]byte("AGE-SECRET-KEY-"),
}

// bootstrapToken finds six and sixteen small letters and digits with a dot between them.
// The sixteen have a letter and a digit: words with a dot are names of APIs, and times
// have digits alone.
func bootstrapToken(line []byte) bool {
	const id, secret = 6, 16
	for at := 0; ; at++ {
		next := bytes.IndexByte(line[at:], '.')
		if next < 0 {
			return false
		}
		at += next
		if at < id || at+1+secret > len(line) || at > id && word(line[at-id-1]) || at+1+secret < len(line) && word(line[at+1+secret]) {
			continue
		}
		letters, digits, fits := 0, 0, true
		for i, c := range line[at-id : at+1+secret] {
			switch {
			case i == id:
			case c >= 'a' && c <= 'z':
				if i > id {
					letters++
				}
			case c >= '0' && c <= '9':
				if i > id {
					digits++
				}
			default:
				fits = false
			}
		}
		if fits && letters > 0 && digits > 0 {
			return true
		}
	}
}

func word(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.'
}
