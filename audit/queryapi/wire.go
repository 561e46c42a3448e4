package queryapi

import (
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
	"github.com/gatehouse-io/gatehouse/audit/record"
)

// EventList is the answer to a list: kind AuditEventList.
type EventList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Gaps            []Gap     `json:"gaps,omitempty"`
	Unjudged        *Unjudged `json:"unjudged,omitempty"`
	// Items are Events of audit.k8s.io/v1.
	Items []json.RawMessage `json:"items"`
}

// EventCounts is the answer to a list with countBy: kind AuditEventCounts.
type EventCounts struct {
	metav1.TypeMeta `json:",inline"`
	By              []string `json:"by"`
	Events          int64    `json:"events"`
	Distinct        int64    `json:"distinct"`
	// Exact says that every group was counted by itself. Else each group with more events
	// than Threshold is among Groups.
	Exact     bool      `json:"exact"`
	Threshold int64     `json:"threshold,omitempty"`
	Gaps      []Gap     `json:"gaps,omitempty"`
	Unjudged  *Unjudged `json:"unjudged,omitempty"`
	Groups    []Group   `json:"groups"`
}

// Group is one group of EventCounts. Excess is how much too large Count may be.
type Group struct {
	Values []string  `json:"values"`
	Count  int64     `json:"count"`
	Excess int64     `json:"excess,omitempty"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// Gap is a time in which events are missing; one without End lasts. A Count of -1 is not
// known.
type Gap struct {
	Start  time.Time  `json:"start"`
	End    *time.Time `json:"end,omitempty"`
	Count  int64      `json:"count"`
	Reason string     `json:"reason"`
}

// Unjudged is how many events the condition could not judge, and why the first.
type Unjudged struct {
	Count int64  `json:"count"`
	First string `json:"first"`
}

// Trail is every event of an audit ID: kind AuditEventTrail. A client can choose the ID,
// so that they may be of several requests.
type Trail struct {
	metav1.TypeMeta `json:",inline"`
	ID              string            `json:"id"`
	Items           []json.RawMessage `json:"items"`
	// Changes are what its requests did to their objects.
	Changes []Change `json:"changes,omitempty"`
}

// Change is what one request did to its object.
type Change struct {
	Object   query.Object    `json:"object"`
	Patch    json.RawMessage `json:"patch,omitempty"`
	Fields   []FieldChange   `json:"fields,omitempty"`
	Compared string          `json:"compared,omitempty"`
	Certain  bool            `json:"certain"`
	Missing  string          `json:"missing,omitempty"`
}

// FieldChange is one field that is different.
type FieldChange struct {
	Path   string          `json:"path"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// Actor is who began an object: kind AuditActor.
type Actor struct {
	metav1.TypeMeta `json:",inline"`
	Object          query.Object      `json:"object"`
	Found           bool              `json:"found"`
	Certainty       query.Certainty   `json:"certainty"`
	Hops            []Hop             `json:"hops"`
	Trigger         json.RawMessage   `json:"trigger,omitempty"`
	Since           []json.RawMessage `json:"since,omitempty"`
	Gaps            []Gap             `json:"gaps,omitempty"`
}

// Hop is one step of an Actor.
type Hop struct {
	Object    query.Object    `json:"object"`
	Did       string          `json:"did,omitempty"`
	By        *query.Account  `json:"by,omitempty"`
	Certainty query.Certainty `json:"certainty"`
	Evidence  []string        `json:"evidence,omitempty"`
	Lacks     string          `json:"lacks,omitempty"`
	Event     json.RawMessage `json:"event,omitempty"`
}

// Timeline is events in lanes: kind AuditTimeline.
type Timeline struct {
	metav1.TypeMeta `json:",inline"`
	From            *time.Time `json:"from,omitempty"`
	To              *time.Time `json:"to,omitempty"`
	More            bool       `json:"more,omitempty"`
	Gaps            []Gap      `json:"gaps,omitempty"`
	Lanes           []Lane     `json:"lanes"`
}

// Lane is one lane of a Timeline.
type Lane struct {
	Name  string            `json:"name"`
	Items []json.RawMessage `json:"items"`
}

// Span is from when to when there are events: kind AuditEventSpan.
type Span struct {
	metav1.TypeMeta `json:",inline"`
	Oldest          *time.Time `json:"oldest,omitempty"`
	Newest          *time.Time `json:"newest,omitempty"`
	Gaps            []Gap      `json:"gaps,omitempty"`
}

// Request is an audit.Request as answers have it.
type Request struct {
	User          string              `json:"user"`
	Groups        []string            `json:"groups,omitempty"`
	Extra         map[string][]string `json:"extra,omitempty"`
	GroupsUnknown bool                `json:"groupsUnknown,omitempty"`
	Impersonator  string              `json:"impersonator,omitempty"`
	Verb          string              `json:"verb"`
	APIGroup      string              `json:"apiGroup,omitempty"`
	APIVersion    string              `json:"apiVersion,omitempty"`
	Resource      string              `json:"resource,omitempty"`
	Subresource   string              `json:"subresource,omitempty"`
	Namespace     string              `json:"namespace,omitempty"`
	Name          string              `json:"name,omitempty"`
	Path          string              `json:"path,omitempty"`
	NameOmitted   bool                `json:"nameOmitted,omitempty"`
	Decision      string              `json:"decision,omitempty"`
	Reason        string              `json:"reason,omitempty"`
	First         time.Time           `json:"first"`
	Last          time.Time           `json:"last"`
	Count         int64               `json:"count"`
}

// kind is the type of an answer in a group.
func kind(group, name string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: group + "/" + Version, Kind: name}
}

// ItemOf is an event as an Event of audit.k8s.io/v1, with its bodies or without.
func ItemOf(e *audit.Event, bodies bool) json.RawMessage {
	if !bodies && (e.Request != nil || e.Response != nil) {
		bare := *e
		bare.Request, bare.Response = nil, nil
		e = &bare
	}
	return record.AppendJSON(nil, e)
}

func itemOf(e *audit.Event) json.RawMessage {
	if e == nil {
		return nil
	}
	return ItemOf(e, false)
}

// GapsOf are gaps as answers have them.
func GapsOf(gaps []audit.Gap) (all []Gap) {
	for _, g := range gaps {
		all = append(all, Gap{Start: g.Start.UTC(), End: timeOf(g.End), Count: g.Count, Reason: g.Reason})
	}
	return all
}

// GapsFrom are the gaps of an answer.
func GapsFrom(gaps []Gap) (all []audit.Gap) {
	for _, g := range gaps {
		gap := audit.Gap{Start: g.Start, Count: g.Count, Reason: g.Reason}
		if g.End != nil {
			gap.End = *g.End
		}
		all = append(all, gap)
	}
	return all
}

func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// UnjudgedOf is nil where everything could be judged.
func UnjudgedOf(u *query.Unjudged) *Unjudged {
	if u.Count == 0 {
		return nil
	}
	return &Unjudged{Count: u.Count, First: u.First.Error()}
}

// CountsOf is an answer with counts.
func CountsOf(group string, c *query.Counts) *EventCounts {
	out := &EventCounts{TypeMeta: kind(group, "AuditEventCounts"), By: c.Fields, Events: c.Events, Distinct: c.Distinct, Exact: c.Exact, Threshold: c.Threshold, Groups: []Group{}}
	for _, g := range c.Groups {
		out.Groups = append(out.Groups, Group{Values: g.Values, Count: g.Count, Excess: g.Excess, First: g.First.UTC(), Last: g.Last.UTC()})
	}
	return out
}

// ChangeOf is a change as answers have it.
func ChangeOf(o query.Object, c *query.Change) Change {
	out := Change{Object: o, Patch: c.Patch, Compared: c.Compared, Certain: c.Certain, Missing: c.Missing}
	for _, f := range c.Fields {
		out.Fields = append(out.Fields, FieldChange(f))
	}
	return out
}

// ActorOf is an actor as answers have it.
func ActorOf(group string, a *query.Actor) *Actor {
	out := &Actor{TypeMeta: kind(group, "AuditActor"), Object: a.Object, Found: a.Found, Certainty: a.Certainty, Hops: []Hop{}, Trigger: itemOf(a.Trigger), Gaps: GapsOf(a.Gaps)}
	for _, h := range a.Hops {
		hop := Hop{Object: h.Object, Did: h.Did, Certainty: h.Certainty, Evidence: h.Evidence, Lacks: h.Lacks, Event: itemOf(h.Event)}
		if h.By.Name != "" {
			hop.By = &h.By
		}
		out.Hops = append(out.Hops, hop)
	}
	for _, e := range a.Since {
		out.Since = append(out.Since, itemOf(e))
	}
	return out
}

// TimelineOf is a timeline as answers have it.
func TimelineOf(group string, t *query.Timeline) *Timeline {
	out := &Timeline{TypeMeta: kind(group, "AuditTimeline"), From: timeOf(t.From), To: timeOf(t.To), More: t.More, Gaps: GapsOf(t.Gaps), Lanes: []Lane{}}
	for _, l := range t.Lanes {
		lane := Lane{Name: l.Name}
		for _, e := range l.Events {
			lane.Items = append(lane.Items, itemOf(e))
		}
		out.Lanes = append(out.Lanes, lane)
	}
	return out
}
