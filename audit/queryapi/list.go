package queryapi

import (
	"context"
	"encoding/json"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
)

// limit is how many events are told, of as many as were asked for.
func (q *question) limit() int {
	if q.ask.Limit == 0 {
		return q.opts.Limit
	}
	return min(q.ask.Limit, q.opts.MaxLimit)
}

func (q *question) list(ctx context.Context) (any, error) {
	if len(q.ask.CountBy) > 0 {
		return q.count(ctx)
	}
	after, err := query.ParseCursor(q.ask.Continue)
	if err != nil {
		return nil, apierrors.NewBadRequest("continue: " + err.Error())
	}
	limit := q.limit()
	run := query.Query{Filter: q.ask.Filter, Where: q.where, Order: q.ask.Order, Limit: limit + 1, After: after, Bodies: q.ask.Bodies}
	list := &EventList{TypeMeta: kind(q.opts.Group, "AuditEventList"), Items: []json.RawMessage{}}
	var unjudged query.Unjudged
	var last *audit.Event
	size := 0
	for e, err := range run.Run(ctx, q.reader, &unjudged) {
		if err != nil {
			return nil, err
		}
		item := ItemOf(e, q.ask.Bodies)
		// The first event is told whatever its size, or nobody could go on.
		if len(list.Items) == limit || last != nil && size+len(item) > q.opts.MaxBytes {
			list.Continue = query.CursorOf(last).String()
			break
		}
		size += len(item)
		list.Items = append(list.Items, item)
		last = e
	}
	list.Unjudged = UnjudgedOf(&unjudged)
	list.Gaps, err = q.gaps(ctx)
	return list, err
}

func (q *question) gaps(ctx context.Context) ([]Gap, error) {
	gaps, err := q.reader.Gaps(ctx, q.ask.Filter.From, q.ask.Filter.To)
	if len(gaps) > maxValues {
		gaps = gaps[len(gaps)-maxValues:]
	}
	return GapsOf(gaps), err
}

func (q *question) count(ctx context.Context) (any, error) {
	fields, err := query.ParseFields(q.ask.CountBy)
	if err != nil {
		return nil, apierrors.NewBadRequest("countBy: " + err.Error())
	}
	if q.ask.Continue != "" {
		return nil, apierrors.NewBadRequest("continue: counts are one answer; ask for a larger limit")
	}
	var unjudged query.Unjudged
	counter, err := query.Count(ctx, q.reader, query.Query{Filter: q.ask.Filter, Where: q.where}, fields, q.opts.Groups, &unjudged)
	if err != nil {
		return nil, err
	}
	answer := CountsOf(q.opts.Group, counter.Counts(q.limit()))
	answer.Unjudged = UnjudgedOf(&unjudged)
	answer.Gaps, err = q.gaps(ctx)
	return answer, err
}

// maxTrail is how many events of one audit ID are told, and maxTrailBytes after how many
// bytes of bodies no more are: a client could make any number.
const (
	maxTrail      = 100
	maxTrailBytes = 64 << 20
)

func (q *question) trail(ctx context.Context) (any, error) {
	events, err := EventsOf(ctx, q.reader, q.target.name)
	if err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, apierrors.NewNotFound(schema.GroupResource{Group: q.opts.Group, Resource: Resource}, q.target.name)
	}
	return TrailOf(ctx, q.reader, q.opts.Group, q.target.name, events)
}

// EventsOf are the events of an audit ID, with their bodies, oldest first.
func EventsOf(ctx context.Context, r audit.Reader, id string) (events []*audit.Event, err error) {
	if id == "" {
		return nil, nil
	}
	// A * would be a pattern; no ID that is looked for has one.
	size := 0
	for e, err := range r.Scan(ctx, audit.Scan{Filter: audit.Filter{IDs: []string{id}}, Bodies: true, Limit: maxTrail}) {
		if err != nil {
			return nil, err
		}
		if e.ID == id && size < maxTrailBytes {
			events = append(events, e)
			size += len(e.Request) + len(e.Response)
		}
	}
	return events, nil
}

// TrailOf is what events of one audit ID did.
func TrailOf(ctx context.Context, r audit.Reader, group, id string, events []*audit.Event) (*Trail, error) {
	t := &Trail{TypeMeta: kind(group, "AuditEventTrail"), ID: id, Items: []json.RawMessage{}}
	for _, e := range events {
		t.Items = append(t.Items, ItemOf(e, true))
		if e.Stage != audit.StageComplete {
			continue
		}
		change, err := query.ChangeOf(ctx, r, e)
		if err != nil {
			return nil, err
		}
		if change != nil {
			t.Changes = append(t.Changes, ChangeOf(query.ObjectOf(e), change))
		}
	}
	return t, nil
}

func (q *question) actor(ctx context.Context) (any, error) {
	o := q.ask.Object
	f := q.ask.Filter
	if len(f.Resources) != 1 || len(f.Names) != 1 || f.Names[0] == "" {
		return nil, apierrors.NewBadRequest("an actor is asked for with one resource, as RESOURCE.GROUP, and one name")
	}
	resource := schema.ParseGroupResource(f.Resources[0])
	o.Resource, o.APIGroup, o.Name = resource.Resource, resource.Group, f.Names[0]
	switch {
	case q.target.scoped:
		o.Namespace = q.target.namespace
	case len(f.Namespaces) > 1:
		return nil, apierrors.NewBadRequest("namespace: an object is in one")
	case len(f.Namespaces) == 1:
		o.Namespace = f.Namespaces[0]
	}
	actor, err := query.FindActor(ctx, q.reader, o, query.ActorOptions{At: q.ask.At, Deleted: q.ask.Deleted})
	if err != nil {
		return nil, err
	}
	return ActorOf(q.opts.Group, actor), nil
}

// maxTimeline is how many events one timeline has.
const maxTimeline = 2000

func (q *question) timeline(ctx context.Context) (any, error) {
	if q.where != nil {
		return nil, apierrors.NewBadRequest("where: a timeline has no condition")
	}
	switch q.ask.By {
	case "", query.ByObject, query.ByUser, query.ByNamespace:
	default:
		return nil, apierrors.NewBadRequest("by: lanes are by object, user or namespace")
	}
	t, err := query.TimelineOf(ctx, q.reader, query.TimelineOptions{Filter: q.ask.Filter, By: q.ask.By, Limit: min(q.limit(), maxTimeline)})
	if err != nil {
		return nil, err
	}
	return TimelineOf(q.opts.Group, t), nil
}

func (q *question) span(ctx context.Context) (any, error) {
	oldest, newest, err := q.reader.Span(ctx)
	if err != nil {
		return nil, err
	}
	answer := &Span{TypeMeta: kind(q.opts.Group, "AuditEventSpan"), Oldest: timeOf(oldest), Newest: timeOf(newest)}
	answer.Gaps, err = q.gaps(ctx)
	return answer, err
}

var errEnd = errors.New("the stream ended in the middle")
