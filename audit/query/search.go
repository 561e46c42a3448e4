package query

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/audit"
)

// maxSearched is how many events one step of a search looks at.
const maxSearched = 20_000

// evidence is an event that was found, and what says that it is the one.
type evidence struct {
	event     *audit.Event
	says      string
	certainty Certainty
}

// sameUID reports whether a body can be of an object: of one with another UID it is not.
func (o Object) sameUID(body *unstructured.Unstructured) bool {
	return o.UID == "" || body == nil || body.GetUID() == "" || string(body.GetUID()) == o.UID
}

// creation is the newest event before a time that made an object. A zero time is any.
func creation(ctx context.Context, r audit.Reader, o Object, before time.Time) (evidence, error) {
	filter := o.filter()
	filter.Verbs, filter.To = []string{"create", "update", "patch"}, before
	for e, err := range r.Scan(ctx, audit.Scan{Filter: filter, Order: audit.NewestFirst, Bodies: true, Limit: maxSearched}) {
		if err != nil {
			return evidence{}, err
		}
		// An update or a patch can make an object too, and then answers 201.
		if !succeeded(e) || e.Verb != "create" && e.Code != 201 || !o.sameUID(objectBody(e.Response)) {
			continue
		}
		return evidence{e, "it names the object", Sure}, nil
	}
	return namelessCreation(ctx, r, o, before)
}

// namelessCreation looks among the requests whose object got its name from the server:
// their events have no name, and only the answer does.
func namelessCreation(ctx context.Context, r audit.Reader, o Object, before time.Time) (evidence, error) {
	first, err := firstSeen(ctx, r, o)
	if err != nil {
		return evidence{}, err
	}
	// Everything that names the object comes after it was made. Nothing else bounds it.
	if !first.IsZero() && (before.IsZero() || first.Before(before)) {
		before = first.Add(time.Microsecond)
	}
	filter := o.filter()
	filter.Names, filter.Verbs, filter.To = []string{""}, []string{"create"}, before
	var likely, near evidence
	for e, err := range r.Scan(ctx, audit.Scan{Filter: filter, Order: audit.NewestFirst, Bodies: true, Limit: maxSearched}) {
		if err != nil {
			return evidence{}, err
		}
		if !succeeded(e) {
			continue
		}
		if answer := objectBody(e.Response); answer != nil {
			if answer.GetName() == o.Name && o.sameUID(answer) {
				return evidence{e, "its answer names the object", Sure}, nil
			}
			continue
		}
		if request := objectBody(e.Request); request != nil {
			if prefix := request.GetGenerateName(); likely.event == nil && prefix != "" && strings.HasPrefix(o.Name, prefix) && len(o.Name) == len(prefix)+5 {
				likely = evidence{e, fmt.Sprintf("it asked for a name that begins with %s; its answer was not recorded", prefix), Likely}
			}
			continue
		}
		if near.event == nil && !first.IsZero() && first.Sub(e.Time) < nearby && couldMake(AccountOf(e), o) {
			near = evidence{e, fmt.Sprintf("it made one of the %s in the namespace %v before the name was first seen; neither body was recorded", o.Resource, first.Sub(e.Time).Round(time.Millisecond)), Likely}
		}
	}
	if likely.event != nil {
		return likely, nil
	}
	return near, nil
}

// nearby is how far apart two events may be that time alone brings together.
const nearby = time.Minute

// couldMake reports whether an account makes objects that are called so. Of people one
// cannot tell.
func couldMake(by Account, o Object) bool {
	if by.Kind != KindController || isControlPlane(by.Name) {
		return true
	}
	for _, m := range made {
		if m.controller == by.shortName() && m.child == o.Resource && m.group == o.APIGroup && m.base(o.Name) != "" {
			return true
		}
	}
	return false
}

// firstSeen is when an object was first named; zero for never.
func firstSeen(ctx context.Context, r audit.Reader, o Object) (time.Time, error) {
	filter := o.filter()
	filter.Resources = append(filter.Resources, o.pattern()+"/*")
	for e, err := range r.Scan(ctx, audit.Scan{Filter: filter, Limit: 1}) {
		if err != nil {
			return time.Time{}, err
		}
		return e.Time, nil
	}
	return time.Time{}, nil
}

// lastWrite is the newest event before a time that changed what an object should be like.
// Those of accounts that skip reports are passed over.
func lastWrite(ctx context.Context, r audit.Reader, o Object, before time.Time, deletes bool, skip func(Account) bool) (evidence, error) {
	filter := o.filter()
	filter.Resources = append(filter.Resources, o.pattern()+"/scale")
	filter.Verbs, filter.To = []string{"create", "update", "patch"}, before
	if deletes {
		filter.Verbs = append(filter.Verbs, "delete")
	}
	for e, err := range r.Scan(ctx, audit.Scan{Filter: filter, Order: audit.NewestFirst, Bodies: true, Limit: maxSearched}) {
		if err != nil {
			return evidence{}, err
		}
		if !succeeded(e) || skip != nil && skip(AccountOf(e)) || !before.IsZero() && !began(e).Before(before) {
			continue
		}
		if answer := objectBody(e.Response); e.Subresource == "" && !o.sameUID(answer) {
			continue
		}
		return evidence{e, "it names the object", Sure}, nil
	}
	return evidence{}, nil
}

// began is when a request came: what it caused came after that, and perhaps before it
// ended.
func began(e *audit.Event) time.Time {
	if !e.Received.IsZero() && e.Received.Before(e.Time) {
		return e.Received
	}
	return e.Time
}

// deletion is the event that took an object away. A kubelet deletes a pod once more when
// it has stopped, so of several the first counts that is not a node's.
func deletion(ctx context.Context, r audit.Reader, o Object, before time.Time) (evidence, error) {
	filter := o.filter()
	filter.Resources = append(filter.Resources, o.pattern()+"/eviction")
	filter.Verbs, filter.To = []string{"delete", "create"}, before
	var found evidence
	for e, err := range r.Scan(ctx, audit.Scan{Filter: filter, Order: audit.NewestFirst, Bodies: true, Limit: maxSearched}) {
		if err != nil {
			return evidence{}, err
		}
		if e.Verb == "create" && e.Subresource == "" {
			if found.event != nil && succeeded(e) {
				break // an object of that name before it
			}
			continue
		}
		if !succeeded(e) || !o.sameUID(objectBody(e.Response)) {
			continue
		}
		if found.event == nil || AccountOf(e).Kind != KindNode {
			found = evidence{e, "it names the object", Sure}
		}
	}
	if found.event != nil {
		return found, nil
	}
	filter = o.filter()
	filter.Names, filter.Verbs, filter.To = []string{""}, []string{"deletecollection"}, before
	for e, err := range r.Scan(ctx, audit.Scan{Filter: filter, Order: audit.NewestFirst, Bodies: true, Limit: maxSearched}) {
		if err != nil {
			return evidence{}, err
		}
		if succeeded(e) {
			return evidence{e, "it deleted all of the " + o.Resource + " of the namespace that it selected; which those were was not recorded", Guess}, nil
		}
	}
	return evidence{}, nil
}
