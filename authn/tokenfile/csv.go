package tokenfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/authn"
)

const formatHint = `each line is: token,user,uid,"group1,group2" (the groups may be left out); quote a field that holds a comma or a quotation mark`

// table is the tokens of one file.
type table struct {
	// users by the SHA-256 of their token, the 32 bytes as a string.
	users map[string]*user.DefaultInfo

	// warnings are what the reader should know though the file is accepted.
	warnings []string
}

// parse reads a token file as upstream's tokenfile.NewCSV does, with errors
// that name a line and hold nothing of the file's text.
func parse(path string, data []byte) (*table, error) {
	t := &table{users: map[string]*user.DefaultInfo{}}
	reader := csv.NewReader(bytes.NewReader(data))
	reader.FieldsPerRecord = -1
	lines := map[string]int{}
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, csvError(path, err)
		}
		line, _ := reader.FieldPos(0)
		if len(record) < 3 {
			return nil, &authn.FileError{
				Path: path, Line: line,
				Problem: fmt.Sprintf("has %d of the 3 columns that a token needs: token, user, uid", len(record)),
				Mend:    formatHint,
			}
		}
		if record[0] == "" {
			t.warnings = append(t.warnings, fmt.Sprintf("%s:%d: the token is empty, the line counts for nothing", path, line))
			continue
		}
		sum := sha256.Sum256([]byte(record[0]))
		key := string(sum[:])
		if first, ok := lines[key]; ok {
			t.warnings = append(t.warnings, fmt.Sprintf("%s:%d: the same token stands on line %d, this line counts", path, line, first))
		}
		lines[key] = line
		info := &user.DefaultInfo{Name: strings.Clone(record[1]), UID: strings.Clone(record[2])}
		if len(record) >= 4 {
			info.Groups = strings.Split(strings.Clone(record[3]), ",")
		}
		t.users[key] = info
	}
	if len(t.users) == 0 {
		t.warnings = append(t.warnings, path+": holds no tokens")
	}
	return t, nil
}

// csvError says where and what. The csv package's errors hold positions and
// fixed texts alone; only those are passed on, lest that ever change.
func csvError(path string, err error) error {
	e := &authn.FileError{Path: path, Problem: "is not well-formed CSV", Mend: formatHint}
	var at *csv.ParseError
	if errors.As(err, &at) {
		e.Line = at.Line
		switch {
		case errors.Is(at.Err, csv.ErrBareQuote):
			e.Problem = fmt.Sprintf("has a quotation mark inside a field that is not quoted (column %d)", at.Column)
		case errors.Is(at.Err, csv.ErrQuote):
			e.Problem = fmt.Sprintf("has a quoted field that does not end as it should (column %d; the field begins at or after line %d)", at.Column, at.StartLine)
		}
	}
	return e
}
