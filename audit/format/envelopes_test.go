package format

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/record"
)

// someEvents are events of every kind, the same for the same seed.
func someEvents(seed uint64, n int) []*audit.Event {
	rng := rand.New(rand.NewPCG(seed, 7))
	pick := func(words ...string) string { return words[rng.IntN(len(words))] }
	var events []*audit.Event
	for i := range n {
		e := &audit.Event{
			ID: fmt.Sprintf("%08x-0000-4000-8000-%012x", rng.Uint32(), i), Stage: pick(audit.StageComplete, audit.StageStarted, audit.StageReceived), Level: "Metadata",
			Time: time.Date(2026, 10, 1, 12, 0, i, rng.IntN(1e6)*1000, time.UTC), Verb: pick("get", "create", "list", "patch"), URI: "/api/v1/pods?a=" + pick("1", "é", `"`, "\u2028", "<&>"),
			User: pick("jane", "system:serviceaccount:a:b", "[", "{\"kind\":\"Event\"}"), Groups: []string{pick("a", "b")}, SourceIPs: []string{"10.0.0.1"}, UserAgent: pick("kubectl", "a\nb", "[Truncated...] not"),
			APIVersion: "v1", Resource: "pods", Namespace: "n", Name: pick("p", "q"), Code: int32(200 + rng.IntN(300)),
			Annotations: map[string]string{audit.AnnotationDecision: pick("allow", "forbid"), audit.AnnotationReason: pick("", "RBAC: x", `"quoted"`)},
		}
		e.Received = e.Time.Add(-time.Duration(rng.IntN(1e6)) * time.Microsecond)
		if rng.IntN(3) == 0 {
			e.Level, e.Request, e.Response = "RequestResponse", []byte(`{"kind":"Pod","items":[{"a":"}\"{["}],"x":1.50}`), []byte(`{"kind":"Status","code":200,"log":"x","message":"y"}`)
		}
		if rng.IntN(4) == 0 {
			e.AsUser, e.AsGroups = "bob", []string{"ops"}
		}
		events = append(events, e)
	}
	return events
}

// line is an event as a server prints it.
func lineOf(e *audit.Event) string {
	bare := *e
	bare.Source = ""
	return string(record.AppendJSON(nil, &bare))
}

func quoted(s string) string { b, _ := json.Marshal(s); return string(b) }

func pretty(s string) string {
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(s), "", "  "); err != nil {
		panic(err)
	}
	return out.String()
}

func join(events []*audit.Event, each func(string) string, with string) string {
	var parts []string
	for _, e := range events {
		parts = append(parts, each(lineOf(e)))
	}
	return strings.Join(parts, with)
}

func same(s string) string { return s }

// columnsOf is an event as a row of AKSAudit. texts says that its JSON stands in texts.
func columnsOf(line string, texts bool) string {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &members); err != nil {
		panic(err)
	}
	row := map[string]any{"TimeGenerated": "2026-10-01T12:00:00Z", "PodName": "kube-apiserver-1", "Type": "AKSAudit", "_ResourceId": "/x"}
	for column, member := range columns {
		if value, ok := members[member]; ok {
			if row[column] = value; texts && dynamic[column] {
				row[column] = string(value)
			}
		}
	}
	out, err := json.Marshal(row)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// envelopes are all forms a log may have, and the source its events get.
var envelopes = []struct {
	name, source string
	wrap         func([]*audit.Event) string
}{
	{"lines", Raw, func(e []*audit.Event) string { return join(e, same, "\n") + "\n" }},
	{"lines of Windows", Raw, func(e []*audit.Event) string { return "\ufeff" + join(e, same, "\r\n") }},
	{"lines with empty ones", Raw, func(e []*audit.Event) string { return "\n\n" + join(e, same, "\n \n\t\n") + "\n\n" }},
	{"concatenated", Raw, func(e []*audit.Event) string { return join(e, same, "") }},
	{"printed over lines", Raw, func(e []*audit.Event) string { return join(e, pretty, "\n") }},
	{"list", Raw, func(e []*audit.Event) string { return "[" + join(e, same, ",") + "]" }},
	{"list over lines", Raw, func(e []*audit.Event) string { return pretty("[" + join(e, same, ",") + "]") }},
	{"list of lines", Raw, func(e []*audit.Event) string { return "[\n" + join(e, same, ",\n") + "\n]\n" }},
	{"EventList", Raw, func(e []*audit.Event) string {
		return `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + strings.ReplaceAll(join(e, same, ","), `{"kind":"Event","apiVersion":"audit.k8s.io/v1",`, "{") + `]}`
	}},
	{"EventList over lines", Raw, func(e []*audit.Event) string {
		return pretty(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + join(e, same, ",") + `]}`)
	}},
	{"log agent", Raw, func(e []*audit.Event) string {
		return join(e, func(s string) string { return `{"log":` + quoted(s) + `,"stream":"stdout"}` }, "\n")
	}},
	{"CloudWatch subscription", EKS, func(e []*audit.Event) string {
		return `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"/aws/eks/c/cluster","logStream":"kube-apiserver-audit-1","logEvents":[` + join(e, func(s string) string { return `{"id":"1","timestamp":1,"message":` + quoted(s) + `}` }, ",") + `]}`
	}},
	{"filter-log-events", EKS, func(e []*audit.Event) string {
		return pretty(`{"events":[` + join(e, func(s string) string {
			return `{"logStreamName":"kube-apiserver-audit-1","timestamp":1,"message":` + quoted(s) + `,"ingestionTime":2,"eventId":"3"}`
		}, ",") + `]}`)
	}},
	{"get-log-events in a line", EKS, func(e []*audit.Event) string {
		return `{"events":[` + join(e, func(s string) string { return `{"timestamp":1,"message":` + quoted(s) + `}` }, ",") + `],"nextForwardToken":"x"}`
	}},
	{"messages", EKS, func(e []*audit.Event) string {
		return join(e, func(s string) string { return `{"timestamp":1,"message":` + quoted(s) + `}` }, "\n")
	}},
	{"Insights export", EKS, func(e []*audit.Event) string {
		return join(e, func(s string) string { return `{"@timestamp":"x","@message":` + quoted(s) + `}` }, "\n")
	}},
	{"Insights results", EKS, func(e []*audit.Event) string {
		return `{"status":"Complete","results":[` + join(e, func(s string) string {
			return `[{"field":"@timestamp","value":"x"},{"field":"@message","value":` + quoted(s) + `}]`
		}, ",") + `]}`
	}},
	{"export to S3", EKS, func(e []*audit.Event) string {
		return join(e, func(s string) string { return "2026-10-01T12:00:00.000Z " + s }, "\n")
	}},
	{"aws logs tail", EKS, func(e []*audit.Event) string {
		return join(e, func(s string) string { return "2026-10-01T12:00:00.123000+00:00 kube-apiserver-audit-1 " + s }, "\n")
	}},
	{"split messages", EKS, func(e []*audit.Event) string {
		return join(e, func(s string) string {
			a, b := len(s)/3, 2*len(s)/3
			var parts []string
			for _, part := range []string{strings.ToValidUTF8(s[:a], ""), s[a:b], s[b:]} {
				parts = append(parts, `{"logStreamName":"s","message":`+quoted(part)+`}`)
			}
			return strings.Join(parts, "\n")
		}, "\n")
	}},
	{"properties.log, a text", AKS, func(e []*audit.Event) string {
		return join(e, func(s string) string {
			return `{"category":"kube-audit","operationName":"o","properties":{"log":` + quoted(s+"\n") + `,"stream":"stdout","pod":"p"},"time":"2026-10-01T12:00:00Z"}`
		}, "\n")
	}},
	{"properties.log, an object", AKS, func(e []*audit.Event) string {
		return join(e, func(s string) string { return `{"category":"kube-audit-admin","properties":{"log":` + s + `}}` }, "\n")
	}},
	{"records", AKS, func(e []*audit.Event) string {
		return `{"records":[` + join(e, func(s string) string { return `{"category":"kube-audit","properties":{"log":` + quoted(s) + `}}` }, ",") + `]}`
	}},
	{"AzureDiagnostics", AKS, func(e []*audit.Event) string {
		return join(e, func(s string) string { return `{"Category":"kube-audit","log_s":` + quoted(s) + `}` }, "\n")
	}},
	{"AKSAudit", AKS, func(e []*audit.Event) string {
		return join(e, func(s string) string { return columnsOf(s, false) }, "\n")
	}},
	{"AKSAudit with texts", AKS, func(e []*audit.Event) string {
		return "[" + join(e, func(s string) string { return columnsOf(s, true) }, ",\n") + "]"
	}},
	{"query with columns", AKS, func(e []*audit.Event) string {
		var names []string
		for column := range columns {
			names = append(names, column)
		}
		slices.Sort(names)
		head := join2(names, func(n string) string { return `{"name":` + quoted(n) + `,"type":"dynamic"}` })
		return `{"tables":[{"name":"PrimaryResult","columns":[` + head + `],"rows":[` + join(e, func(s string) string {
			var row map[string]json.RawMessage
			if err := json.Unmarshal([]byte(columnsOf(s, true)), &row); err != nil {
				panic(err)
			}
			return "[" + join2(names, func(n string) string {
				if v, ok := row[n]; ok {
					return string(v)
				}
				return "null"
			}) + "]"
		}, ",") + `]}]}`
	}},
}

func join2(list []string, each func(string) string) string {
	var out []string
	for _, s := range list {
		out = append(out, each(s))
	}
	return strings.Join(out, ",")
}

func read(t testing.TB, text string, o Options) (events []*audit.Event, problems []Problem) {
	t.Helper()
	for e, p := range Read(strings.NewReader(text), "f", o) {
		switch {
		case (e == nil) == (p == nil):
			t.Fatalf("yields %v and %v", e, p)
		case p != nil:
			c := *p
			c.Raw = bytes.Clone(p.Raw)
			problems = append(problems, c)
		default:
			events = append(events, e)
		}
	}
	if o.Reuse = true; events != nil {
		sameReused(t, text, o, events)
	}
	return events, problems
}

// sameReused fails unless events come the same where each is gone when the next comes.
func sameReused(t testing.TB, text string, o Options, want []*audit.Event) {
	t.Helper()
	n := 0
	for e, p := range Read(strings.NewReader(text), "f", o) {
		if p != nil {
			continue
		}
		if n >= len(want) || !reflect.DeepEqual(e, want[n]) {
			t.Fatalf("event %d is %+v where memory is used again", n, e)
		}
		n++
	}
	if n != len(want) {
		t.Fatalf("%d events where memory is used again, not %d", n, len(want))
	}
}

func compress(t *testing.T, members ...string) (gz, zst string) {
	t.Helper()
	var a, b bytes.Buffer
	for _, m := range members {
		g := gzip.NewWriter(&a)
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range []interface {
			Write([]byte) (int, error)
			Close() error
		}{g, z} {
			if _, err := w.Write([]byte(m)); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return a.String(), b.String()
}

func TestEveryEnvelopeGivesTheSameEvents(t *testing.T) {
	for _, envelope := range envelopes {
		t.Run(envelope.name, func(t *testing.T) {
			for seed := range uint64(20) {
				want := someEvents(seed, 1+int(seed%7))
				for _, e := range want {
					e.Source = envelope.source
				}
				text := envelope.wrap(want)
				gz, zst := compress(t, text[:len(text)/2], text[len(text)/2:])
				for how, text := range map[string]string{"plain": text, "gzip": gz, "zstd": zst} {
					for _, format := range []string{Auto, envelope.source} {
						got, problems := read(t, text, Options{Format: format})
						if len(problems) > 0 || !reflect.DeepEqual(got, want) {
							for i := range got {
								if i < len(want) && !reflect.DeepEqual(got[i], want[i]) {
									t.Errorf("got  %+v\nwant %+v", got[i], want[i])
								}
							}
							t.Fatalf("seed %d, %s: %d events of %d, problems %v, of\n%.600s", seed, how, len(got), len(want), problems, envelope.wrap(want))
						}
					}
				}
			}
		})
	}
}

func TestOwnExport(t *testing.T) {
	want := someEvents(1, 5)
	var out []byte
	for i, e := range want {
		e.Source = []string{"gke", "aks", "serve", "openshift", "raw"}[i]
		if i < 2 {
			e.Unknown, e.Truncated = []string{audit.UnknownGroups}, true
		}
		out = append(record.AppendJSON(out, e), '\n')
	}
	for _, format := range []string{Auto, Gatehouse} {
		if got, problems := read(t, string(out), Options{Format: format}); len(problems) > 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d events, %v", format, len(got), problems)
		}
	}
}

// A line that is broken takes no other with it, wherever it is cut.
func TestBrokenLinesTakeNoOtherWithThem(t *testing.T) {
	events := someEvents(3, 3)
	lines := []string{lineOf(events[0]), lineOf(events[1]), lineOf(events[2])}
	for _, form := range []func(string) string{same, pretty, func(s string) string { return `{"records":[{"properties":{"log":` + s + `}},{"properties":{"log":` + s }} {
		whole := form(lines[1])
		if json.Valid([]byte(whole)) {
			whole = strings.TrimSpace(whole)
		}
		for cut := 1; cut < len(whole); cut++ {
			broken := whole[:cut]
			if strings.TrimSpace(broken) == "" {
				continue
			}
			got, problems := read(t, lines[0]+"\n"+broken+"\n"+lines[2]+"\n", Options{})
			if len(got) != 2 || got[0].ID != events[0].ID || got[1].ID != events[2].ID || len(problems) == 0 && broken != "[" || len(problems) > 0 && problems[0].Line != 2 {
				t.Fatalf("cut after %d: %d events, %v, of %q", cut, len(got), problems, broken)
			}
		}
	}
}

func TestProblems(t *testing.T) {
	good := lineOf(someEvents(1, 1)[0])
	for _, c := range []struct{ name, text, reason string }{
		{"cut by CloudWatch", `{"message":` + quoted(good[:100]+"[Truncated...]") + `}`, Truncated},
		{"cut in a text", good[:200], Truncated},
		{"cut message", `{"message":` + quoted(good[:200]) + `}`, Truncated},
		{"cut by AKS", `{"category":"kube-audit","properties":{"log":` + quoted(good[:150]) + `}}`, Truncated},
		{"another log of AKS", `{"category":"kube-scheduler","properties":{"log":"I1001 x"}}`, Foreign},
		{"another log of AKS, without a log", `{"category":"guard","x":1}`, Foreign},
		{"another log of EKS", `{"message":"I1001 12:00:00 x"}`, Foreign},
		{"another line of EKS", `2026-10-01T12:00:00.000Z I1001 12:00:00 x`, Foreign},
		{"JSON of another log of EKS", `{"message":"{\"level\":\"info\"}"}`, Foreign},
		{"control message", `{"messageType":"CONTROL_MESSAGE","logEvents":5}`, Foreign},
		{"another service of Google", `{"protoPayload":{"serviceName":"container.googleapis.com","methodName":"x"}}`, Foreign},
		{"GKE without a time", `{"protoPayload":{"serviceName":"k8s.io","methodName":"io.k8s.get"},"insertId":"x"}`, Broken},
		{"text", `hello`, Broken},
		{"another object", `{"kind":"Pod"}`, NoEvent},
		{"unknown object", `{"a":1}`, NoEvent},
		{"number in a list", `[5]`, NoEvent},
		{"event with a wrong type", strings.Replace(good, `"verb":"`, `"verb":5,"x":"`, 1), Broken},
		{"bad UTF-8 outside of texts", "\xff\xfe", Broken},
	} {
		got, problems := read(t, c.text+"\n"+good+"\n", Options{})
		if len(got) != 1 || len(problems) != 1 || problems[0].Reason != c.reason || problems[0].Line != 1 || problems[0].File != "f" {
			t.Errorf("%s: %d events, %v, want %s", c.name, len(got), problems, c.reason)
		}
	}
	if got, problems := read(t, good, Options{Format: GKE}); len(got) != 0 || len(problems) != 1 || problems[0].Reason != NoEvent {
		t.Errorf("another format: %v, %v", got, problems)
	}
	many := good + "\n\n" + `{"a":1}` + "\n" + good
	if _, problems := read(t, many, Options{}); len(problems) != 1 || problems[0].Line != 3 || problems[0].Offset != int64(len(good))+2 {
		t.Errorf("place: %+v", problems)
	}
	list := "[\n" + good + ",\n" + `{"a":1}` + "]"
	if _, problems := read(t, list, Options{}); len(problems) != 1 || problems[0].Line != 3 {
		t.Errorf("place in a list: %+v", problems)
	}
}

func TestDamagedCompression(t *testing.T) {
	events := someEvents(2, 200)
	gz, zst := compress(t, join(events, same, "\n"))
	for name, data := range map[string]string{"gzip": gz, "zstd": zst} {
		got, problems := read(t, data[:len(data)*3/4], Options{})
		if len(problems) == 0 || problems[len(problems)-1].Reason != Damaged {
			t.Errorf("%s: %d events, %v", name, len(got), problems)
		}
	}
	if _, problems := read(t, "\x1f\x8bxxxxxxxxxxxxxxx", Options{}); len(problems) != 1 || problems[0].Reason != Damaged {
		t.Errorf("%v", problems)
	}
}

func TestLongLines(t *testing.T) {
	e := someEvents(1, 1)[0]
	e.Request = []byte(`"` + strings.Repeat("x", 10<<20) + `"`)
	small := someEvents(2, 1)[0]
	text := lineOf(small) + "\n" + lineOf(e) + "\n" + lineOf(small)
	if got, problems := read(t, text, Options{}); len(got) != 3 || len(problems) != 0 || len(got[1].Request) != len(e.Request) {
		t.Errorf("%d events, %v", len(got), problems)
	}
	got, problems := read(t, text, Options{MaxLine: 1 << 20})
	if len(got) != 2 || len(problems) != 1 || problems[0].Reason != TooLong || problems[0].Line != 2 || len(problems[0].Raw) > 1<<20 {
		t.Errorf("%d events, %d problems", len(got), len(problems))
	}
	// Over many lines too.
	spread := pretty(strings.Replace(lineOf(small), `"objectRef"`, `"x":[`+strings.Repeat("1,", 1<<19)+`1],"objectRef"`, 1))
	if got, problems := read(t, spread+"\n"+lineOf(small), Options{MaxLine: 1 << 20}); len(got) != 1 || len(problems) == 0 {
		t.Errorf("%d events, %d problems", len(got), len(problems))
	}
}

// What is kept aside of a line that cannot be read holds nothing of it but words of a
// closed set.
func TestAsideHoldsNoSecret(t *testing.T) {
	line := `{"kind":"Event","auditID":"0c5b7b1e-8a0a-4d3e-9c52-b7d0a1f0c9ab","stage":"ResponseComplete","verb":"create","requestURI":"/x?token=hunter2","requestObject":{"data":{"a":"hunter2`
	for _, text := range []string{line, `{"properties":{"log":` + quoted(line) + `}}`, `{"auditID":"hunter2","verb":"hunter2","stage":"hunter2","time":"hunter2"`} {
		_, problems := read(t, text, Options{})
		if len(problems) != 1 {
			t.Fatalf("%v", problems)
		}
		aside := problems[0].Aside()
		out, err := json.Marshal(aside)
		if err != nil || strings.Contains(string(out), "hunter2") || strings.Contains(problems[0].Error(), "hunter2") || len(aside.SHA256) != 64 || aside.Bytes == 0 {
			t.Errorf("%s, %v", out, err)
		}
		if strings.Contains(text, "0c5b") && (aside.AuditID != "0c5b7b1e-8a0a-4d3e-9c52-b7d0a1f0c9ab" || aside.Verb != "create" || aside.Stage != "ResponseComplete") {
			t.Errorf("%s", out)
		}
	}
}

func FuzzRead(f *testing.F) {
	events := someEvents(5, 2)
	for _, envelope := range envelopes {
		f.Add([]byte(envelope.wrap(events)))
	}
	f.Add([]byte(gkeEntry))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Nothing of it is left out in silence: what has a letter gives something.
		found := 0
		for e, p := range Read(bytes.NewReader(data), "f", Options{MaxLine: 1 << 16}) {
			if found++; e != nil && (e.ID == "" || e.Stage == "" || e.Time.IsZero()) {
				t.Fatalf("an event without an identity: %+v", e)
			}
			if p != nil {
				p.Aside()
			}
		}
		if found == 0 && len(bytes.Trim(data, " \t\r\n[]{},\xef\xbb\xbf")) > 0 && !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) && !bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}) && bytes.IndexByte(data, '[') < 0 {
			t.Fatalf("nothing is said of %q", data)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	text := join(someEvents(1, 1000), same, "\n")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for e, p := range Read(strings.NewReader(text), "f", Options{}) {
			if p != nil || e == nil {
				b.Fatal(p)
			}
			n++
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
