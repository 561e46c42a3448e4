package queryapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Bounds of what the event of a question has of it.
const (
	maxID  = 64
	maxURI = 4096
)

// describe makes the event of the question, where questions are recorded. Nobody is
// answered whom the mount has not authenticated.
func (q *question) describe(r *http.Request) error {
	if q.opts.Record == nil {
		return nil
	}
	user, ok := genericapirequest.UserFrom(r.Context())
	if !ok || user.GetName() == "" {
		return apierrors.NewUnauthorized("it is not known who asks")
	}
	id := r.Header.Get(auditinternal.HeaderAuditID) // of the API server that asks for somebody
	if id == "" || len(id) > maxID {
		id = q.opts.NewID()
	}
	uri := r.URL.RequestURI()
	if len(uri) > maxURI {
		uri = uri[:maxURI]
	}
	e := &audit.Event{
		ID: id, Level: "Metadata", Received: micro(q.opts.Clock.Now()), URI: uri, UserAgent: r.UserAgent(),
		User: user.GetName(), UID: user.GetUID(), Groups: user.GetGroups(), Extra: user.GetExtra(),
		APIGroup: q.opts.Group, APIVersion: Version, Resource: Resource, Namespace: q.target.namespace, Name: q.target.name, Source: "attach",
	}
	switch {
	case r.Method != http.MethodGet:
		e.Verb = "unsupported"
	case q.target.name != "":
		e.Verb = "get"
	case isWatch(r):
		e.Verb = "watch"
	default:
		e.Verb = "list"
	}
	for _, ip := range utilnet.SourceIPs(r) {
		e.SourceIPs = append(e.SourceIPs, ip.String())
	}
	q.event = e
	return nil
}

func isWatch(r *http.Request) bool {
	switch r.URL.Query().Get("watch") {
	case "", "0", "false", "False", "FALSE", "f", "F":
		return false
	}
	return true
}

// record writes down that the question is answered with err, or that an answer begins.
func (q *question) record(ctx context.Context, stage string, err error) error {
	if q.event == nil {
		return nil
	}
	e := *q.event
	e.Stage, e.Time, e.Code, e.Status = stage, micro(q.opts.Clock.Now()), http.StatusOK, "Success"
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		s := status.Status()
		e.Code, e.Status, e.StatusReason, e.Message = s.Code, "Failure", string(s.Reason), s.Message
	}
	// What was asked is written down even where whoever asked is gone.
	if err := q.opts.Record(context.WithoutCancel(ctx), &e); err != nil {
		return apierrors.NewServiceUnavailable("the question cannot be recorded, and is not answered")
	}
	return nil
}

func micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
