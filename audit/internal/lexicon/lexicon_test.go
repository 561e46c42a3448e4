package lexicon_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/internal/lexicon"
	"github.com/gatehouse-io/gatehouse/test/bench/audit/events"
)

// told is an event as its row says that it is, without what has no number.
func told(w *lexicon.Lexicon, r *lexicon.Row) *audit.Event {
	text := func(f lexicon.Field) string { return w.Texts(f)[r.Texts[f]] }
	e := &audit.Event{
		Stage: text(lexicon.Stage), Level: text(lexicon.Level), Verb: text(lexicon.Verb), URI: text(lexicon.URI),
		User: text(lexicon.User), UID: text(lexicon.UID), AsUser: text(lexicon.AsUser), AsUID: text(lexicon.AsUID), Constraint: text(lexicon.Constraint),
		UserAgent: text(lexicon.UserAgent), APIGroup: text(lexicon.APIGroup), APIVersion: text(lexicon.APIVersion), Resource: text(lexicon.Resource),
		Subresource: text(lexicon.Subresource), Namespace: text(lexicon.Namespace), Name: text(lexicon.Name), ObjectUID: text(lexicon.ObjectUID),
		Status: text(lexicon.Status), StatusReason: text(lexicon.StatusReason), ResourceVersion: text(lexicon.ResourceVersion), Message: text(lexicon.Message), Source: text(lexicon.Source),
		Code: w.Codes()[r.Code], Groups: list(w, lexicon.GroupItems, w.Groups(r.Groups)), AsGroups: list(w, lexicon.AsGroupItems, w.AsGroups(r.AsGroups)),
		SourceIPs: list(w, lexicon.IPItems, w.IPs(r.IPs)), Unknown: list(w, lexicon.UnknownItems, w.Unknown(r.Unknown)),
		Extra:   extra(w, lexicon.ExtraKeys, lexicon.ExtraValues, w.Extra(r.Extra)),
		AsExtra: extra(w, lexicon.AsExtraKeys, lexicon.AsExtraValues, w.AsExtra(r.AsExtra)),
	}
	set := func(k, v string) {
		if e.Annotations == nil {
			e.Annotations = map[string]string{}
		}
		e.Annotations[k] = v
	}
	if r.Decision > 0 {
		set(audit.AnnotationDecision, w.Texts(lexicon.Decision)[r.Decision-1])
	}
	if r.Reason > 0 {
		set(audit.AnnotationReason, w.Texts(lexicon.Reason)[r.Reason-1])
	}
	if r.Annotations != nil {
		for i, k := range r.Annotations.Keys {
			set(w.Texts(lexicon.AnnotationKeys)[k], r.Annotations.Values[i])
		}
	}
	return e
}

func list(w *lexicon.Lexicon, items lexicon.Field, l *lexicon.List) (all []string) {
	for _, n := range l.Items {
		all = append(all, w.Texts(items)[n])
	}
	return all
}

func extra(w *lexicon.Lexicon, keys, values lexicon.Field, x *lexicon.Extra) (all map[string][]string) {
	for i, k := range x.Keys {
		if all == nil {
			all = map[string][]string{}
		}
		var items []string
		for _, n := range x.Values[i] {
			items = append(items, w.Texts(values)[n])
		}
		all[w.Texts(keys)[k]] = items
	}
	return all
}

// numbered is an event without what has no number.
func numbered(e *audit.Event) *audit.Event {
	n := audit.Event{
		Stage: e.Stage, Level: e.Level, Verb: e.Verb, URI: e.URI, User: e.User, UID: e.UID, AsUser: e.AsUser, AsUID: e.AsUID, Constraint: e.Constraint,
		UserAgent: e.UserAgent, APIGroup: e.APIGroup, APIVersion: e.APIVersion, Resource: e.Resource, Subresource: e.Subresource, Namespace: e.Namespace,
		Name: e.Name, ObjectUID: e.ObjectUID, Status: e.Status, StatusReason: e.StatusReason, ResourceVersion: e.ResourceVersion, Message: e.Message, Source: e.Source, Code: e.Code,
		Groups: e.Groups, AsGroups: e.AsGroups, SourceIPs: e.SourceIPs, Unknown: e.Unknown, Extra: e.Extra, AsExtra: e.AsExtra, Annotations: e.Annotations,
	}
	return &n
}

func TestRowsTellTheEvents(t *testing.T) {
	words := lexicon.New()
	count := 0
	for e := range events.Stream(events.Options{Seed: 5, Count: 20_000}) {
		if count++; count%3 == 0 { // lists and maps that lie elsewhere, and are the same
			e.Groups, e.Extra, e.Annotations = slices.Clone(e.Groups), maps.Clone(e.Extra), maps.Clone(e.Annotations)
		}
		if count%7 == 0 {
			if e.Annotations = maps.Clone(e.Annotations); e.Annotations == nil {
				e.Annotations = map[string]string{}
			}
			e.Annotations["pod-security.kubernetes.io/audit-violations"] = "hostPath"
			e.Extra = map[string][]string{"scopes": {"a", "b"}, "empty": nil}
		}
		if got, want := told(words, words.Row(e)), numbered(e); !reflect.DeepEqual(got, want) {
			t.Fatalf("event %d: got\n%+v\nnot\n%+v", count, got, want)
		}
	}
	for f := lexicon.Stage; f <= lexicon.Reason; f++ {
		seen := map[string]bool{}
		for _, s := range words.Texts(f) {
			if seen[s] {
				t.Errorf("field %d has %q twice", f, s)
			}
			seen[s] = true
		}
	}
}

func TestWhatIsNoUTF8(t *testing.T) {
	words := lexicon.New()
	a := words.Row(&audit.Event{User: "j\xffne"}).Texts[lexicon.User]
	b := words.Row(&audit.Event{User: "j\uFFFDne"}).Texts[lexicon.User]
	if c := words.Row(&audit.Event{User: "j\xffne"}).Texts[lexicon.User]; a != b || a != c || words.Texts(lexicon.User)[a] != "j\uFFFDne" {
		t.Errorf("numbers %d, %d and %d of %q", a, b, c, words.Texts(lexicon.User))
	}
}

func TestLong(t *testing.T) {
	words := lexicon.New()
	long := strings.Repeat("x", 1000)
	for range 3 {
		words.Row(&audit.Event{UserAgent: long, Groups: []string{long}, Name: "short"})
	}
	if words.Long() != 2000 {
		t.Errorf("%d bytes of long texts, not 2000", words.Long())
	}
	defer func() {
		if recover() == nil {
			t.Error("a text that is too long was taken")
		}
	}()
	words.Row(&audit.Event{Name: strings.Repeat("x", lexicon.MaxText+1)})
}

// Only annotations beside those of authorization do, when they lie elsewhere.
func TestRowsHardlyAllocate(t *testing.T) {
	words := lexicon.New()
	var all []*audit.Event
	for e := range events.Stream(events.Options{Seed: 5, Count: 200}) {
		all = append(all, e)
		words.Row(e)
	}
	if n := testing.AllocsPerRun(20, func() {
		for _, e := range all {
			words.Row(e)
		}
	}); n > 20 {
		t.Errorf("200 events that came before allocate %v times", n)
	}
}

func BenchmarkRow(b *testing.B) {
	var all []*audit.Event
	for e := range events.Stream(events.Options{Seed: 1, Count: 35_000}) {
		all = append(all, e)
	}
	b.ReportAllocs()
	for b.Loop() {
		words := lexicon.New()
		for _, e := range all {
			words.Row(e)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(all)), "ns/event")
}
