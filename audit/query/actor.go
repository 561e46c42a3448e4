package query

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Certainty is how sure a step of an Actor is.
type Certainty string

// Certainties, from the surest down.
const (
	// Sure: events say so by name, UID or reference.
	Sure Certainty = "sure"
	// Likely: names, controllers and times agree, and nothing says otherwise.
	Likely Certainty = "likely"
	// Guess: it may as well be something else.
	Guess Certainty = "guess"
)

// weaker is the weaker of two.
func (c Certainty) weaker(other Certainty) Certainty {
	rank := map[Certainty]int{Sure: 0, Likely: 1, Guess: 2}
	if rank[other] > rank[c] {
		return other
	}
	return c
}

// Hop is one step from an object towards who began it.
type Hop struct {
	Object Object
	// Event is what was done to the object; nil where that is not recorded.
	Event *audit.Event
	// Did is what was done: created, changed, scaled, patched, deleted, evicted.
	Did string
	// By is who did it; its Name is empty where that is not known.
	By        Account
	Certainty Certainty
	// Evidence is what the step stands on, in sentences.
	Evidence []string
	// Lacks says what was not recorded, and which audit level would have shown it.
	Lacks string
}

// Actor is who began an object, or ended it, and how one knows.
type Actor struct {
	Object Object
	// Hops lead from the object up. The last has who began it, where Found says so.
	Hops []Hop
	// Found says that the last hop is somebody's who is no controller.
	Found bool
	// Certainty is that of the weakest hop.
	Certainty Certainty
	// Trigger is what somebody did to an object of the same owner just before, which
	// may be why this one was made: a pod that replaces one that was deleted. Often nil.
	Trigger *audit.Event
	// Since are the requests that others than controllers and nodes made for the object
	// itself afterwards, and that changed it or reached into it, oldest first.
	Since []*audit.Event
	// Gaps are times between the first and the last step in which events are missing.
	Gaps []audit.Gap
}

// ActorOptions say how an Actor is looked for.
type ActorOptions struct {
	// At is a time at which the object existed, or by which it was deleted. Zero is now.
	At time.Time
	// Deleted asks who ended the object, not who began it.
	Deleted bool
}

const (
	// maxHops is how long a chain of owners is followed.
	maxHops = 10
	// maxSince is how many later requests are told.
	maxSince = 20
	// prompt is within what time a controller acts on a change.
	prompt = 2 * time.Minute
)

// FindActor follows an object through its owners to who began it. Controllers of the
// cluster are followed through; users, other service accounts and nodes end it. The
// error is one of reading.
func FindActor(ctx context.Context, r audit.Reader, o Object, opts ActorOptions) (*Actor, error) {
	s := &search{ctx: ctx, r: r, opts: opts, actor: &Actor{Object: o, Certainty: Sure}}
	if err := s.follow(o); err != nil {
		return nil, err
	}
	for _, hop := range s.actor.Hops {
		s.actor.Certainty = s.actor.Certainty.weaker(hop.Certainty)
	}
	if err := s.since(); err != nil {
		return nil, err
	}
	return s.actor, s.gaps()
}

// search is one search for an Actor.
type search struct {
	ctx   context.Context
	r     audit.Reader
	opts  ActorOptions
	actor *Actor
}

func (s *search) follow(o Object) error {
	seen := map[string]bool{}
	before := s.opts.At
	if !before.IsZero() {
		before = before.Add(time.Microsecond)
	}
	for n := 0; n < maxHops && !seen[o.String()]; n++ {
		seen[o.String()] = true
		hop, err := s.hop(o, before, n)
		if err != nil {
			return err
		}
		if hop.Event != nil && hop.Object.UID == "" {
			hop.Object.UID = ObjectOf(hop.Event).UID
		}
		if hop.By.Name != "" && hop.By.Kind != KindController {
			s.actor.Hops, s.actor.Found = append(s.actor.Hops, hop), true
			return nil
		}
		owner, found, err := s.owner(&hop)
		if err != nil {
			return err
		}
		s.actor.Hops = append(s.actor.Hops, hop)
		if !found {
			return s.end(o, before, n)
		}
		if hop.Event != nil {
			before = began(hop.Event)
		} else if first, err := firstSeen(s.ctx, s.r, o); err != nil {
			return err
		} else if !first.IsZero() {
			before = first
		}
		if err := s.trigger(o, owner, before); err != nil {
			return err
		}
		o = owner
	}
	return nil
}

// hop looks for what was done to an object: the first one was made or deleted, and those
// above it were changed so that a controller did the rest.
func (s *search) hop(o Object, before time.Time, n int) (hop Hop, err error) {
	var found evidence
	switch {
	case n == 0 && s.opts.Deleted:
		found, err = deletion(s.ctx, s.r, o, before)
	case n == 0:
		found, err = creation(s.ctx, s.r, o, before)
	default:
		found, err = lastWrite(s.ctx, s.r, o, before, s.opts.Deleted, nil)
	}
	hop = Hop{Object: o, Event: found.event, Certainty: found.certainty}
	if err != nil {
		return hop, err
	}
	if found.event == nil {
		hop.Certainty = Likely
		what := "was created"
		if n > 0 {
			what = "was created or changed"
		} else if s.opts.Deleted {
			what = "was deleted"
		}
		hop.Lacks = fmt.Sprintf("no event says how %s %s: level Metadata for %s would have shown who did it", o, what, o.Kind())
		return hop, nil
	}
	e := found.event
	hop.By, hop.Did = AccountOf(e), did(e)
	hop.Evidence = append(hop.Evidence, fmt.Sprintf("%s: %s", at(e), found.says))
	if n > 0 {
		s.prompt(&hop, before)
	}
	return hop, nil
}

// prompt looks at how long before a controller's deed its reason is. Schedules take their
// time; others that acted late had perhaps another reason.
func (s *search) prompt(hop *Hop, before time.Time) {
	gap := before.Sub(hop.Event.Time)
	below := &s.actor.Hops[len(s.actor.Hops)-1]
	switch {
	case hop.Object.Resource == "cronjobs":
		hop.Evidence = append(hop.Evidence, "a CronJob acts at its times")
	case gap > prompt && below.Event != nil:
		hop.Certainty = hop.Certainty.weaker(Likely)
		hop.Evidence = append(hop.Evidence, fmt.Sprintf("this was the last change of it, %v before: a later reason for what the controller did is not in its events", gap.Round(time.Second)))
	}
}

// end is reached where nothing leads on from a controller's deed: what remains is the
// last that somebody else did to the object.
func (s *search) end(o Object, before time.Time, n int) error {
	last := &s.actor.Hops[len(s.actor.Hops)-1]
	if last.Event == nil {
		last.Certainty = Guess
	}
	if n == 0 || last.Event == nil {
		return nil
	}
	found, err := lastWrite(s.ctx, s.r, o, before, s.opts.Deleted, func(a Account) bool { return a.Kind == KindController })
	if err != nil || found.event == nil {
		return err
	}
	s.actor.Hops = append(s.actor.Hops, Hop{Object: o, Event: found.event, Did: did(found.event), By: AccountOf(found.event), Certainty: Likely,
		Evidence: []string{at(found.event) + ": the last that was done to it by nobody of the control plane"}})
	s.actor.Found = true
	return nil
}

// did is what a request did, in a word.
func did(e *audit.Event) string {
	switch {
	case e.Subresource == "scale":
		return "scaled"
	case e.Subresource == "eviction":
		return "evicted"
	case e.Verb == "create", e.Code == 201 && e.Subresource == "":
		return "created"
	case e.Verb == "delete", e.Verb == "deletecollection":
		return "deleted"
	case e.Verb == "patch":
		return "patched"
	}
	return "changed"
}

// since looks for what others did to the object itself later.
func (s *search) since() error {
	o := s.actor.Object
	filter := o.filter()
	filter.Resources = append(filter.Resources, o.pattern()+"/*")
	filter.To = s.opts.At
	if len(s.actor.Hops) == 0 || s.opts.Deleted {
		return nil
	}
	first := s.actor.Hops[0].Event
	if first != nil {
		filter.From = first.Time
	}
	for e, err := range s.r.Scan(s.ctx, audit.Scan{Filter: filter}) {
		if err != nil {
			return err
		}
		if first != nil && requestOf(e) == requestOf(first) || e.Stage == audit.StageReceived || !reaches(e) {
			continue
		}
		if kind := AccountOf(e).Kind; kind == KindController || kind == KindNode {
			continue
		}
		if n := len(s.actor.Since); n > 0 && requestOf(s.actor.Since[n-1]) == requestOf(e) {
			s.actor.Since[n-1] = e // a later stage of the same
			continue
		}
		if s.actor.Since = append(s.actor.Since, e); len(s.actor.Since) == maxSince {
			break
		}
	}
	return nil
}

// reaches reports whether a request changes an object or reaches into it. Exec and the
// like are gets where they come by WebSocket.
func reaches(e *audit.Event) bool {
	switch e.Subresource {
	case "exec", "attach", "portforward", "proxy":
		return true
	}
	switch e.Verb {
	case "create", "update", "patch", "delete":
		return true
	}
	return false
}

func (s *search) gaps() (err error) {
	var from, to time.Time
	for _, hop := range s.actor.Hops {
		if e := hop.Event; e != nil {
			if from.IsZero() || e.Time.Before(from) {
				from = e.Time
			}
			if e.Time.After(to) {
				to = e.Time
			}
		}
	}
	if !s.actor.Found {
		from, to = time.Time{}, s.opts.At // what is missing may be anywhere before
	}
	s.actor.Gaps, err = s.r.Gaps(s.ctx, from, to)
	return err
}
