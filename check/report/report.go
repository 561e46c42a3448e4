// Package report writes the findings of a check for people and for programs: as text,
// JSON, SARIF 2.1.0, JUnit, Markdown, HTML, and as GitHub's workflow commands.
//
//	r := &report.Report{Findings: findings, Checked: 12}
//	err := report.Write(os.Stdout, "sarif", r, report.Options{})
//
// Manifests and policies are written by others: whatever they hold, the text steers no
// terminal, the HTML runs nothing, and every other form stays what it is.
package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatehouse-io/gatehouse/check"
	"github.com/gatehouse-io/gatehouse/check/fix"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// Finding is one thing that is told, in words that can be printed as they are.
type Finding struct {
	// Rule is what found it: a policy by kind and name, or "schema", "file".
	Rule string `json:"rule"`
	// Action is deny, warn or audit.
	Action string `json:"action"`
	// File, Line and Column are where it is; lines and columns count from 1, and are 0
	// where they are not known.
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	// Exact says that the field itself stands there.
	Exact bool `json:"exact,omitempty"`
	// Kind, Namespace and Name are those of the object, and Path the field of it.
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	Path      string `json:"path,omitempty"`
	Message   string `json:"message"`
	Hint      string `json:"hint,omitempty"`
	// Policy is where the policy was read from.
	Policy string `json:"policy,omitempty"`
	// Excepted names the Exception that lets it through: it counts for nothing.
	Excepted string `json:"excepted,omitempty"`
	// Known says that the baseline has it: it counts for nothing.
	Known bool `json:"known,omitempty"`
	// Patch is the RFC 6902 patch of the object that a policy states; none is told of what
	// may be secret.
	Patch string `json:"patch,omitempty"`
	// Fix is what that comes to in the file, a unified diff, and Unfixed why it is not to
	// be had, or does not mend the finding.
	Fix     string `json:"fix,omitempty"`
	Unfixed string `json:"unfixed,omitempty"`
	// Fixed says that the file has been written: it counts for nothing.
	Fixed bool `json:"fixed,omitempty"`
	// Changes are those of Fix, for forms that want lines; nil where lines may be secret.
	Changes []fix.Change `json:"-"`
	// Fingerprint is the same while the finding is, wherever its line moves to.
	Fingerprint string `json:"fingerprint"`

	// Shown is the text of the line; empty where Hidden says that it may be a secret.
	Shown  string `json:"-"`
	Hidden bool   `json:"-"`
}

// Of is a finding of a check.
func Of(f check.Finding) Finding {
	r := Finding{
		Rule: gate.Plain(f.Rule), Action: string(f.Action), Path: gate.Plain(f.Path), Message: gate.Plain(f.Message),
		Hidden: f.Hidden, File: gate.Plain(filepath.ToSlash(f.Position.File)), Line: f.Position.Line, Column: f.Position.Column, Exact: f.Position.Exact,
	}
	if f.Source.File != "" {
		r.Policy = gate.Plain(f.Source.Place())
	}
	if f.Exception != nil {
		r.Excepted = gate.Plain(f.Exception.Source.Name)
	}
	if o := f.Object; o != nil {
		r.Kind, r.Namespace, r.Name = gate.Plain(o.GetKind()), gate.Plain(o.GetNamespace()), gate.Plain(o.GetName())
		if r.Name == "" {
			r.Name = gate.Plain(o.GetGenerateName())
		}
		if line, ok := o.Line(f.Position); ok {
			r.Shown = gate.Plain(strings.ReplaceAll(line, "\t", "    "))
		}
		if o.GetKind() != "Secret" && !f.Hidden {
			r.Patch = string(f.Fix)
		}
	}
	r.Fingerprint = r.fingerprint()
	return r
}

// Unreadable is the finding of something in a file that cannot be read.
func Unreadable(file string, line, column int, message, hint string) Finding {
	r := Finding{Rule: "file", Action: string(policy.Deny), File: gate.Plain(filepath.ToSlash(file)), Line: line, Column: column, Message: gate.Plain(message), Hint: gate.Plain(hint), Exact: line > 0}
	r.Fingerprint = r.fingerprint()
	return r
}

func (f *Finding) fingerprint() string {
	h := sha256.New()
	for _, part := range []string{f.Rule, f.File, f.Kind, f.Namespace, f.Name, f.Path, f.Message} {
		fmt.Fprintf(h, "%d:%s,", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Counts reports whether a finding is one to do something about.
func (f *Finding) Counts() bool { return f.Excepted == "" && !f.Known && !f.Fixed }

// stdin is the name that findings in it have for their file.
const stdin = "<stdin>"

// place is file:line:column, as much of it as is known.
func (f *Finding) place() string {
	text := f.File
	if f.Line > 0 {
		text += fmt.Sprintf(":%d", f.Line)
		if f.Column > 0 {
			text += fmt.Sprintf(":%d", f.Column)
		}
	}
	return text
}

// object is "Pod shop/web".
func (f *Finding) object() string {
	text := f.Kind
	if f.Name != "" {
		text += " "
		if f.Namespace != "" {
			text += f.Namespace + "/"
		}
		text += f.Name
	}
	return text
}

// Report is all there is to tell.
type Report struct {
	Findings []Finding `json:"findings"`
	// Checked is how many objects were judged.
	Checked int `json:"checked"`
	// Notes are sentences besides.
	Notes []string `json:"notes,omitempty"`
	// Version is that of the program.
	Version string `json:"version,omitempty"`
}

// Sort brings findings into the order of files and lines. Of a line that one of them
// says may be a secret no other shows the text.
func (r *Report) Sort() {
	type line struct {
		file string
		line int
	}
	hidden := map[line]bool{}
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Hidden {
			hidden[line{f.File, f.Line}] = true
		}
	}
	for i := range r.Findings {
		if f := &r.Findings[i]; hidden[line{f.File, f.Line}] {
			f.Shown = ""
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
}

// Count is how many findings of an action count.
func (r *Report) Count(action policy.Action) (n int) {
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Action == string(action) && f.Counts() {
			n++
		}
	}
	return n
}

// Options say how a report is written.
type Options struct {
	// Color marks actions in text. Default: plain.
	Color bool
}

// formats by name.
var formats = map[string]func(io.Writer, *Report, Options) error{
	"text": text, "json": asJSON, "sarif": sarif, "junit": junit, "markdown": markdown, "html": html, "github": github,
}

// Formats are the names of the forms, in order.
func Formats() []string {
	return []string{"text", "json", "sarif", "junit", "markdown", "html", "github"}
}

// Write writes a report in a form. An unknown form is an error.
func Write(w io.Writer, format string, r *Report, opts Options) error {
	write := formats[format]
	if write == nil {
		return fmt.Errorf("the format %q is none of %s", format, strings.Join(Formats(), ", "))
	}
	return write(w, r, opts)
}
