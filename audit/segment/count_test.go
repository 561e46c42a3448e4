package segment_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// projected is an event with some fields alone.
func projected(e *audit.Event, by audit.Fields) *audit.Event {
	p := &audit.Event{}
	text := func(field audit.Fields, to *string, value string) {
		if by&field != 0 {
			*to = value
		}
	}
	list := func(field audit.Fields, to *[]string, value []string) {
		if by&field != 0 {
			*to = value
		}
	}
	text(audit.FieldUser, &p.User, e.User)
	text(audit.FieldAsUser, &p.AsUser, e.AsUser)
	list(audit.FieldGroups, &p.Groups, e.Groups)
	text(audit.FieldVerb, &p.Verb, e.Verb)
	text(audit.FieldAPIGroup, &p.APIGroup, e.APIGroup)
	text(audit.FieldResource, &p.Resource, e.Resource)
	text(audit.FieldSubresource, &p.Subresource, e.Subresource)
	text(audit.FieldNamespace, &p.Namespace, e.Namespace)
	text(audit.FieldName, &p.Name, e.Name)
	if by&audit.FieldCode != 0 {
		p.Code = e.Code
	}
	for field, key := range map[audit.Fields]string{audit.FieldDecision: audit.AnnotationDecision, audit.FieldReason: audit.AnnotationReason} {
		if v, ok := e.Annotations[key]; ok && by&field != 0 {
			if p.Annotations == nil {
				p.Annotations = map[string]string{}
			}
			p.Annotations[key] = v
		}
	}
	list(audit.FieldSourceIPs, &p.SourceIPs, e.SourceIPs)
	text(audit.FieldUserAgent, &p.UserAgent, e.UserAgent)
	path, _, _ := strings.Cut(e.URI, "?")
	text(audit.FieldPath, &p.URI, path)
	text(audit.FieldStage, &p.Stage, e.Stage)
	text(audit.FieldLevel, &p.Level, e.Level)
	text(audit.FieldSource, &p.Source, e.Source)
	list(audit.FieldUnknown, &p.Unknown, e.Unknown)
	for field, unit := range map[audit.Fields]time.Duration{audit.FieldMinute: time.Minute, audit.FieldHour: time.Hour, audit.FieldDay: 24 * time.Hour} {
		if by&field != 0 {
			p.Time = e.Time.Truncate(unit)
		}
	}
	return p
}

type tally map[string]audit.Tallied

func (m tally) add(t audit.Tallied) {
	key := fmt.Sprintf("%+v", *t.Event)
	have, ok := m[key]
	if !ok {
		t.Event = nil
		m[key] = t
		return
	}
	have.Count += t.Count
	if t.First.Before(have.First) {
		have.First = t.First
	}
	if t.Last.After(have.Last) {
		have.Last = t.Last
	}
	m[key] = have
}

// TestTalliesAsCountingDoes holds a Tally against counting the events of a Scan, over one
// file, and over one that was joined.
func TestTalliesAsCountingDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	events := randomEvents(r, 9000)
	alone, _, _ := write(t, events)
	of, _, err := joined(t, cut(r, events, 4, time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for round := range 120 {
		by := audit.Fields(0)
		for range r.IntN(5) {
			by |= 1 << r.IntN(22)
		}
		if round < 22 {
			by = 1 << round
		}
		if units := by & (audit.FieldMinute | audit.FieldHour | audit.FieldDay); units&(units-1) != 0 {
			by &^= units
			by |= audit.FieldHour
		}
		filter := randomFilter(r, events)
		want := tally{}
		for _, e := range events {
			if filter.Matches(e) {
				want.add(audit.Tallied{Event: projected(e, by), Count: 1, First: e.Time, Last: e.Time})
			}
		}
		for _, s := range []*segment.Segment{alone, of} {
			got := tally{}
			if err := s.Tally(context.Background(), filter, by, got.add); err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("by %b: %d groups, not %d: %+v", by, len(got), len(want), filter)
			}
			for key, w := range want {
				if got[key] != w {
					t.Fatalf("by %b: %s is %+v, not %+v", by, key, got[key], w)
				}
			}
		}
	}
}

func TestDistinct(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 8))
	events := randomEvents(r, 3000)
	s, _, _ := write(t, events)
	want := map[string]map[string]bool{"user_name": {}, "user_groups": {}, "decision": {}, "code": {}}
	for _, e := range events {
		want["user_name"][e.User] = true
		for _, g := range e.Groups {
			want["user_groups"][g] = true
		}
		want["decision"][e.Decision()] = true
		want["code"][fmt.Sprint(e.Code)] = true
	}
	for column, values := range want {
		got := map[string]bool{}
		if err := s.Distinct(column, func(v string) { got[v] = true }); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(values) {
			t.Errorf("%s: %v, not %v", column, got, values)
		}
	}
	for _, no := range []string{"", "annotations", "user_extra", "nothing", "audit_id"} {
		if err := s.Distinct(no, func(string) {}); err == nil {
			t.Errorf("values of %q", no)
		}
	}
}
