package lint_test

import (
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/check/lint"
)

func TestUnused(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	const from = "{apiVersion: gatehouse.io/v1alpha1, kind: Exception, metadata: {name: x, "
	for _, c := range []struct {
		name, object, file, want string
	}{
		{"never used", from + `uid: a, creationTimestamp: "2026-10-01T00:00:00Z"}}`, "", "it has let nothing through since it was made at 2026-10-01T00:00:00Z: delete it, unless what it is for happens more seldom"},
		{"used long ago", from + `uid: a, creationTimestamp: "2026-01-01T00:00:00Z"}, status: {lastUsed: "2026-10-27T11:59:00Z"}}`, "", "it has let nothing through since 2026-10-27T11:59:00Z: delete it, unless what it is for happens more seldom"},
		{"used 30 days ago", from + `uid: a, creationTimestamp: "2026-01-01T00:00:00Z"}, status: {lastUsed: "2026-10-27T12:00:00Z"}}`, "", ""},
		{"used today", from + `uid: a, creationTimestamp: "2026-01-01T00:00:00Z"}, status: {lastUsed: "2026-11-26T11:00:00Z"}}`, "", ""},
		{"young", from + `uid: a, creationTimestamp: "2026-10-27T12:00:00Z"}}`, "", ""},
		{"come back from a backup", from + `uid: a, creationTimestamp: "2026-11-20T00:00:00Z"}, status: {lastUsed: "2026-01-01T00:00:00Z"}}`, "", ""},
		{"a use that nobody can read", from + `uid: a, creationTimestamp: "2026-01-01T00:00:00Z"}, status: {lastUsed: yesterday}}`, "", ""},
		{"of a file", from + `creationTimestamp: "2026-01-01T00:00:00Z"}}`, "p.yaml", ""},
		{"of a dump", from + `uid: a, creationTimestamp: "2026-01-01T00:00:00Z"}}`, "p.yaml", ""},
		{"no time", from + `uid: a}}`, "", ""},
		{"another kind", `{apiVersion: gatehouse.io/v1alpha1, kind: Guard, metadata: {name: x, uid: a, creationTimestamp: "2026-01-01T00:00:00Z"}}`, "", ""},
		{"another's Exception", `{apiVersion: example.org/v1, kind: Exception, metadata: {name: x, uid: a, creationTimestamp: "2026-01-01T00:00:00Z"}}`, "", ""},
	} {
		o := objects(t, c.object)[0]
		o.Source.File = c.file
		if got := lint.Unused(o, now); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
