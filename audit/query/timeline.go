package query

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// TimelineOptions say what a Timeline shows.
type TimelineOptions struct {
	// Filter are the events; its From and To are the time.
	Filter audit.Filter
	// Objects are events that are shown besides, with those of their subresources. Where
	// there are some, Filter's own Resources, Namespaces and Names are not asked.
	Objects []Object
	// Events are shown besides: those that made one of Objects and do not name it.
	Events []*audit.Event
	// By is what a lane is of: ByObject, ByUser or ByNamespace. Default: ByObject.
	By string
	// Limit is how many events are shown at most, the newest; 0 is DefaultTimeline.
	Limit int
}

// What lanes are of.
const (
	ByObject    = "object"
	ByUser      = "user"
	ByNamespace = "namespace"
)

// DefaultTimeline is how many events a Timeline has at most.
const DefaultTimeline = 500

// Timeline is what happened, in lanes.
type Timeline struct {
	From, To time.Time
	Lanes    []Lane
	// Gaps are times in which events are missing, oldest first.
	Gaps []audit.Gap
	// More says that there were more events than the limit: From is then the time of the
	// oldest that is shown.
	More bool
}

// Lane is what happened to one object, or by one user, oldest first.
type Lane struct {
	Name   string
	Events []*audit.Event
}

var errLane = errors.New("lanes are by object, user or namespace")

// TimelineOf reads a Timeline. Lanes come in the order of their first events. Of a
// request whose stages were all recorded the last is shown.
func TimelineOf(ctx context.Context, r audit.Reader, o TimelineOptions) (*Timeline, error) {
	name := map[string]func(*audit.Event) string{
		"": laneObject, ByObject: laneObject, ByUser: func(e *audit.Event) string { return AccountOf(e).String() },
		ByNamespace: func(e *audit.Event) string { return e.Namespace },
	}[o.By]
	if name == nil {
		return nil, errLane
	}
	if o.Limit <= 0 {
		o.Limit = DefaultTimeline
	}
	filters := []audit.Filter{o.Filter}
	if len(o.Objects) > 0 {
		filters = nil
		for _, object := range o.Objects {
			f := object.filter()
			own := o.Filter
			own.Resources, own.Names, own.Namespaces = append(f.Resources, object.pattern()+"/*"), f.Names, f.Namespaces
			filters = append(filters, own)
		}
	}
	t := &Timeline{From: o.Filter.From, To: o.Filter.To}
	events := slices.Clone(o.Events)
	for _, f := range filters {
		// One more than is shown tells whether there are more.
		for e, err := range r.Scan(ctx, audit.Scan{Filter: f, Order: audit.NewestFirst, Limit: 2*o.Limit + 1}) {
			if err != nil {
				return nil, err
			}
			events = append(events, e)
		}
	}
	slices.SortFunc(events, audit.Compare)
	events = lastStages(events)
	if t.More = len(events) > o.Limit; t.More {
		events = events[len(events)-o.Limit:]
		t.From = events[0].Time
	}
	lanes := map[string]int{}
	for _, e := range events {
		lane := name(e)
		i, ok := lanes[lane]
		if !ok {
			i = len(t.Lanes)
			lanes[lane] = i
			t.Lanes = append(t.Lanes, Lane{Name: lane})
		}
		t.Lanes[i].Events = append(t.Lanes[i].Events, e)
	}
	var err error
	t.Gaps, err = r.Gaps(ctx, t.From, t.To)
	return t, err
}

// lastStages leaves of each request its last event, in the place of that. An event that
// is there twice is one.
func lastStages(events []*audit.Event) []*audit.Event {
	last := map[request]*audit.Event{}
	for _, e := range events {
		last[requestOf(e)] = e
	}
	return slices.DeleteFunc(events, func(e *audit.Event) bool {
		if last[requestOf(e)] != e {
			return true
		}
		last[requestOf(e)] = nil // the same event twice, of two filters
		return false
	})
}

func laneObject(e *audit.Event) string {
	o := ObjectOf(e)
	if o.Resource == "" {
		path := fields[slices.IndexFunc(fields, func(f Field) bool { return f.Name == "path" })].of(e)
		return path[0]
	}
	if o.Name == "" {
		o.Name = "*"
	}
	return o.String()
}
