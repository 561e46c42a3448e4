package jsondoc

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// same fails unless a document is accepted as encoding/json accepts it, says the same,
// and comes out as it went in.
func same(t *testing.T, data []byte) {
	t.Helper()
	var d Document
	err := d.Parse(data)
	at := Space(data, 0)
	end, ok := Skip(data, at, 0)
	if ok = ok && Space(data, end) == len(data); ok != (err == nil) {
		t.Fatalf("%.200q: Parse says %v, and Skip %v", data, err, ok)
	}
	if valid := json.Valid(data); (err == nil) != valid {
		t.Fatalf("%.200q: %v, and encoding/json says valid=%v", data, err, valid)
	}
	if err != nil {
		if len(data) < 1000 && strings.Contains(err.Error(), "marker") {
			t.Fatalf("the error quotes the document: %v", err)
		}
		return
	}
	if got := d.Output(); !bytes.Equal(got, data) {
		t.Fatalf("%q comes out as %q", data, got)
	}
	var want any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&want); err != nil {
		t.Fatal(err)
	}
	wantJSON, _ := json.Marshal(want)
	gotJSON, _ := json.Marshal(tree(&d, 0))
	if !bytes.Equal(gotJSON, wantJSON) {
		t.Fatalf("%q is read as %s, want %s", data, gotJSON, wantJSON)
	}
	if d.Kind(0) == String {
		again := AppendString(nil, d.Text(0))
		var text string
		if err := json.Unmarshal(again, &text); err != nil || text != want {
			t.Fatalf("%q printed again is %q: %v", data, again, err)
		}
	}
}

// tree is a value as encoding/json would decode it: of members that stand twice, the
// last one.
func tree(d *Document, n Node) any {
	switch d.Kind(n) {
	case Object:
		m := map[string]any{}
		for i := d.Child(n); i != 0; i = d.Next(i) {
			key := string(d.Key(i))
			m[key] = tree(d, i)
		}
		return m
	case Array:
		list := make([]any, 0, d.Len(n))
		for i := d.Child(n); i != 0; i = d.Next(i) {
			list = append(list, tree(d, i))
		}
		return list
	case String:
		return string(d.Text(n))
	case Number:
		return json.Number(d.Raw(n))
	case Bool:
		return d.Raw(n)[0] == 't'
	}
	return nil
}

var documents = []string{
	`{}`, `[]`, `null`, `true`, `false`, `0`, `-0`, `-1.5e+10`, `1E-2`, `""`, ` { "a" : [ 1 , {"b":null} ] } `,
	`{"a":1,"a":2}`, `"\u00e9\ud83d\ude00\ud800x\udc00\ud800\u0041"`, "\"\xff\xfe\"", "\"\xe2\x80\xa8\"", `"\"\\\/\b\f\n\r\t"`,
	`{"k\u0069nd":"Secret"}`, "{\"\xff\":1}", `"\ud800\ud800\udc00"`, `"a\u0000b"`,
	``, ` `, `{`, `[`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `[1,`, `[1,]`, `{a:1}`, `{"a" 1}`, `{"a":1 "b":2}`, `[1 2]`,
	`01`, `-`, `1.`, `1e`, `1e+`, `.5`, `+1`, `tru`, `nul`, `trux`, `"a`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"\n\"", `"\`, `{} {}`, `NaN`, "\x00", "\ufeff{}",
}

func TestSameAsEncodingJSON(t *testing.T) {
	for _, text := range documents {
		same(t, []byte(text))
	}
	for _, depth := range []int{9999, 10000, 10001} {
		same(t, []byte(strings.Repeat("[", depth)+strings.Repeat("]", depth)))
		same(t, []byte(strings.Repeat(`{"a":`, depth)+"1"+strings.Repeat("}", depth)))
	}
}

func FuzzSameAsEncodingJSON(f *testing.F) {
	for _, text := range documents {
		f.Add([]byte(text))
	}
	f.Fuzz(same)
}

func TestReplace(t *testing.T) {
	var d Document
	if err := d.Parse([]byte(`{"a": {"b":1}, "c":[2, 3],"d":"x"}`)); err != nil {
		t.Fatal(err)
	}
	d.Replace(d.Get(0, "d"), []byte(`"y"`))
	d.Replace(d.Get(0, "a"), []byte(`null`))
	d.Replace(d.Next(d.Child(d.Get(0, "c"))), []byte(`33`))
	d.ReplaceKey(d.Get(0, "c"), []byte(`"e"`))
	if got, want := string(d.Output()), `{"a": null, "e":[2, 33],"d":"y"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if d.Get(0, "none") != 0 || d.Get(d.Get(0, "d"), "x") != 0 || d.Text(d.Get(0, "a")) != nil {
		t.Error("what is not there is found")
	}
}

func TestShort(t *testing.T) {
	var d Document
	for _, text := range []string{`{"a":"b`, `{"a"`, `[1,`, `tr`} {
		err, ok := d.Parse([]byte(text)).(*SyntaxError)
		if !ok || !err.Short {
			t.Errorf("%q: %v is not known as cut short", text, err)
		}
	}
	if err, ok := d.Parse([]byte(`{"a" 1}`)).(*SyntaxError); !ok || err.Short || err.Offset != 5 {
		t.Errorf("%v", err)
	}
	if end, err := d.ParsePrefix([]byte(` {"a":1}  {"b"`)); err != nil || end != 10 {
		t.Errorf("prefix ends at %d: %v", end, err)
	}
}
