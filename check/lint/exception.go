package lint

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/policy"
)

// UnusedAfter is how long an Exception may let nothing through before it is one to
// delete.
const UnusedAfter = 30 * 24 * time.Hour

// Unused says since when an Exception of a cluster has let nothing through; empty where
// it has, or is young. Of one in a file nothing is known: a dump of a cluster tells
// what was used until it was made, whenever that was.
func Unused(o policy.Object, now time.Time) string {
	if kind := o.GroupVersionKind(); kind.Group != v1alpha1.GroupName || kind.Kind != "Exception" {
		return ""
	}
	made := o.GetCreationTimestamp()
	if o.Source.File != "" || o.GetUID() == "" || made.IsZero() {
		return ""
	}
	since, what := made.Time, "it has let nothing through since it was made at"
	if text, found, err := unstructured.NestedString(o.Object, "status", "lastUsed"); found || err != nil {
		used, wrong := time.Parse(time.RFC3339, text)
		if err != nil || wrong != nil {
			return "" // nobody knows
		}
		// A deleted Exception that came back from a backup was used before it was made.
		if used.After(since) {
			since, what = used, "it has let nothing through since"
		}
	}
	if now.Sub(since) <= UnusedAfter {
		return ""
	}
	return fmt.Sprintf("%s %s: delete it, unless what it is for happens more seldom", what, since.UTC().Format(time.RFC3339))
}
