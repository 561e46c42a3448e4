package record

import (
	"bytes"
	"maps"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"

	"github.com/gatehouse-io/gatehouse/audit"
)

// FromInternal is an event of a running API server, without a round trip through JSON.
// It copies what the server goes on to use: the bodies, lists and maps. The bodies are
// as the server has them, which for a patch may be no JSON; package audit/redact sees to that.
// A nil event is an empty one.
func FromInternal(e *auditinternal.Event) *audit.Event {
	if e == nil {
		return &audit.Event{}
	}
	out := &audit.Event{
		ID: string(e.AuditID), Stage: string(e.Stage), Level: string(e.Level), Verb: e.Verb, URI: e.RequestURI,
		Time: micro(e.StageTimestamp.Time), Received: micro(e.RequestReceivedTimestamp.Time),
		SourceIPs: slices.Clone(e.SourceIPs), UserAgent: e.UserAgent, Annotations: maps.Clone(e.Annotations),
	}
	out.User, out.UID, out.Groups, out.Extra = userOf(&e.User)
	out.AsUser, out.AsUID, out.AsGroups, out.AsExtra = userOf(e.ImpersonatedUser)
	if m := e.AuthenticationMetadata; m != nil {
		out.Constraint = m.ImpersonationConstraint
	}
	if o := e.ObjectRef; o != nil {
		out.APIGroup, out.APIVersion, out.Resource, out.Subresource = o.APIGroup, o.APIVersion, o.Resource, o.Subresource
		out.Namespace, out.Name, out.ObjectUID, out.ResourceVersion = o.Namespace, o.Name, string(o.UID), o.ResourceVersion
	}
	if s := e.ResponseStatus; s != nil {
		out.Code, out.Status, out.StatusReason, out.Message = s.Code, s.Status, string(s.Reason), s.Message
	}
	if o := e.RequestObject; o != nil {
		out.Request = bytes.Clone(o.Raw)
	}
	if o := e.ResponseObject; o != nil {
		out.Response = bytes.Clone(o.Raw)
	}
	if out.Time.IsZero() {
		out.Time = out.Received
	}
	out.Truncated = e.Annotations[upstreamTruncated] == "true"
	return out
}

func micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

func userOf(u *authenticationv1.UserInfo) (name, uid string, groups []string, extra map[string][]string) {
	if u == nil {
		return "", "", nil, nil
	}
	if u.Extra != nil {
		extra = make(map[string][]string, len(u.Extra))
		for k, v := range u.Extra {
			extra[k] = slices.Clone([]string(v))
		}
	}
	return u.Username, u.UID, slices.Clone(u.Groups), extra
}
