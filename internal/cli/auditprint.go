package cli

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
	"github.com/gatehouse-io/gatehouse/audit/queryapi"
	"github.com/gatehouse-io/gatehouse/gate"
)

// eventPrinter writes events in one of the output formats. Of what clients wrote in
// them, nothing steers a terminal or a spreadsheet.
type eventPrinter struct {
	w      *bufio.Writer
	output string
	bodies bool
	table  table
	list   queryapi.EventList
	csv    *csv.Writer
}

func newEventPrinter(w io.Writer, output string, bodies bool) *eventPrinter {
	p := &eventPrinter{w: bufio.NewWriter(w), output: output, bodies: bodies}
	switch output {
	case "json":
		p.list.APIVersion, p.list.Kind, p.list.Items = queryapi.ServeGroup+"/"+queryapi.Version, "AuditEventList", []json.RawMessage{}
	case "csv":
		p.csv = csv.NewWriter(p.w)
		_ = p.csv.Write(csvHead) // into memory
	case "wide":
		p.table.head = []string{"TIME", "USER", "VERB", "OBJECT", "CODE", "DECISION", "IP", "USER AGENT", "AUDIT ID"}
	default:
		p.table.head = []string{"TIME", "USER", "VERB", "OBJECT", "CODE"}
	}
	return p
}

func (p *eventPrinter) print(e *audit.Event) error {
	switch p.output {
	case "json":
		p.list.Items = append(p.list.Items, queryapi.ItemOf(e, p.bodies))
	case "jsonl":
		_, err := p.w.Write(append(escapeControls(queryapi.ItemOf(e, p.bodies)), '\n'))
		return err
	case "csv":
		return p.csv.Write(csvRow(e))
	case "wide":
		p.table.add(clockTime(e.Time), whoText(e), e.Verb, objectText(e), codeText(e), e.Decision(), strings.Join(e.SourceIPs, ", "), e.UserAgent, e.ID)
	default:
		p.table.add(clockTime(e.Time), shortWho(e), e.Verb, objectText(e), codeText(e))
	}
	return nil
}

func (p *eventPrinter) end(gaps []audit.Gap, u *query.Unjudged, more bool) error {
	switch p.output {
	case "json":
		p.list.Gaps, p.list.Unjudged = queryapi.GapsOf(gaps), queryapi.UnjudgedOf(u)
		if more {
			left := int64(1)
			p.list.RemainingItemCount = &left // at least
		}
		if err := printObject(p.w, "json", &p.list); err != nil {
			return err
		}
	case "csv":
		p.csv.Flush()
		if err := p.csv.Error(); err != nil {
			return err
		}
	case "table", "wide":
		if len(p.table.rows) == 0 {
			fmt.Fprintln(p.w, "no events")
		} else if err := p.table.print(p.w, widthOf(p.output)); err != nil {
			return err
		}
	}
	return p.w.Flush()
}

// whoText is who made a request.
func whoText(e *audit.Event) string {
	switch {
	case e.User == "":
		return "(nobody)" // whose credential was refused
	case e.AsUser != "":
		return e.User + " as " + e.AsUser
	}
	return e.User
}

// shortWho is who made a request, as whoText, with service accounts as the command line
// takes them.
func shortWho(e *audit.Event) string {
	short := func(name string) string {
		if s, err := readSubject(name); err == nil && s.kind == rbacv1.ServiceAccountKind && strings.HasPrefix(name, "system:") {
			return showSubject(s.kind, s.namespace, s.name)
		}
		return name
	}
	switch {
	case e.User == "":
		return whoText(e)
	case e.AsUser != "":
		return short(e.User) + " as " + short(e.AsUser)
	}
	return short(e.User)
}

// objectText is what a request was for.
func objectText(e *audit.Event) string {
	if e.Resource == "" {
		path, _, _ := strings.Cut(e.URI, "?")
		return path
	}
	o := query.ObjectOf(e)
	name := o.Name
	if o.Namespace != "" && o.Resource != "namespaces" {
		name = o.Namespace + "/" + name
	}
	return strings.TrimRight(query.ResourceOf(e)+" "+name, " ")
}

func codeText(e *audit.Event) string {
	if e.Code == 0 {
		return "-"
	}
	return strconv.Itoa(int(e.Code))
}

var csvHead = []string{"time", "stage", "user", "as", "groups", "verb", "resource", "namespace", "name", "code", "decision", "reason", "ips", "userAgent", "uri", "auditID", "source", "unknown"}

func csvRow(e *audit.Event) []string {
	o := query.ObjectOf(e)
	row := []string{e.Time.UTC().Format(time.RFC3339Nano), e.Stage, e.User, e.AsUser, strings.Join(e.Groups, ", "), e.Verb, query.ResourceOf(e), o.Namespace, o.Name,
		"", e.Decision(), e.Reason(), strings.Join(e.SourceIPs, ", "), e.UserAgent, e.URI, e.ID, e.Source, strings.Join(e.Unknown, ", ")}
	if e.Code != 0 {
		row[9] = strconv.Itoa(int(e.Code))
	}
	for i := range row {
		row[i] = csvCell(row[i])
	}
	return row
}

// csvCell is a text that no spreadsheet takes for a formula: those have a quote before
// them. Spaces before it do not make it one less.
func csvCell(text string) string {
	text = gate.Plain(text)
	if trimmed := strings.TrimLeft(text, " \u00a0"); trimmed != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(trimmed)[0]) {
		return "'" + text
	}
	return text
}

func printCounts(w io.Writer, output string, counts *queryapi.EventCounts) error {
	switch output {
	case "json":
		return printObject(w, "json", counts)
	case "jsonl":
		for _, g := range counts.Groups {
			line := map[string]any{"count": g.Count, "first": g.First, "last": g.Last}
			if g.Excess > 0 {
				line["excess"] = g.Excess
			}
			for i, name := range counts.By {
				line[name] = g.Values[i]
			}
			data, err := json.Marshal(line)
			if err == nil {
				_, err = w.Write(append(escapeControls(data), '\n'))
			}
			if err != nil {
				return coded(exitInternal, err)
			}
		}
		return nil
	case "csv":
		out := csv.NewWriter(w)
		_ = out.Write(append([]string{"count", "excess", "first", "last"}, counts.By...)) // Flush tells
		for _, g := range counts.Groups {
			row := []string{strconv.FormatInt(g.Count, 10), strconv.FormatInt(g.Excess, 10), g.First.Format(time.RFC3339), g.Last.Format(time.RFC3339)}
			for _, v := range g.Values {
				row = append(row, csvCell(v))
			}
			_ = out.Write(row)
		}
		out.Flush()
		return coded(exitInternal, out.Error())
	}
	if len(counts.Groups) == 0 {
		_, err := fmt.Fprintln(w, "no events")
		return coded(exitInternal, err)
	}
	t := table{head: []string{"COUNT"}}
	for _, name := range counts.By {
		t.head = append(t.head, strings.ToUpper(name))
	}
	t.head = append(t.head, "LAST")
	if output == "wide" {
		t.head = append(t.head, "FIRST")
	}
	for _, g := range counts.Groups {
		row := []string{countText(g)}
		for _, v := range g.Values {
			if v == "" {
				v = "-"
			}
			row = append(row, v)
		}
		row = append(row, clockTime(g.Last))
		if output == "wide" {
			row = append(row, clockTime(g.First))
		}
		t.rows = append(t.rows, row)
	}
	return t.print(w, widthOf(output))
}
