package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/gatehouse-io/gatehouse/audit"
)

const whole = `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"5f2c","stage":"ResponseComplete",` +
	`"requestURI":"/api/v1/namespaces/shop/pods?limit=5","verb":"create","user":{"username":"jane","uid":"u1","groups":["dev","system:authenticated"],"extra":{"scopes":["a","b"]}},` +
	`"impersonatedUser":{"username":"bob","groups":["ops"]},"authenticationMetadata":{"impersonationConstraint":"impersonate:user-info"},"sourceIPs":["10.0.0.1","10.0.0.2"],"userAgent":"kubectl/v1.37","objectRef":{"resource":"pods","namespace":"shop",` +
	`"name":"web","uid":"o1","apiGroup":"g","apiVersion":"v1","resourceVersion":"7","subresource":"status"},"responseStatus":{"metadata":{},"status":"Failure","message":"no \"way\"","reason":"Forbidden","details":{"name":"web"},"code":403},` +
	`"requestObject":{"kind":"Pod","spec":{"x":[1,2.50,"\u00e9"]}},"responseObject":{"kind":"Status"},"requestReceivedTimestamp":"2026-10-01T12:00:00.000001Z","stageTimestamp":"2026-10-01T12:00:00.250000Z",` +
	`"annotations":{"authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":""}}`

// upstream is what upstream's own type says of a line.
func upstream(data []byte) (*audit.Event, error) {
	var v1 auditv1.Event
	if err := json.Unmarshal(data, &v1); err != nil {
		return nil, err
	}
	e := &audit.Event{
		ID: string(v1.AuditID), Stage: string(v1.Stage), Level: string(v1.Level), Verb: v1.Verb, URI: v1.RequestURI,
		User: v1.User.Username, UID: v1.User.UID, Groups: v1.User.Groups, SourceIPs: v1.SourceIPs, UserAgent: v1.UserAgent, Annotations: v1.Annotations,
		Time: micro(v1.StageTimestamp.Time), Received: micro(v1.RequestReceivedTimestamp.Time),
	}
	extra := func(m map[string]authenticationv1.ExtraValue) map[string][]string {
		if m == nil {
			return nil
		}
		out := map[string][]string{}
		for k, v := range m {
			out[k] = v
		}
		return out
	}
	e.Extra = extra(v1.User.Extra)
	if u := v1.ImpersonatedUser; u != nil {
		e.AsUser, e.AsUID, e.AsGroups, e.AsExtra = u.Username, u.UID, u.Groups, extra(u.Extra)
	}
	if m := v1.AuthenticationMetadata; m != nil {
		e.Constraint = m.ImpersonationConstraint
	}
	if o := v1.ObjectRef; o != nil {
		e.APIGroup, e.APIVersion, e.Resource, e.Subresource = o.APIGroup, o.APIVersion, o.Resource, o.Subresource
		e.Namespace, e.Name, e.ObjectUID, e.ResourceVersion = o.Namespace, o.Name, string(o.UID), o.ResourceVersion
	}
	if s := v1.ResponseStatus; s != nil {
		e.Code, e.Status, e.StatusReason, e.Message = s.Code, s.Status, string(s.Reason), s.Message
	}
	if o := v1.RequestObject; o != nil {
		e.Request = Body(o.Raw)
	}
	if o := v1.ResponseObject; o != nil {
		e.Response = Body(o.Raw)
	}
	if e.Time.IsZero() {
		e.Time = e.Received
	}
	lift(e.Annotations).onto(e)
	return e, nil
}

// sameAsUpstream fails unless a line says the same as upstream's type does, or is
// refused. What upstream refuses is refused too, but for what an Event does not keep.
func sameAsUpstream(t *testing.T, data []byte) {
	t.Helper()
	sameAsTree(t, data)
	var d Decoder
	got, err := d.Event(data)
	want, upstreamErr := upstream(data)
	switch {
	case err != nil && got != nil:
		t.Fatalf("%q: both an event and %v", data, err)
	case err != nil:
		return
	case upstreamErr != nil:
		if d.Omitted == 0 && !strings.Contains(upstreamErr.Error(), "parsing time") {
			t.Fatalf("%q is decoded, and upstream says %v", data, upstreamErr)
		}
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%q\nis  %+v\nnot %+v", data, got, want)
	}
	again, err := d.Event(data) // with what the decoder remembers now
	if err != nil || !reflect.DeepEqual(again, got) {
		t.Fatalf("decoded again: %+v, %v, and before %+v", again, err, got)
	}
	printed := AppendJSON(nil, got)
	back, err := d.Event(printed)
	if err != nil || !reflect.DeepEqual(normalised(back), normalised(got)) {
		t.Fatalf("%s\nprinted and decoded is %+v, %v, not\n%+v", printed, back, err, got)
	}
	if _, err := upstream(printed); err != nil {
		t.Fatalf("upstream does not read %s: %v", printed, err)
	}
}

// normalised is an event without the difference of empty and absent, which the type
// does not keep everywhere.
func normalised(e *audit.Event) *audit.Event {
	c := *e
	if len(c.SourceIPs) == 0 {
		c.SourceIPs = nil
	}
	if len(c.Annotations) == 0 {
		c.Annotations = nil
	}
	return &c
}

// lines are events and what is almost one.
func lines() []string {
	all := []string{whole, usual, `{}`, `[]`, `null`, `1`, ``, `{"auditID":"a","stage":"s","stageTimestamp":"2026-10-01T12:00:00.000000Z"}`}
	minimal := `{"kind":"Event","apiVersion":"audit.k8s.io/v1beta1","auditID":"a","stage":"s","stageTimestamp":"2026-10-01T12:00:00.000000Z"%s}`
	for _, more := range []string{
		``, `,"level":1`, `,"level":null`, `,"verb":{}`, `,"Verb":"x"`, `,"verb":"a","verb":"b"`, `,"v\u0065rb":"a"`, `,"user":null`, `,"user":[]`, `,"user":{"username":1}`, `,"user":{"username":"a","Username":"b"}`, `,"user":{"groups":"a"}`, `,"user":{"groups":[1]}`,
		`,"user":{"groups":[null,"a"]}`, `,"user":{"groups":[]}`, `,"user":{"extra":{"a":null,"b":[]}}`, `,"user":{"extra":{"a":[],"a":[]}}`, `,"user":{"extra":[]}`, `,"user":{"extra":{"a":"b"}}`, `,"user":{"extra":{}}`, `,"impersonatedUser":{}`, `,"impersonatedUser":{"username":"x"}`, `,"sourceIPs":"x"`, `,"sourceIPs":[]`, `,"sourceIPs":null`,
		`,"objectRef":{"resource":5}`, `,"objectRef":null`, `,"objectRef":{"namespace":"n"}`, `,"responseStatus":{"code":1e2}`, `,"responseStatus":{"code":99999999999}`, `,"responseStatus":{"code":-1}`, `,"responseStatus":{"code":"200"}`, `,"responseStatus":{"code":null}`, `,"responseStatus":{"code":200.0}`, `,"responseStatus":{"details":5}`, `,"responseStatus":{"status":{}}`,
		`,"requestObject":null`, `,"requestObject":5`, `,"requestObject":"x"`, `,"requestObject":{"a":1e999,"a":-0}`, ",\"requestObject\":\"\xff\xfe\"", ",\"userAgent\":\"a\xffb\xc3\"", `,"userAgent":"\ud800x"`, `,"annotations":{"a":null}`, `,"annotations":{"a":1}`, `,"annotations":{"a":"b","a":"c"}`, `,"annotations":[]`, `,"annotations":{}`,
		`,"annotations":{"audit.k8s.io/truncated":"true"}`, `,"annotations":{"audit.gatehouse.io/unknown":"user.groups","audit.gatehouse.io/source":"gke","a":"b"}`, `,"requestReceivedTimestamp":null`, `,"requestReceivedTimestamp":5`, `,"requestReceivedTimestamp":"x"`, `,"requestReceivedTimestamp":"2026-02-30T12:00:00.000000Z"`, `,"requestReceivedTimestamp":"2026-10-01T12:00:00.000000+02:00"`, `,"requestReceivedTimestamp":"2026-10-01T12:00:00Z"`,
		`,"requestReceivedTimestamp":"2026-10-01T12:00:60.000000Z"`, `,"requestReceivedTimestamp":"0000-01-01T00:00:00.000000Z"`, `,"requestReceivedTimestamp":"0001-01-01T00:00:00.000000Z"`, `,"requestReceivedTimestamp":"2026-10-01T24:00:00.000000Z"`, `,"unknown":{"a":[1]}`, `,"authenticationMetadata":{"impersonationConstraint":"x"}`, `,"authenticationMetadata":5`, `,"ſtage":"x"`, `,"stage":"again"`, `,"kind":"Event"`,
		`,"requestObject":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), `,"requestObject":` + strings.Repeat("[", 10001) + strings.Repeat("]", 10001), `,"requestURI":"/a\u2028b\u0000<>&"`,
	} {
		all = append(all, fmt.Sprintf(minimal, more))
	}
	return all
}

func TestSameAsUpstream(t *testing.T) {
	for _, line := range lines() {
		sameAsUpstream(t, []byte(line))
	}
	// Cut and damaged everywhere.
	for _, line := range []string{whole, usual} {
		for i := range line {
			sameAsUpstream(t, []byte(line[:i]))
			for _, c := range []byte{0, '"', '{', '}', '9', 'x', 0xff, '\\', ' '} {
				damaged := []byte(line)
				damaged[i] = c
				sameAsUpstream(t, damaged)
			}
		}
	}
}

func FuzzSameAsUpstream(f *testing.F) {
	for _, line := range lines() {
		if len(line) < 4096 {
			f.Add([]byte(line))
		}
	}
	f.Fuzz(sameAsUpstream)
}

func TestEveryField(t *testing.T) {
	var d Decoder
	e, err := d.Event([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(*e)
	for i := range v.NumField() {
		switch name := v.Type().Field(i).Name; name {
		case "Source", "Unknown", "Truncated", "AsUID", "AsExtra":
		default:
			if v.Field(i).IsZero() {
				t.Errorf("%s is not decoded", name)
			}
		}
	}
	if d.Omitted != 1 {
		t.Errorf("%d members are counted as left out, want the details of the status", d.Omitted)
	}
	e.Source, e.Unknown, e.Truncated, e.AsUID, e.AsExtra = "gke", []string{"user.groups", "user.uid"}, true, "u", map[string][]string{"k": {"v"}}
	back, err := d.Event(AppendJSON(nil, e))
	if err != nil || !reflect.DeepEqual(back, e) {
		t.Errorf("%+v, %v, want %+v", back, err, e)
	}
}

func TestErrorsSayNothingOfWhatStandsThere(t *testing.T) {
	var d Decoder
	for _, line := range []string{`{"auditID":{"hunter2":1}}`, `{"auditID":"x" hunter2}`, `{"hunter2`, `{"annotations":{"hunter2":1}}`, `{"user":{"extra":{"hunter2":5}}}`, `{"stageTimestamp":"hunter2"}`, `{"kind":"hunter2"}`, `{"responseStatus":{"code":"hunter2"}}`} {
		if _, err := d.Event([]byte(line)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", line, err)
		}
		if _, err := d.List([]byte(line)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestList(t *testing.T) {
	var d Decoder
	bad := `{"auditID":5}`
	items, err := d.List([]byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + whole + `,` + bad + `,` + strings.Replace(whole, `"kind":"Event","apiVersion":"audit.k8s.io/v1",`, "", 1) + `]}`))
	if err != nil || len(items) != 3 {
		t.Fatalf("%d items, %v", len(items), err)
	}
	if items[0].Err != nil || items[1].Err == nil || items[1].Event != nil || string(items[1].Raw) != bad || items[2].Err != nil || items[2].Event.ID != "5f2c" {
		t.Errorf("%+v", items)
	}
	if items, err := d.List([]byte(whole)); err != nil || len(items) != 1 || items[0].Event.ID != "5f2c" {
		t.Errorf("one event: %+v, %v", items, err)
	}
	for _, no := range []string{`[]`, `{}`, `5`, `{"kind":"EventList","items":[]}`, `{"kind":"EventList","apiVersion":"v1","items":[]}`, `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":{}}`, `{"kind":"EventList","apiVersion":"audit.k8s.io/v1"}`, `{"kind":"EventList","kind":"Event","apiVersion":"audit.k8s.io/v1","items":[]}`, `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[],"items":[]}`} {
		if items, err := d.List([]byte(no)); err == nil {
			t.Errorf("%s: %+v", no, items)
		}
	}
}

func TestFromInternal(t *testing.T) {
	at := time.Date(2026, 10, 1, 12, 0, 0, 1234567, time.FixedZone("", 7200))
	in := &auditinternal.Event{
		Level: "RequestResponse", AuditID: types.UID("5f2c"), Stage: "ResponseComplete", RequestURI: "/x", Verb: "get",
		User:             authenticationv1.UserInfo{Username: "jane", UID: "u", Groups: []string{"g"}, Extra: map[string]authenticationv1.ExtraValue{"k": {"v"}}},
		ImpersonatedUser: &authenticationv1.UserInfo{Username: "bob"}, AuthenticationMetadata: &auditinternal.AuthenticationMetadata{ImpersonationConstraint: "c"},
		SourceIPs: []string{"10.0.0.1"}, UserAgent: "a", ObjectRef: &auditinternal.ObjectReference{Resource: "pods", Name: "p"},
		ResponseStatus: &metav1.Status{Code: 200}, RequestObject: &runtime.Unknown{Raw: []byte(`{}`)}, ResponseObject: &runtime.Unknown{Raw: []byte(`{}`)},
		StageTimestamp: metav1.NewMicroTime(at), Annotations: map[string]string{"a": "b"},
	}
	e := FromInternal(in)
	in.User.Groups[0], in.User.Extra["k"][0], in.SourceIPs[0], in.Annotations["a"], in.RequestObject.Raw[0] = "x", "x", "x", "x", 'x'
	if e.Groups[0] != "g" || e.Extra["k"][0] != "v" || e.SourceIPs[0] != "10.0.0.1" || e.Annotations["a"] != "b" || string(e.Request) != "{}" {
		t.Errorf("the server goes on to change what was kept: %+v", e)
	}
	if want := time.Date(2026, 10, 1, 10, 0, 0, 1234000, time.UTC); e.Time != want || !e.Received.IsZero() {
		t.Errorf("time %v, want %v", e.Time, want)
	}
	if e.AsUser != "bob" || e.Constraint != "c" || e.Resource != "pods" || e.Code != 200 {
		t.Errorf("%+v", e)
	}
	for _, empty := range []*auditinternal.Event{nil, {}, {ObjectRef: &auditinternal.ObjectReference{}, RequestObject: &runtime.Unknown{}}} {
		if got := FromInternal(empty); got.ID != "" || got.Request != nil {
			t.Errorf("%+v", got)
		}
	}
}

func TestWhatADecoderRemembersIsBounded(t *testing.T) {
	var d Decoder
	rng := rand.New(rand.NewPCG(1, 1))
	for range 3 * mostKept {
		line := strings.NewReplacer("jane", fmt.Sprint("jane", rng.Uint64()), `"dev"`, fmt.Sprintf(`"dev%d"`, rng.Uint64()), `"forbid"`, fmt.Sprintf(`"forbid%d"`, rng.Uint64()), `"Forbidden"`, fmt.Sprintf(`"Forbidden%d"`, rng.Uint64()), `"no \"way\""`, `""`).Replace(usual)
		if _, err := d.Event([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if k := &d.kept; len(k.texts) > mostKept || len(k.lists) > mostKept || len(k.extras) > mostKept || len(k.notes) > mostKept || len(k.users) > mostKept || len(k.answers) > mostKept {
		t.Errorf("%d texts, %d lists, %d extras, %d annotations, %d users, %d answers", len(k.texts), len(k.lists), len(k.extras), len(k.notes), len(k.users), len(k.answers))
	}
}

func TestNothingOfTheInputIsKept(t *testing.T) {
	var d Decoder
	line := []byte(whole)
	e, err := d.Event(line)
	if err != nil {
		t.Fatal(err)
	}
	want := AppendJSON(nil, e)
	for i := range line {
		line[i] = 'x'
	}
	if got := AppendJSON(nil, e); !bytes.Equal(got, want) {
		t.Errorf("the event changed with the input: %s", got)
	}
}
