package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/check"
	"github.com/gatehouse-io/gatehouse/check/manifest"
	"github.com/gatehouse-io/gatehouse/check/report"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

func one(file, rule, message string) report.Finding {
	return report.Of(check.Finding{Rule: rule, Action: policy.Deny, Message: message, Path: "spec.hostPID", Source: gate.Source{Kind: "BuiltinPolicies", Name: "all"},
		Position: manifest.Position{File: file, Line: 7, Column: 3, Exact: true}})
}

func written(t testing.TB, format string, r *report.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Write(&b, format, r, report.Options{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestForms(t *testing.T) {
	r := &report.Report{Findings: []report.Finding{one("deploy/web.yaml", "BuiltinPolicies all DisallowHostPID", "the pod sees the processes of its node")}, Checked: 3, Version: "1.2.3"}
	r.Findings[0].Shown = "  hostPID: true"
	for format, want := range map[string][]string{
		"text":     {"deny    deploy/web.yaml:7:3  BuiltinPolicies all DisallowHostPID\n", "     7 |   hostPID: true\n       |   ^\n", "3 objects checked: 1 to be refused\n"},
		"json":     {`"kind": "CheckReport"`, `"line": 7`, `"deny": 1`},
		"sarif":    {`"version": "2.1.0"`, `"startLine": 7`, `"level": "error"`, `"uri": "deploy/web.yaml"`},
		"junit":    {`<testsuites name="gatehouse check" tests="1" failures="1">`, `<failure message="the pod sees`},
		"markdown": {"| deny | deploy/web.yaml"},
		"html":     {"<b class=\"deny\">deny</b>", "Content-Security-Policy"},
		"github":   {"::error file=deploy/web.yaml,line=7,col=3,title=BuiltinPolicies all DisallowHostPID::spec.hostPID: the pod"},
	} {
		got := written(t, format, r)
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%s lacks %q:\n%s", format, part, got)
			}
		}
	}
	if err := report.Write(io.Discard, "pdf", r, report.Options{}); err == nil || !strings.Contains(err.Error(), "none of text, json") {
		t.Errorf("an unknown form: %v", err)
	}
}

// What is excepted or known counts for nothing, and is told all the same.
func TestBaseline(t *testing.T) {
	r := &report.Report{Findings: []report.Finding{one("a.yaml", "x", "one"), one("a.yaml", "x", "one"), one("a.yaml", "x", "two")}, Checked: 1}
	file := filepath.Join(t.TempDir(), "baseline.yaml")
	if n, err := report.WriteBaseline(file, r); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	b, err := report.ReadBaseline(file)
	if err != nil {
		t.Fatal(err)
	}
	moved := one("a.yaml", "x", "one")
	moved.Line = 99
	next := &report.Report{Findings: []report.Finding{moved, one("a.yaml", "x", "one"), one("a.yaml", "x", "one"), one("a.yaml", "x", "three")}}
	if stale := b.Apply(next); stale != 1 {
		t.Errorf("%d are not there any more, want 1", stale)
	}
	if n := next.Count(policy.Deny); n != 2 { // the third "one", and "three"
		t.Errorf("%d count, want 2", n)
	}
	if text := written(t, "text", next); !strings.Contains(text, "2 in the baseline") {
		t.Error(text)
	}
}

// A line that may be a secret is shown by nobody.
func TestHiddenLines(t *testing.T) {
	secret, other := one("a.yaml", "DisallowPlaintextSecrets", "a token"), one("a.yaml", "other", "something else")
	secret.Hidden, secret.Shown, other.Shown = true, "token: abc", "token: abc"
	r := &report.Report{Findings: []report.Finding{other, secret}}
	r.Sort()
	for _, format := range report.Formats() {
		if strings.Contains(written(t, format, r), "abc") {
			t.Errorf("%s shows it", format)
		}
	}
}

// Whatever manifests hold: the text steers no terminal, and every other form is what it
// is, with one finding in it.
func FuzzForms(f *testing.F) {
	for _, text := range []string{"plain", "\x1b[2J\u202eevil", "a\n::error::b", "]]>", "<script>alert(1)</script>", "a|b\n| c", "%0A::set-output", "\xff\xfe", "[x](javascript:alert(1))", "@everyone"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := &report.Report{Findings: []report.Finding{one(text, text, text)}, Notes: []string{gate.Plain(text)}}
		r.Findings[0].Shown = gate.Plain(text)
		r.Findings[0].Hint = gate.Plain(text)
		for _, format := range report.Formats() {
			got := written(t, format, r)
			if strings.ContainsAny(got, "\x1b\r\x07\x08") || strings.Contains(got, "\u202e") {
				t.Errorf("%s steers a terminal: %q", format, got)
			}
			switch format {
			case "json", "sarif":
				if !json.Valid([]byte(got)) {
					t.Errorf("%s is no JSON: %s", format, got)
				}
			case "junit":
				d := xml.NewDecoder(strings.NewReader(got))
				cases := 0
				for {
					token, err := d.Token()
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatalf("it is no XML: %v: %q", err, got)
					}
					if e, ok := token.(xml.StartElement); ok && e.Name.Local == "testcase" {
						cases++
					}
				}
				if cases != 1 {
					t.Errorf("%d test cases of one finding", cases)
				}
			case "html":
				if strings.Contains(got, "<script") || strings.Count(got, "<article") != 1 {
					t.Errorf("the page holds what the manifest does: %s", got)
				}
			case "github":
				if n := strings.Count(got, "\n::") + strings.Count(got[:2], "::"); n != 1 {
					t.Errorf("%d commands of one finding: %q", n, got)
				}
			case "markdown":
				if n := strings.Count(got, "\n"); n != 5 {
					t.Errorf("%d lines: %q", n, got)
				}
			}
		}
	})
}
