package report

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"fmt"
	htmlescape "html/template"
	"io"
	"net/url"
	"path"
	"strings"
)

// sarif is SARIF 2.1.0 (OASIS), as code hosts read it.
func sarif(w io.Writer, r *Report, _ Options) error {
	type message struct {
		Text string `json:"text"`
	}
	type region struct {
		StartLine   int `json:"startLine,omitempty"`
		StartColumn int `json:"startColumn,omitempty"`
	}
	type location struct {
		PhysicalLocation struct {
			ArtifactLocation struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
			Region *region `json:"region,omitempty"`
		} `json:"physicalLocation"`
	}
	type suppression struct {
		Kind          string `json:"kind"`
		Justification string `json:"justification,omitempty"`
	}
	type end struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
		EndLine     int `json:"endLine"`
		EndColumn   int `json:"endColumn"`
	}
	type replacement struct {
		DeletedRegion   end     `json:"deletedRegion"`
		InsertedContent message `json:"insertedContent"`
	}
	type artifactChange struct {
		ArtifactLocation struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Replacements []replacement `json:"replacements"`
	}
	type proposal struct {
		Description     message          `json:"description"`
		ArtifactChanges []artifactChange `json:"artifactChanges"`
	}
	type result struct {
		RuleID              string            `json:"ruleId"`
		RuleIndex           int               `json:"ruleIndex"`
		Level               string            `json:"level"`
		Message             message           `json:"message"`
		Locations           []location        `json:"locations,omitempty"`
		PartialFingerprints map[string]string `json:"partialFingerprints"`
		Suppressions        []suppression     `json:"suppressions,omitempty"`
		Fixes               []proposal        `json:"fixes,omitempty"`
	}
	type rule struct {
		ID               string  `json:"id"`
		ShortDescription message `json:"shortDescription"`
	}
	rules := []rule{}
	indices := map[string]int{}
	results := []result{}
	for i := range r.Findings {
		f := &r.Findings[i]
		at, ok := indices[f.Rule]
		if !ok {
			at = len(rules)
			indices[f.Rule] = at
			rules = append(rules, rule{f.Rule, message{f.Rule}})
		}
		level := map[string]string{"deny": "error", "warn": "warning"}[f.Action]
		if level == "" {
			level = "note"
		}
		one := result{RuleID: f.Rule, RuleIndex: at, Level: level, Message: message{strings.TrimPrefix(strings.TrimSpace(f.object()+" "+f.Path)+": "+f.Message, ": ")},
			PartialFingerprints: map[string]string{"gatehouse/v1": f.Fingerprint}}
		if f.File != "" && f.File != stdin {
			var l location
			l.PhysicalLocation.ArtifactLocation.URI = (&url.URL{Path: path.Clean(f.File)}).String()
			if f.Line > 0 {
				l.PhysicalLocation.Region = &region{f.Line, f.Column}
			}
			one.Locations = []location{l}
			if len(f.Changes) > 0 && !f.Fixed {
				change := artifactChange{ArtifactLocation: l.PhysicalLocation.ArtifactLocation}
				for _, c := range f.Changes {
					change.Replacements = append(change.Replacements, replacement{end{c.Line, 1, c.Line + len(c.Old), 1}, message{strings.Join(c.New, "")}})
				}
				one.Fixes = []proposal{{message{f.Fix}, []artifactChange{change}}}
			}
		}
		switch {
		case f.Known:
			one.Suppressions = []suppression{{"external", "it is in the baseline"}}
		case f.Excepted != "":
			one.Suppressions = []suppression{{"external", "Exception " + f.Excepted}}
		case f.Fixed:
			one.Suppressions = []suppression{{"external", "the file has been fixed"}}
		}
		results = append(results, one)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{
		"$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		"version": "2.1.0",
		"runs": []any{map[string]any{
			"tool":       map[string]any{"driver": map[string]any{"name": "gatehouse", "version": r.Version, "rules": rules}},
			"columnKind": "unicodeCodePoints",
			"results":    results,
		}},
	})
}

// junit is a test suite a file, and a test case a finding, as CI servers read it.
func junit(w io.Writer, r *Report, _ Options) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
	type skipped struct {
		Message string `xml:"message,attr"`
	}
	type testcase struct {
		Name      string   `xml:"name,attr"`
		Classname string   `xml:"classname,attr"`
		File      string   `xml:"file,attr,omitempty"`
		Line      int      `xml:"line,attr,omitempty"`
		Failure   *failure `xml:"failure,omitempty"`
		Skipped   *skipped `xml:"skipped,omitempty"`
	}
	type suite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	all := struct {
		XMLName  xml.Name `xml:"testsuites"`
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Suites   []*suite `xml:"testsuite"`
	}{Name: "gatehouse check"}
	var of *suite
	for i := range r.Findings {
		f := &r.Findings[i]
		if of == nil || of.Name != orDash(f.File) {
			of = &suite{Name: orDash(f.File)}
			all.Suites = append(all.Suites, of)
		}
		c := testcase{Name: strings.TrimSpace(f.object() + " " + f.Path), Classname: f.Rule, File: f.File, Line: f.Line}
		of.Tests++
		all.Tests++
		if f.Counts() && f.Action == "deny" {
			of.Failures++
			all.Failures++
			c.Failure = &failure{f.Message, f.Action, f.place() + ": " + f.Message}
		} else {
			of.Skipped++
			c.Skipped = &skipped{f.Message}
		}
		of.Cases = append(of.Cases, c)
	}
	if len(all.Suites) == 0 {
		all.Tests = 1
		all.Suites = []*suite{{Name: "gatehouse check", Tests: 1, Cases: []testcase{{Name: r.summary(), Classname: "gatehouse"}}}}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// markdown is a table, for a comment on a pull request.
func markdown(to io.Writer, r *Report, _ Options) error {
	w := bufio.NewWriter(to)
	cell := func(text string) string {
		var b strings.Builder
		for _, c := range text {
			switch {
			case strings.ContainsRune("\\`*_{}[]<>()#+!|~@&:", c):
				// Nothing of a manifest becomes a link, a mention, or markup.
				fmt.Fprintf(&b, "&#%d;", c)
			default:
				b.WriteRune(c)
			}
		}
		return b.String()
	}
	fmt.Fprintf(w, "### gatehouse check: %s\n", cell(r.summary()))
	if len(r.Findings) > 0 {
		fmt.Fprint(w, "\n| | Where | Policy | What |\n| --- | --- | --- | --- |\n")
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		action := f.Action
		switch {
		case f.Known:
			action = "known"
		case f.Excepted != "":
			action = "excepted"
		case f.Fixed:
			action = "fixed"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", cell(action), cell(f.place()), cell(f.Rule), cell(strings.TrimSpace(f.object()+" "+f.Path)+": "+f.Message))
	}
	return w.Flush()
}

// page is one file that needs nothing else, and in which nothing can run.
var page = htmlescape.Must(htmlescape.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width"><title>gatehouse check</title>
<style>
:root { color-scheme: light dark; --line: #8884; --deny: #c62828; --warn: #b26a00; --audit: #00695c; }
@media (prefers-color-scheme: dark) { :root { --deny: #ff8a80; --warn: #ffb74d; --audit: #80cbc4; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h2 { font: 600 1rem ui-monospace, monospace; margin-top: 2rem; }
article { border-left: 4px solid var(--line); padding: .3rem 1rem; margin: .8rem 0; }
article.deny { border-color: var(--deny); } article.warn { border-color: var(--warn); } article.audit { border-color: var(--audit); }
article.quiet { opacity: .6; }
b.deny { color: var(--deny); } b.warn { color: var(--warn); } b.audit { color: var(--audit); }
pre { overflow-x: auto; margin: .3rem 0; } small { opacity: .75; }
</style></head><body>
<h1>gatehouse check</h1><p>{{.Summary}}</p>
{{range .Files}}<h2>{{.Name}}</h2>
{{range .Findings}}<article class="{{.Action}}{{if not .Counts}} quiet{{end}}"><b class="{{.Action}}">{{.Action}}</b> {{.Rule}}
<small>{{if .Line}}line {{.Line}}{{if .Column}}, column {{.Column}}{{end}}{{end}} {{.Kind}} {{if .Namespace}}{{.Namespace}}/{{end}}{{.Name}} {{.Path}}</small>
<div>{{.Message}}</div>{{if .Hint}}<div><small>hint: {{.Hint}}</small></div>{{end}}{{if .Excepted}}<div><small>excepted by Exception {{.Excepted}}</small></div>{{end}}{{if .Known}}<div><small>in the baseline</small></div>{{end}}
{{if .Fixed}}<div><small>fixed</small></div>{{end}}{{if .Unfixed}}<div><small>not fixed: {{.Unfixed}}</small></div>{{end}}
{{if .Shown}}<pre>{{.Shown}}</pre>{{end}}{{if .Fix}}<pre>{{.Fix}}</pre>{{end}}</article>
{{end}}{{end}}{{range .Notes}}<p><small>note: {{.}}</small></p>{{end}}
</body></html>
`))

func html(w io.Writer, r *Report, _ Options) error {
	type file struct {
		Name     string
		Findings []*Finding
	}
	var files []*file
	for i := range r.Findings {
		f := &r.Findings[i]
		if len(files) == 0 || files[len(files)-1].Name != orDash(f.File) {
			files = append(files, &file{Name: orDash(f.File)})
		}
		files[len(files)-1].Findings = append(files[len(files)-1].Findings, f)
	}
	return page.Execute(w, struct {
		Summary string
		Files   []*file
		Notes   []string
	}{r.summary(), files, r.Notes})
}
