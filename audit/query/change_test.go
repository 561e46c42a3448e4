package query_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
)

func lines(changes []query.FieldChange) string {
	var out []string
	for _, c := range changes {
		switch {
		case c.Before == nil:
			out = append(out, fmt.Sprintf("+ %s: %s", c.Path, c.After))
		case c.After == nil:
			out = append(out, fmt.Sprintf("- %s: %s", c.Path, c.Before))
		default:
			out = append(out, fmt.Sprintf("~ %s: %s -> %s", c.Path, c.Before, c.After))
		}
	}
	return strings.Join(out, "\n")
}

func deployment(version string, replicas int, rest string) string {
	return fmt.Sprintf(`{"kind":"Deployment","metadata":{"name":"web","uid":"d1","resourceVersion":%q,"generation":%s,"managedFields":[{"manager":"x%s"}],"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"%s"}},"spec":{"replicas":%d%s},"status":{"observed":%s}}`, version, version, version, version, replicas, rest, version)
}

func TestChangeOf(t *testing.T) {
	containers := func(image string) string {
		return `,"template":{"spec":{"containers":[{"name":"side","image":"s:1"},{"name":"app","image":"` + image + `"}]}}`
	}
	l := &log{}
	created := l.event(0, "jane create deployments.apps shop/web", response(deployment("1", 1, "")))
	status := l.event(1, "system:x update deployments.apps/status shop/web", response(deployment("2", 1, "")))
	patched := l.event(2, "bob patch deployments.apps shop/web", request(`{"spec":{"replicas":5}}`), response(deployment("3", 5, containers("a:1"))))
	updated := l.event(3, "eve update deployments.apps shop/web", request(deployment("3", 5, containers("a:2"))), response(deployment("4", 5, containers("a:2"))))
	refused := l.event(4, "eve update deployments.apps shop/web 409", request(deployment("3", 9, "")))
	dry := l.event(5, "eve update deployments.apps shop/web", request(deployment("4", 9, "")), func(e *audit.Event) { e.URI += "?dryRun=All" })
	bare := l.event(6, "eve patch deployments.apps shop/web")
	deleted := l.event(7, "eve delete deployments.apps shop/web", response(`{"kind":"Status","metadata":{},"status":"Success"}`))
	read := l.event(8, "eve get deployments.apps shop/web")
	first := l.event(9, "eve update deployments.apps other/web", response(deployment("4", 5, "")))
	for _, c := range []struct {
		event                  *audit.Event
		fields, patch, missing string
		certain                bool
	}{
		{created, `+ kind: "Deployment"` + "\n" + `+ metadata.name: "web"` + "\n" + `+ spec.replicas: 1`, "", "", true},
		{status, `~ status.observed: 1 -> 2`, "", "", false},
		{patched, `~ spec.replicas: 1 -> 5` + "\n" + `+ spec.template.spec.containers: [{"image":"s:1","name":"side"},{"image":"a:1","name":"app"}]`, `{"spec":{"replicas":5}}`, "", false},
		{updated, `~ spec.template.spec.containers["app"].image: "a:1" -> "a:2"`, "", "", true},
		{refused, "", "", "the request was refused with 409: nothing was changed", false},
		{dry, "", "", "it was a dry run: nothing was changed", false},
		{bare, "", "", "the event is of level Metadata: RequestResponse would have shown the object", false},
		{deleted, "- kind: \"Deployment\"\n- metadata.name: \"web\"\n- spec.replicas: 5\n- spec.template.spec.containers: [{\"image\":\"s:1\",\"name\":\"side\"},{\"image\":\"a:2\",\"name\":\"app\"}]", "", "", false},
		{first, "", "", "no earlier event has the object as it was: it would have been seen at level RequestResponse", false},
	} {
		got, err := query.ChangeOf(context.Background(), l, c.event)
		if err != nil {
			t.Fatal(err)
		}
		if lines(got.Fields) != c.fields || string(got.Patch) != c.patch || got.Missing != c.missing || got.Certain != c.certain {
			t.Errorf("%s %s:\n%s\npatch %s, missing %q, certain %v (%s)\nwant\n%s", c.event.Verb, c.event.Name, lines(got.Fields), got.Patch, got.Missing, got.Certain, got.Compared, c.fields)
		}
	}
	if got, err := query.ChangeOf(context.Background(), l, read); got != nil || err != nil {
		t.Errorf("a read changes: %v, %v", got, err)
	}
}

// TestChangeHidesSecrets: of events that were never redacted, too.
func TestChangeHidesSecrets(t *testing.T) {
	secret := func(data string) string {
		return `{"kind":"Secret","metadata":{"name":"s","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"MARKER"}},"data":` + data + `,"stringData":{"x":"MARKER"}}`
	}
	l := &log{}
	for i, e := range []*audit.Event{
		l.event(0, "jane create secrets shop/s", response(secret(`{"a":"MARKER"}`))),
		l.event(1, "jane update secrets shop/s", response(secret(`{"a":"MARKER2","b":"MARKER"}`))),
		l.event(2, "jane patch secrets shop/s", request(`{"data":{"a":"MARKER"}}`), response(secret(`{"a":"MARKER3"}`))),
		l.event(3, "jane patch secrets shop/s", request(`[{"op":"add","path":"/data/a","value":"MARKER"}]`), response(secret(`"MARKER"`))),
		l.event(4, "jane delete secrets shop/s", response(secret(`{"a":"MARKER"}`))),
	} {
		got, err := query.ChangeOf(context.Background(), l, e)
		if err != nil {
			t.Fatal(err)
		}
		if text := lines(got.Fields) + string(got.Patch); strings.Contains(text, "MARKER") || text == "" && i != 1 {
			t.Errorf("%s shows\n%s", e.Verb, text)
		}
	}
}

func FuzzDiff(f *testing.F) {
	f.Add(`{"a":[{"name":"x","b":1}]}`, `{"a":[{"name":"x","b":2},{"name":"y"}]}`)
	f.Add(`{"a.b":{"":null}}`, `{"a.b":{"":[1,[2]]}}`)
	f.Add(`{"a":[]}`, `{"a":{}}`)
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := object(a), object(b)
		if x == nil || y == nil {
			return
		}
		if got := query.Diff(x, x); len(got) > 0 {
			t.Fatalf("the same differs: %s", lines(got))
		}
		there, back := query.Diff(x, y), query.Diff(y, x)
		if len(there) != len(back) {
			t.Fatalf("%d there, %d back", len(there), len(back))
		}
		for i := range there {
			if there[i].Path != back[i].Path || string(there[i].Before) != string(back[i].After) || string(there[i].After) != string(back[i].Before) {
				t.Fatalf("there %s, back %s", lines(there), lines(back))
			}
		}
	})
}
