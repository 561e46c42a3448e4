package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/check/replay"
	"github.com/gatehouse-io/gatehouse/gate"
)

// print tells a report.
func (f *simulateFlags) print(cmd *cobra.Command, report *replay.Report) error {
	if f.output == "json" || f.output == "yaml" {
		return printObject(cmd.OutOrStdout(), f.output, &struct {
			metav1.TypeMeta `json:",inline"`
			*replay.Report  `json:",inline"`
		}{typeMeta("Simulation"), report})
	}
	p := &paragraphs{width: tableWidth}
	if f.output == "wide" {
		p.width = 0
	}
	for i := range report.Flips {
		p.flip(&report.Flips[i])
	}
	if report.Policies != nil {
		for i := range report.Policies.Flips {
			p.policyFlip(&report.Policies.Flips[i])
		}
	}
	if p.out.Len() > 0 {
		p.out.WriteByte('\n')
	}
	p.summary(report)
	_, err := io.Copy(cmd.OutOrStdout(), &p.out)
	return coded(exitInternal, err)
}

// paragraphs are lines with a name in front, that go on below the text behind it.
type paragraphs struct {
	out   bytes.Buffer
	width int
}

func (p *paragraphs) add(name, text string) {
	text = gate.Plain(text)
	if p.width == 0 {
		fmt.Fprintln(&p.out, strings.TrimRight(name+text, " "))
		return
	}
	for i, line := range wrap(text, max(p.width-utf8.RuneCountInString(name), 20)) {
		if i > 0 {
			name = strings.Repeat(" ", utf8.RuneCountInString(name))
		}
		fmt.Fprintln(&p.out, strings.TrimRight(name+line, " "))
	}
}

const (
	refusedName = "REFUSED  "
	allowedName = "ALLOWED  "
	nowName     = "  now      "
	thenName    = "  then     "
	unsureName  = "  unsure   "
)

func (p *paragraphs) flip(f *replay.Flip) {
	name := refusedName
	if f.Change == replay.WouldAllow {
		name = allowedName
	}
	p.add(name, fmt.Sprintf("%s: %s, the last %s", showFlip(f.User, f.Verb, f.APIGroup, f.Resource, f.Subresource, f.Namespace, f.Path, f.Names, f.Distinct), times(f.Requests), showInstant(f.Last)))
	p.add(nowName, showCause(&f.Before))
	p.add(thenName, showCause(&f.After))
	if f.Unsure != "" {
		p.add(unsureName, f.Unsure)
	}
}

func (p *paragraphs) policyFlip(f *replay.PolicyFlip) {
	name, by := refusedName, thenName
	if f.Change == replay.WouldAllow {
		name, by = allowedName, nowName
	}
	p.add(name, fmt.Sprintf("%s: %s, the last %s", showFlip(f.User, f.Verb, f.APIGroup, f.Resource, f.Subresource, f.Namespace, "", f.Names, f.Requests), times(f.Requests), showInstant(f.Last)))
	for i := range f.Says {
		p.add(by, whole(&f.Says[i].Policy)+": "+f.Says[i].Message)
	}
}

// showFlip is "jane get pods [web, api and 3 more] in shop".
func showFlip(user, verb, group, resource, sub, namespace, path string, names []string, distinct int64) string {
	text := user + " " + verb + " "
	if resource == "" {
		return text + path
	}
	text += schema.GroupResource{Group: group, Resource: resource}.String()
	if sub != "" {
		text += "/" + sub
	}
	if len(names) > 0 {
		const most = 3
		text += " [" + strings.Join(names[:min(most, len(names))], ", ")
		if more := distinct - most; len(names) > most && more > 0 {
			text += fmt.Sprintf(" and %d more", max(more, int64(len(names)-most)))
		}
		text += "]"
	}
	if namespace != "" {
		text += " in " + namespace
	}
	return text
}

func showCause(c *replay.Cause) string {
	text := c.Reason
	if c.Part == replay.OtherPart {
		if text = c.Part; c.Reason != "" {
			text += ": " + c.Reason
		}
	}
	var sources []string
	for i := range c.Sources {
		sources = append(sources, whole(&c.Sources[i]))
	}
	if len(sources) > 0 && c.Part == "RBAC" {
		return strings.Join(sources, ", ")
	}
	if len(sources) > 0 {
		text += ": " + strings.Join(sources, ", ")
	}
	return text
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func requests(n int64) string {
	if n == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", n)
}

func showInstant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

const summaryColumn = 18

func (p *paragraphs) line(name, format string, args ...any) {
	p.add(name+strings.Repeat(" ", max(summaryColumn-len(name), 1)), fmt.Sprintf(format, args...))
}

func (p *paragraphs) summary(r *replay.Report) {
	if r.Seen.Distinct > 0 || r.Policies == nil {
		p.line("would be refused", "%s", tally(r.Refused))
		p.line("would be allowed", "%s", tally(r.Allowed))
		if r.More.Distinct > 0 {
			p.line("not listed", "%s: raise --limit", tally(r.More))
		}
		p.line("judged", "%d of %s", r.Judged.Requests, requests(r.Seen.Requests))
		for _, u := range r.Unjudged {
			cause := u.Cause
			if u.Detail != "" {
				cause += " (" + u.Detail + ")"
			}
			p.line("not judged", "%s: %s", tally(u.Tally), cause)
		}
		if r.Impersonated.Distinct > 0 {
			p.line("impersonated", "%s, judged as the other's; whether they may act so was not", tally(r.Impersonated))
		}
		if c := &r.Consistency; c.Recorded.Distinct > 0 {
			p.line("consistency", "today's permissions reproduce %s of the recorded decisions", percent(c.Share()))
			if c.Lost.Distinct > 0 {
				p.line("", "allowed then, refused today: %s", tally(c.Lost))
			}
			if c.Gained.Distinct > 0 {
				p.line("", "refused then, allowed today: %s", tally(c.Gained))
			}
		} else if r.Seen.Distinct > 0 {
			p.line("consistency", "unknown: no decision is recorded")
		}
	}
	if o := r.Policies; o != nil {
		p.line("objects", "would be refused: %d, would be allowed: %d", o.Refused, o.Allowed)
		p.line("", "judged: %d of %s to write or delete", o.Judged, requests(o.Seen))
		for _, u := range o.Unjudged {
			p.line("not judged", "%s: %s", requests(u.Requests), u.Cause)
		}
		if o.SameOld > 0 {
			p.line("", "judged as if the object had been the same before, which is not recorded: %s to update", requests(o.SameOld))
		}
		if len(o.Assumed) > 0 {
			p.line("", "taken to have no labels, for nobody gave them: %s", few("Namespace", "Namespaces", o.Assumed))
		}
	}
	p.window(&r.Window)
	p.unrecorded(r.NotRecorded)
}

// percent rounds down: what is not all of it is not 100 %.
func percent(share float64) string { return fmt.Sprintf("%.1f %%", float64(int(share*1000))/10) }

func tally(t replay.Tally) string {
	if t.Distinct == t.Requests || t.Distinct == 0 {
		return requests(t.Requests)
	}
	return fmt.Sprintf("%s, %d different", requests(t.Requests), t.Distinct)
}

// window tells the time that was looked at.
func (p *paragraphs) window(w *replay.Window) {
	if w.Oldest == nil {
		p.line("observed", "nothing: there is no event in this time")
	} else {
		p.line("observed", "%s, with events from %s to %s", showLength(w.Seconds), showInstant(*w.Oldest), showInstant(*w.Newest))
	}
	for _, g := range w.Gaps {
		until, count := "now", "an unknown number of events"
		if g.End != nil {
			until = showInstant(*g.End)
		}
		if g.Count >= 0 {
			count = fmt.Sprintf("%d events", g.Count)
		}
		p.line("gap", "%s to %s: %s, %s", showInstant(g.Start), until, count, g.Reason)
	}
}

// showLength is a length of time in days, or in what is smaller.
func showLength(seconds int64) string {
	const day = 24 * 60 * 60
	if seconds >= 2*day {
		return fmt.Sprintf("%d days", seconds/day)
	}
	return (time.Duration(seconds) * time.Second).String()
}

// unrecorded tells what the audit policy leaves out.
func (p *paragraphs) unrecorded(u *replay.Unrecorded) {
	if u == nil {
		return
	}
	const most = 8
	for _, s := range u.Sets {
		verbs, resources := strings.Join(s.Verbs, " "), strings.Join(s.Resources[:min(most, len(s.Resources))], ", ")
		if verbs == "*" {
			verbs = "every verb"
		}
		if resources == "*" {
			resources = "every resource"
		}
		if more := len(s.Resources) - most; more > 0 {
			resources += fmt.Sprintf(" and %d more", more)
		}
		p.line("not recorded", "%s of %s", verbs, resources)
	}
	for _, rule := range u.Rules {
		p.line("not recorded", "%s", rule)
	}
	for _, stage := range u.Stages {
		p.line("not recorded", "the stage %s", stage)
	}
	if len(u.Sets)+len(u.Rules)+len(u.Stages) == 0 {
		p.line("not recorded", "nothing: the audit policy leaves nothing out")
	}
}
