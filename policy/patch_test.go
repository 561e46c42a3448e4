package policy

import (
	"encoding/json"
	"reflect"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

func TestPatch(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{`{}`, `{}`, ``},
		{`{"a":1}`, `{"a":2}`, `[{"op":"replace","path":"/a","value":2}]`},
		{`{"a":1}`, `{"b":1}`, `[{"op":"remove","path":"/a"},{"op":"add","path":"/b","value":1}]`},
		{`{}`, `{"a":null}`, `[{"op":"add","path":"/a","value":null}]`},
		{`{"a":null}`, `{}`, `[{"op":"remove","path":"/a"}]`},
		{`{"a/b~c":{"":1}}`, `{"a/b~c":{"":2}}`, `[{"op":"replace","path":"/a~1b~0c/","value":2}]`},
		{`{"a":[1,2,3]}`, `{"a":[1]}`, `[{"op":"remove","path":"/a/2"},{"op":"remove","path":"/a/1"}]`},
		{`{"a":[1]}`, `{"a":[0,1,{"x":null}]}`, `[{"op":"replace","path":"/a/0","value":0},{"op":"add","path":"/a/-","value":1},{"op":"add","path":"/a/-","value":{"x":null}}]`},
		{`{"a":{"x":1}}`, `{"a":[1]}`, `[{"op":"replace","path":"/a","value":[1]}]`},
	} {
		if got := string(Patch(object(t, c.before), object(t, c.after))); got != c.want {
			t.Errorf("%s to %s: got %s, want %s", c.before, c.after, got, c.want)
		}
		checkPatch(t, c.before, c.after)
	}
}

func object(t *testing.T, text string) (o map[string]any) {
	t.Helper()
	if err := utiljson.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// The patch, applied as an API server applies what a webhook answers, makes after
// of before.
func checkPatch(t *testing.T, before, after string) {
	t.Helper()
	a, b := object(t, before), object(t, after)
	text := Patch(a, b)
	if text == nil {
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("no patch from %s to %s", before, after)
		}
		return
	}
	patch, err := jsonpatch.DecodePatch(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	done, err := patch.Apply([]byte(before))
	if err != nil {
		t.Fatalf("apply %s to %s: %v", text, before, err)
	}
	if got := object(t, string(done)); !reflect.DeepEqual(got, b) {
		t.Fatalf("%s applied to %s gives %s, want %s", text, before, done, after)
	}
}

func FuzzPatch(f *testing.F) {
	for _, s := range [][2]string{
		{`{"a":[1,{"b":null},"c"]}`, `{"a":[{"b":1},"c"],"d":{}}`},
		{`{"~1":{"/":[[]]}}`, `{"~1":{"/":[[1.5]]},"~":"<&>\u2028"}`},
		{`{"spec":{"containers":[{"image":"a"},{"image":"b"}]}}`, `{"spec":{"containers":[{"image":"b"}],"x":true}}`},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		var canonical [2]string
		for i, text := range []string{before, after} {
			var o map[string]any
			if utiljson.Unmarshal([]byte(text), &o) != nil || o == nil {
				t.Skip()
			}
			data, err := json.Marshal(o) // one of equal keys, and valid UTF-8
			if err != nil {
				t.Skip()
			}
			canonical[i] = string(data)
		}
		checkPatch(t, canonical[0], canonical[1])
	})
}
