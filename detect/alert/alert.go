package alert

import (
	"context"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
)

// Status is whether what an Alert tells of goes on.
type Status string

// Of Alert.Status.
const (
	Firing   Status = "firing"
	Resolved Status = "resolved"
)

// Cause is why an Alert was told.
type Cause string

// Of Alert.Cause. The first three are Firing, the others Resolved.
const (
	CauseNew    Cause = "new"    // it was not there before
	CauseAgain  Cause = "again"  // there is more of it
	CauseRepeat Cause = "repeat" // it is not over
	CauseOver   Cause = "over"   // nothing has happened for as long as its rule says
	CauseMuted  Cause = "muted"  // it goes on, and nobody wants to know
)

// Alert is a Finding as it is told. It is what a webhook and a file get, as JSON.
type Alert struct {
	// ID is that of this telling: every sink and every attempt has the same, and so has a
	// telling that was begun again because this process was killed.
	ID     string `json:"id"`
	Status Status `json:"status"`
	Cause  Cause  `json:"cause"`
	// Cluster is where it was found.
	Cluster string `json:"cluster,omitempty"`
	// At is when it was told; Resolved has its end there.
	At time.Time `json:"at"`
	// RunbookURL is where what to do is written.
	RunbookURL string         `json:"runbookURL,omitempty"`
	Finding    detect.Finding `json:"finding"`
	// Context is what was found out about it when it was told.
	Context Context `json:"context,omitzero"`
}

// Context is what somebody who looks at a Finding asks first. Its texts were written by
// clients, too.
type Context struct {
	// Related are requests of the same identity, and for the same object, from ten minutes
	// before the first event of the Finding to ten minutes after the last, as far as they
	// had been made. The oldest first; at most MaxRelated.
	Related []Related `json:"related,omitempty"`
	// RelatedMore is how many more there were.
	RelatedMore int `json:"relatedMore,omitempty"`
	// Reach is what the identity can do now; nil where that was not found out.
	Reach *Reach `json:"reach,omitempty"`
	// Problems are what could not be found out, and why, in sentences.
	Problems []string `json:"problems,omitempty"`
	// Unsettled says that what is done about it was not known yet: it is told again in a
	// moment.
	Unsettled bool `json:"-"`
}

// MaxRelated is how many requests a Context lists, and MaxReach how many permissions.
// What an Enricher returns beyond is cut off, and counted in RelatedMore and Reach.More.
const (
	MaxRelated = 20
	MaxReach   = 20
)

// Related is a request around a Finding.
type Related struct {
	AuditID string    `json:"auditID"`
	At      time.Time `json:"at"`
	User    string    `json:"user,omitempty"`
	Address string    `json:"address,omitempty"`
	// Code is that of the answer.
	Code   int           `json:"code,omitempty"`
	Object detect.Object `json:"object,omitzero"`
}

// Reach is what an identity can do.
type Reach struct {
	// Identity is the user whose reach it is: who began it, where a controller acted.
	Identity string `json:"identity,omitempty"`
	// Can are sentences such as "get, list secrets in every namespace, by
	// ClusterRoleBinding ops", the gravest first; at most MaxReach.
	Can []string `json:"can,omitempty"`
	// More is how many permissions more there are.
	More int `json:"more,omitempty"`
	// Incomplete says that there may be others still.
	Incomplete bool `json:"incomplete,omitempty"`
}

// Enricher finds out about a Finding what Context has. It sets Finding.Began where it
// finds that. It answers with what it has when ctx ends, which is after half a second or
// so: people wait for the Alert. It is called by several goroutines.
type Enricher func(ctx context.Context, f *detect.Finding) Context

// rank orders severities; what is none of them is the least.
func rank(s v1alpha1.DetectionSeverity) int {
	switch s {
	case v1alpha1.SeverityCritical:
		return 4
	case v1alpha1.SeverityHigh:
		return 3
	case v1alpha1.SeverityMedium:
		return 2
	case v1alpha1.SeverityLow:
		return 1
	}
	return 0
}
