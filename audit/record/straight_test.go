package record

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit"
)

// usual is an event of the shape that servers print, with every member that is read
// without a tree.
var usual = strings.Replace(whole, `"authenticationMetadata":{"impersonationConstraint":"impersonate:user-info"},`, "", 1)

// sameAsTree fails unless a line is read as it is with a tree alone: the same event or
// error, with as much left out; also when it is read again, and into an event that held
// another.
func sameAsTree(t *testing.T, data []byte) {
	t.Helper()
	tree := Decoder{Source: "raw"}
	want, wantErr := tree.tree(data)
	d := Decoder{Source: "raw"}
	other := new(audit.Event)
	if err := d.Into(other, []byte(usual)); err != nil {
		t.Fatal(err)
	}
	already := d.Omitted
	for n := int64(1); n <= 3; n++ {
		got, err := new(audit.Event), error(nil)
		if n < 3 {
			got, err = d.Event(data)
		} else if err = d.Into(other, data); err == nil {
			got = other
		}
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("%q: %v, and with a tree %v", data, err, wantErr)
		}
		if err != nil {
			continue
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q\nis          %+v\nwith a tree %+v", data, got, want)
		}
		if left := d.Omitted - already; left != n*tree.Omitted {
			t.Fatalf("%q: %d members left out in %d readings, and with a tree %d in one", data, left, n, tree.Omitted)
		}
	}
}

// What servers print must go straight, or the tests above would compare a tree with a tree.
func TestStraight(t *testing.T) {
	escaped := strings.NewReplacer(`pods?limit=5`, `pods?a=1\u0026b=\u003c2`, `"jane"`, `"j\u00e4ne\n"`, `"kubectl`, `"é`).Replace(usual)
	spaced := strings.NewReplacer(`,"`, " ,\n\t\"", `":`, "\" : ", `{`, `{ `, `}`, ` }`).Replace(usual)
	for _, line := range []string{
		usual, escaped, spaced, strings.Replace(usual, `"no \"way\""`, `""`, 1),
		`{"auditID":"a","stage":"s","stageTimestamp":"2026-10-01T12:00:00.000000Z"}`,
		`{"auditID":"a","stage":"s","requestReceivedTimestamp":"2026-10-01T12:00:00+02:00","objectRef":{},"responseStatus":{},"annotations":{},"user":{},"sourceIPs":[]}`,
	} {
		d := Decoder{}
		if _, ok := d.straight(new(audit.Event), []byte(line), nil); !ok {
			t.Errorf("%s is not read straight", line)
		}
		sameAsTree(t, []byte(line))
	}
	for _, line := range lines() {
		sameAsTree(t, []byte(line))
	}
}

// What one event says is not in the next that is decoded into its place.
func TestIntoLeavesNothing(t *testing.T) {
	const bare = `{"auditID":"a","stage":"s","stageTimestamp":"2026-10-01T12:00:00.000000Z"}`
	var d Decoder
	e := new(audit.Event)
	for _, line := range []string{usual, bare, whole, bare, `{`, bare} {
		_ = d.Into(e, []byte(line))
	}
	want, err := new(Decoder).Event([]byte(bare))
	if err != nil || !reflect.DeepEqual(e, want) {
		t.Errorf("%+v, want %+v, %v", e, want, err)
	}
}

func FuzzStraight(f *testing.F) {
	for _, line := range lines() {
		if len(line) < 4096 {
			f.Add([]byte(line))
		}
	}
	f.Fuzz(sameAsTree)
}
