package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/gatehouse-io/gatehouse/audit"
)

func sample(i int) *audit.Event {
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC).Add(time.Duration(i) * 1234567 * time.Microsecond)
	return &audit.Event{
		ID: fmt.Sprintf("7c1e3b5a-0000-4000-8000-%012d", i), Stage: audit.StageComplete, Level: "Metadata",
		Time: at, Received: at.Add(-3 * time.Millisecond), Verb: "get",
		URI:  fmt.Sprintf("/api/v1/namespaces/shop-%d/secrets/db-%d", i%7, i%31),
		User: fmt.Sprintf("user-%d@example.com", i%13), UID: "u-1", Groups: []string{"devs", "system:authenticated"},
		Extra:     map[string][]string{"scopes": {"a", "b"}, "authentication.kubernetes.io/credential-id": {"JTI=1"}},
		SourceIPs: []string{"10.0.0.7"}, UserAgent: "kubectl/v1.37.2 (linux/amd64)",
		APIVersion: "v1", Resource: "secrets", Namespace: fmt.Sprintf("shop-%d", i%7), Name: fmt.Sprintf("db-%d", i%31),
		Code: 200, Annotations: map[string]string{audit.AnnotationDecision: "allow", audit.AnnotationReason: `RBAC: allowed by RoleBinding "devs/shop"`},
		Source: "serve",
	}
}

// hostile is an event whose every field is set, to what nobody sends.
func hostile() *audit.Event {
	e := sample(1)
	e.AsUser, e.AsUID, e.AsGroups, e.AsExtra = "root\x1b[2J", "0", []string{"", "system:masters"}, map[string][]string{"": nil, "k": {""}}
	e.Constraint, e.APIGroup, e.Subresource, e.ObjectUID, e.ResourceVersion = "impersonate:user-info", "apps", "scale", "o", "12"
	e.Status, e.StatusReason, e.Message, e.Code = "Failure", "Forbidden", "no\x00pe\n", -1
	e.Request, e.Response, e.Truncated = []byte(`{"kind":"x"}`), []byte{}, true
	e.Unknown = []string{audit.UnknownBody}
	e.Verb, e.Stage = strings.Repeat("v", 300), "NewStage"
	e.Received = time.Time{}
	return e
}

func TestEveryFieldComesBack(t *testing.T) {
	for name, e := range map[string]*audit.Event{"usual": sample(3), "hostile": hostile(), "zero": {}} {
		record, identity := Encode(nil, e)
		got, err := Decode(string(record), true)
		if err != nil {
			t.Fatal(name, err)
		}
		want := *e
		want.Time, want.Received = e.Time.UTC(), e.Received.UTC()
		if want.AsExtra != nil {
			want.AsExtra = map[string][]string{"": nil, "k": {""}}
		}
		if !reflect.DeepEqual(got, &want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, &want)
		}
		if n := Identity(string(record)); n != identity || n == 0 {
			t.Errorf("%s: identity of %d bytes, want %d", name, n, identity)
		}
		g, ok := Look(string(record))
		if !ok || g.ID != e.ID || g.User != e.User || g.Namespace != e.Namespace || g.Code != e.Code || g.Name != e.Name || g.Time != e.Time.UnixMicro() {
			t.Errorf("%s: looks like %+v", name, g)
		}
		if without, err := Decode(string(record), false); err != nil || without.Request != nil || without.Response != nil {
			t.Errorf("%s: bodies are there unasked: %v", name, err)
		}
	}
	// Each field of the type is in the record: one that is added later fails here.
	e := hostile()
	v := reflect.ValueOf(e).Elem()
	for i := range v.NumField() {
		changed := *e
		field := reflect.ValueOf(&changed).Elem().Field(i)
		field.SetZero()
		if reflect.DeepEqual(&changed, e) {
			if v.Type().Field(i).Name != "Received" {
				t.Errorf("the sample leaves %s empty", v.Type().Field(i).Name)
			}
			continue
		}
		a, _ := Encode(nil, e)
		b, _ := Encode(nil, &changed)
		if bytes.Equal(a, b) {
			t.Errorf("%s is not in a record", v.Type().Field(i).Name)
		}
	}
}

func TestInvalidTextBecomesValid(t *testing.T) {
	e := sample(1)
	e.URI, e.UserAgent, e.Request = "/a\xff\xfeb", "\xc3", []byte("{\"a\":\"\xff\"}")
	record, _ := Encode(nil, e)
	got, err := Decode(string(record), true)
	if err != nil || got.URI != "/a\uFFFDb" || got.UserAgent != "\uFFFD" || string(got.Request) != "{\"a\":\"\uFFFD\"}" {
		t.Errorf("%q %q %q %v", got.URI, got.UserAgent, got.Request, err)
	}
}

// TestIdentityIsSame holds identities against audit.Same.
func TestIdentityIsSame(t *testing.T) {
	changes := []func(*audit.Event){
		func(e *audit.Event) {}, func(e *audit.Event) { e.ID += "x" }, func(e *audit.Event) { e.Stage = "Panic" },
		func(e *audit.Event) { e.Time = e.Time.Add(time.Microsecond) }, func(e *audit.Event) { e.Verb = "list" },
		func(e *audit.Event) { e.URI += "?" }, func(e *audit.Event) { e.User = "" }, func(e *audit.Event) { e.Code = 500 },
		func(e *audit.Event) { e.Request = []byte("{}") },
		func(e *audit.Event) { e.ID, e.Stage = "a", "b" }, func(e *audit.Event) { e.ID, e.Stage = "ab", "" },
	}
	for i, change := range changes {
		for j, other := range changes {
			a, b := sample(1), sample(1)
			change(a)
			other(b)
			ra, na := Encode(nil, a)
			rb, nb := Encode(nil, b)
			if got, want := bytes.Equal(ra[:na], rb[:nb]), audit.Same(a, b); got != want {
				t.Errorf("%d, %d: the identities are equal: %v, the events: %v", i, j, got, want)
			}
		}
	}
}

// TestSharedIsTheSame decodes records one after another with what they share.
func TestSharedIsTheSame(t *testing.T) {
	var shared Decoder
	r := rand.New(rand.NewPCG(1, 9))
	for i := range 3 * mostShared {
		e := sample(i % 50)
		e.Groups = append(slices.Clone(e.Groups), fmt.Sprint(r.IntN(2*mostShared)))
		if i%3 == 0 {
			e.Extra = map[string][]string{"a": {fmt.Sprint(r.IntN(9))}, "b": nil}
			e.Annotations = map[string]string{"authorization.k8s.io/decision": "allow", "x": fmt.Sprint(r.IntN(9))}
		}
		record, _ := Encode(nil, e)
		want, err := Decode(string(record), true)
		got, sharedErr := shared.Decode(string(record), true)
		if err != nil || sharedErr != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v %v: got %+v, want %+v", err, sharedErr, got, want)
		}
	}
	if len(shared.lists) > mostShared || len(shared.extras) > mostShared || len(shared.annotations) > mostShared {
		t.Error("what is remembered is not bounded")
	}
}

// TestEncoderIsTheSame encodes events one after another that share lists and maps.
func TestEncoderIsTheSame(t *testing.T) {
	var known Encoder
	r := rand.New(rand.NewPCG(1, 7))
	var lists [][]string
	var extras []map[string][]string
	var notes []map[string]string
	for i := range 40 {
		list := []string{"system:authenticated", fmt.Sprint("g", i), "\xff"}
		lists = append(lists, list, list[:2], list[1:], list[:0], nil)
		extras = append(extras, map[string][]string{"a": list, fmt.Sprint("b", i): nil}, map[string][]string{}, nil)
		notes = append(notes, map[string]string{audit.AnnotationDecision: "allow", "x": fmt.Sprint(i, "\xff")}, map[string]string{}, nil)
	}
	for i := range 3 * mostShared {
		e := sample(i % 50)
		e.Groups, e.AsGroups, e.SourceIPs, e.Unknown = lists[r.IntN(len(lists))], lists[r.IntN(len(lists))], lists[r.IntN(len(lists))], lists[r.IntN(len(lists))]
		e.Extra, e.AsExtra, e.Annotations = extras[r.IntN(len(extras))], extras[r.IntN(len(extras))], notes[r.IntN(len(notes))]
		if i%3 == 0 {
			e.Groups, e.Annotations = []string{fmt.Sprint(i)}, map[string]string{"a": "b"}
		}
		want, wantIdentity := Encode(nil, e)
		got, identity := known.Encode([]byte("before"), e)
		if string(got) != "before"+string(want) || identity != wantIdentity {
			t.Fatalf("event %d: %q, %d, want %q, %d", i, got, identity, want, wantIdentity)
		}
	}
	if len(known.lists) > mostShared || len(known.maps) > mostShared {
		t.Error("what is remembered is not bounded")
	}
}

// written is a file with frames of one record each.
func written(t testing.TB, frames int) (path string, sizes []int64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "a.wal")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	sizes = append(sizes, w.Size())
	for i := range frames {
		if err := w.Write(Events, payload(i)); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, w.Size())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path, sizes
}

func payload(i int) []byte {
	record, _ := Encode(nil, sample(i))
	return append([]byte{byte(len(record)), byte(len(record) >> 8), 0, 0}, record...)
}

// numbers are the samples a file holds.
func numbers(t testing.TB, c *Content) (found []int) {
	t.Helper()
	for _, f := range c.Frames {
		if !Records(f.Payload, func(at, n int) {
			e, err := Decode(string(f.Payload[at:at+n]), true)
			if err != nil {
				t.Fatal(err)
			}
			var i int
			fmt.Sscanf(e.ID[24:], "%d", &i)
			found = append(found, i)
		}) {
			t.Fatal("lengths of records are wrong")
		}
	}
	return found
}

func TestTornTail(t *testing.T) {
	path, sizes := written(t, 4)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) {
		c, err := Read(bytes.NewReader(whole[:cut]), int64(cut), 0)
		if err != nil {
			t.Fatal(cut, err)
		}
		want := 0
		for _, size := range sizes[1:] {
			if int64(cut) >= size {
				want++
			}
		}
		if len(c.Frames) != want || len(c.Damaged) > 0 {
			t.Fatalf("cut at %d: %d frames and %d damaged, want %d", cut, len(c.Frames), len(c.Damaged), want)
		}
		if cut >= int(sizes[0]) && (c.Size != sizes[want] || c.Torn != int64(cut)-sizes[want]) {
			t.Fatalf("cut at %d: ends at %d with %d torn", cut, c.Size, c.Torn)
		}
	}
	// What a crashed file system leaves: the length of a file without its content.
	c, err := Read(bytes.NewReader(append(bytes.Clone(whole), make([]byte, 500)...)), int64(len(whole)+500), 0)
	if err != nil || len(c.Frames) != 4 || len(c.Damaged) != 0 || c.Torn != 500 {
		t.Errorf("%+v %v", c, err)
	}
}

func TestWriterGoesOnBehindATornTail(t *testing.T) {
	path, sizes := written(t, 2)
	if err := os.Truncate(path, sizes[2]-3); err != nil {
		t.Fatal(err)
	}
	c, err := ReadPath(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	w, err := Continue(f, c.Size)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(Events, payload(9)); err != nil {
		t.Fatal(err)
	}
	if c, err = ReadPath(path); err != nil || fmt.Sprint(numbers(t, c)) != "[0 9]" || c.Torn != 0 {
		t.Errorf("%v %v %d torn", numbers(t, c), err, c.Torn)
	}
	// A reader that has read before reads what is new.
	if err := w.Write(Events, payload(10)); err != nil {
		t.Fatal(err)
	}
	more, err := Read(f, w.Size(), c.Size)
	if err != nil || fmt.Sprint(numbers(t, more)) != "[10]" || more.Size != w.Size() {
		t.Errorf("%v %v", numbers(t, more), err)
	}
}

// TestDamageCostsItselfAlone changes every byte of the middle frame.
func TestDamageCostsItselfAlone(t *testing.T) {
	path, sizes := written(t, 3)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := sizes[1]; at < sizes[2]; at++ {
		data := bytes.Clone(whole)
		data[at] ^= 0x40
		c, err := Read(bytes.NewReader(data), int64(len(data)), 0)
		if err != nil {
			t.Fatal(at, err)
		}
		if fmt.Sprint(numbers(t, c)) != "[0 2]" || len(c.Damaged) != 1 || c.Damaged[0].Before != 1 || c.Damaged[0].Offset != sizes[1] ||
			len(c.Damaged[0].Bytes) != int(sizes[2]-sizes[1]) {
			t.Fatalf("byte %d: %v and %d damaged", at, numbers(t, c), len(c.Damaged))
		}
	}
	// One whose sum is wrong at the end is as long as it says: it was written, and is told.
	data := bytes.Clone(whole)
	data[len(data)-1] ^= 1
	if c, err := Read(bytes.NewReader(data), int64(len(data)), 0); err != nil || len(c.Frames) != 2 || len(c.Damaged) != 1 || c.Torn != 0 {
		t.Errorf("%+v %v", c, err)
	}
}

// TestFramesOfZstd holds the form that earlier versions wrote, beside that of today, and
// a frame that says it is larger than any.
// TestCompressedFrames reads what earlier versions wrote.
func TestCompressedFrames(t *testing.T) {
	path, _ := written(t, 1)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	frame := func(kind Kind, body []byte) []byte {
		body = append([]byte{byte(kind)}, body...)
		f := binary.LittleEndian.AppendUint32([]byte(frameMagic), uint32(len(body)))
		return append(binary.LittleEndian.AppendUint32(f, crc32.Checksum(body, castagnoli)), body...)
	}
	data = append(data, frame(Events|packed, binary.AppendUvarint(nil, MaxFrame+1))...)
	data = append(data, frame(Events, z.EncodeAll(payload(7), nil))...)
	data = append(data, frame(Events|packed, s2.Encode(nil, payload(8)))...)
	data = append(data, frame(Events|plain, payload(9))...)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ReadPath(path)
	if err != nil || fmt.Sprint(numbers(t, c)) != "[0 7 8 9]" || len(c.Damaged) != 1 || c.Damaged[0].Before != 1 {
		t.Errorf("%v %v, damaged %v", numbers(t, c), err, c.Damaged)
	}
}

func TestForeignFile(t *testing.T) {
	text := strings.Repeat("this is no log of ours\n", 10)
	if _, err := Read(strings.NewReader(text), int64(len(text)), 0); err == nil {
		t.Error("a foreign file is read")
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range []*audit.Event{sample(1), hostile(), {}} {
		record, _ := Encode(nil, e)
		f.Add(record)
		f.Add(record[:len(record)/2])
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		e, err := Decode(string(record), true)
		var shared Decoder
		for range 2 { // the second time with what it remembers
			same, sharedErr := shared.Decode(string(record), true)
			if (err == nil) != (sharedErr == nil) || err == nil && !reflect.DeepEqual(e, same) {
				t.Fatalf("alone %+v %v, shared %+v %v", e, err, same, sharedErr)
			}
		}
		Identity(string(record))
		if _, ok := Look(string(record)); !ok && err == nil {
			t.Fatal("what is decoded cannot be looked at")
		}
		if err != nil {
			return
		}
		again, _ := Encode(nil, e)
		second, err := Decode(string(again), true)
		if err != nil {
			t.Fatal(err)
		}
		twice, _ := Encode(nil, second)
		if !bytes.Equal(again, twice) {
			t.Fatalf("%x becomes %x", again, twice)
		}
	})
}

func FuzzRead(f *testing.F) {
	path, _ := written(f, 3)
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-5])
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Read(bytes.NewReader(data), int64(len(data)), 0)
		if err != nil {
			return
		}
		for _, frame := range c.Frames {
			Records(frame.Payload, func(at, n int) { _, _ = Decode(string(frame.Payload[at:at+n]), false) })
		}
	})
}

// TestAllocations bounds what the hot path costs.
func TestAllocations(t *testing.T) {
	e := sample(1)
	room := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { Encode(room, e) }); n > 0 {
		t.Errorf("encoding allocates %v times", n)
	}
	record, _ := Encode(nil, e)
	text := string(record)
	if n := testing.AllocsPerRun(100, func() { Look(text) }); n > 0 {
		t.Errorf("looking allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = Decode(text, false) }); n > 12 {
		t.Errorf("decoding allocates %v times", n)
	}
	hostileCount := append(bytes.Clone(record[:Identity(text)]), bytes.Repeat([]byte{0xff}, 9)...)
	if n := testing.AllocsPerRun(100, func() { _, _ = Decode(string(hostileCount), true) }); n > 5 {
		t.Errorf("a hostile record allocates %v times", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	events := make([]*audit.Event, 1000)
	for i := range events {
		events[i] = sample(i)
	}
	room := make([]byte, 0, 4096)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		room, _ = Encode(room[:0], events[i%1000])
	}
	b.ReportMetric(float64(len(room)), "bytes/event")
}

func BenchmarkDecode(b *testing.B) {
	record, _ := Encode(nil, sample(rand.IntN(100)))
	text := string(record)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Decode(text, false)
	}
}

func BenchmarkLook(b *testing.B) {
	record, _ := Encode(nil, sample(1))
	text := string(record)
	for b.Loop() {
		Look(text)
	}
}
