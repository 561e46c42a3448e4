package detect

import (
	"strings"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// Imported is what became of a file of rules in another language.
type Imported struct {
	Rules []*v1alpha1.DetectionRule
	// Notes say what is different of rules that were translated, and Left which were not.
	Notes, Left []Remark
}

// Remark says something of a rule in another language.
type Remark struct {
	// Rule as it is called there, and the line it begins at.
	Rule string
	Line int
	// Why in one sentence.
	Why string
}

// ImportedName is the name of an object for a rule that has a title.
func ImportedName(prefix, title string) string {
	var out strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			out.WriteRune(r)
		case out.Len() > 0 && !strings.HasSuffix(out.String(), "-"):
			out.WriteByte('-')
		}
	}
	name := strings.Trim(out.String(), "-")
	if len(name) > 100 {
		name = strings.TrimRight(name[:100], "-")
	}
	if name == "" {
		name = "rule"
	}
	return prefix + "-" + name
}

// Quoted is a text as CEL has it.
func Quoted(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\t':
			out.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			out.WriteString(`\uFFFD`)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// QuotedList is texts as a list of CEL.
func QuotedList(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = Quoted(t)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
