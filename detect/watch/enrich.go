package watch

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

const (
	// around is how long before and after a Finding requests are related to it.
	around = 10 * time.Minute
	// mostLooked is how many requests of an identity, or for an object, are looked at.
	mostLooked = 500
)

// Enrich finds out what somebody who looks at a Finding asks first. It is an
// alert.Enricher: where ctx ends, it answers with what it has.
func (w *Watcher) Enrich(ctx context.Context, f *detect.Finding) alert.Context {
	var c alert.Context
	if w.o.Reader != nil {
		// Who began it comes first: what that identity can reach is asked after it.
		if err := detect.Attribute(ctx, w.o.Reader, f); err != nil {
			c.Problems = append(c.Problems, problem("who began it", err))
		}
	}
	if w.o.Reach != nil {
		c.Reach = w.o.Reach(f)
	}
	if w.o.Reader != nil {
		var err error
		if c.Related, c.RelatedMore, err = w.related(ctx, f); err != nil {
			c.Problems = append(c.Problems, problem("all related requests", err))
		}
	}
	if w.o.Respond != nil {
		// Last, since it may take all the time that is left.
		var known bool
		f.Response, known = w.o.Respond.Of(ctx, f.Fingerprint)
		c.Unsettled = !known
	}
	return c
}

func problem(what string, err error) string {
	if err == context.DeadlineExceeded || err == context.Canceled {
		return "It took too long to find " + what + "."
	}
	return "The audit store could not be asked for " + what + "." // what it says is for the log
}

// related are requests of the same identity, and for the same object, around a Finding:
// those that tell most, in the order of time.
func (w *Watcher) related(ctx context.Context, f *detect.Finding) (all []alert.Related, more int, err error) {
	within := audit.Filter{From: f.First.Add(-around), To: f.Last.Add(around)}
	var filters []audit.Filter
	if name := cmp.Or(f.Subject.As, f.Subject.User); name != "" {
		one := within
		one.Users = []string{name}
		filters = append(filters, one)
	}
	if o := f.Object; o.Resource != "" && o.Name != "" {
		one := within
		one.Resources, one.Names = []string{o.Resource + "." + o.APIGroup, o.Resource + "." + o.APIGroup + "/*"}, []string{o.Name}
		if o.Namespace != "" {
			one.Namespaces = []string{o.Namespace}
		}
		filters = append(filters, one)
	}
	found := map[string]*audit.Event{} // by ID: one event a request
	for _, filter := range filters {
		for e, failed := range w.o.Reader.Scan(ctx, audit.Scan{Filter: filter, Order: audit.NewestFirst, Limit: mostLooked}) {
			if failed != nil {
				err = failed
				break
			}
			if before := found[e.ID]; !slices.Contains(f.Events, e.ID) && (before == nil || before.Code == 0) {
				found[e.ID] = e
			}
		}
		if ctx.Err() != nil {
			err = ctx.Err()
			break
		}
	}
	events := make([]*audit.Event, 0, len(found))
	for _, e := range found {
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b *audit.Event) int {
		return cmp.Or(cmp.Compare(tells(b), tells(a)), b.Time.Compare(a.Time), cmp.Compare(a.ID, b.ID))
	})
	if len(events) > alert.MaxRelated {
		more = len(events) - alert.MaxRelated
		events = events[:alert.MaxRelated]
	}
	slices.SortFunc(events, audit.Compare)
	for _, e := range events {
		all = append(all, relatedOf(e))
	}
	return all, more, err
}

// tells is how much a request tells of what somebody is after.
func tells(e *audit.Event) int {
	switch {
	case e.Resource == "secrets", e.Subresource == "exec", e.Subresource == "attach", e.Subresource == "portforward", e.Subresource == "token",
		e.APIGroup == "rbac.authorization.k8s.io" && e.Verb != "get" && e.Verb != "list" && e.Verb != "watch":
		return 4
	case e.Resource == "leases", e.Resource == "events", e.Resource == "":
		return 0
	case e.Code == 401 || e.Code == 403:
		return 3
	case e.Verb == "create" || e.Verb == "update" || e.Verb == "patch" || e.Verb == "delete" || e.Verb == "deletecollection":
		return 2
	}
	return 1
}

const maxText = 512

func bounded(text string) string { return text[:min(len(text), maxText)] }

func relatedOf(e *audit.Event) alert.Related {
	name, _, _ := e.Actor()
	r := alert.Related{AuditID: bounded(e.ID), At: e.Time, User: bounded(name), Code: int(e.Code), Object: detect.Object{
		Verb: e.Verb, APIGroup: bounded(e.APIGroup), Resource: bounded(e.Resource), Subresource: bounded(e.Subresource),
		Namespace: bounded(e.Namespace), Name: bounded(e.Name),
	}}
	if n := len(e.SourceIPs); n > 0 {
		r.Address = bounded(e.SourceIPs[n-1])
	}
	if e.Resource == "" {
		r.Object.Path = bounded(e.URI)
	}
	return r
}
