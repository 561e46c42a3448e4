package events

import (
	"hash/fnv"
	"iter"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Options say which events.
type Options struct {
	// Seed of all that is random; the same one gives the same events.
	Seed uint64
	// Count is how many; 0 for as many as are asked for.
	Count int
	// Start is when the first one is; 2026-03-02 00:00 UTC where it is zero.
	Start time.Time
	// Every is the time between two of them on average; 60480 µs where it is 0, which
	// makes ten million a week.
	Every time.Duration
}

// generator makes events.
type generator struct {
	*population
	r       *rand.Rand
	at      time.Time
	version int            // resourceVersion of the cluster
	watches []*audit.Event // that go on, oldest first
}

// Stream are the events, sorted by audit.Compare. Each is new, and may be kept.
func Stream(o Options) iter.Seq[*audit.Event] {
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	}
	if o.Every == 0 {
		o.Every = 60480 * time.Microsecond
	}
	return func(yield func(*audit.Event) bool) {
		r := rand.New(rand.NewPCG(o.Seed, 0x6761746568))
		g := &generator{population: newPopulation(r), r: r, at: o.Start, version: 41_000_000}
		for i := 0; o.Count == 0 || i < o.Count; i++ {
			// More by day than by night, and never two at one time.
			day := 1 + 0.5*math.Sin(2*math.Pi*float64(g.at.Hour()*60+g.at.Minute()-480)/1440)
			gap := time.Duration(r.ExpFloat64() * float64(o.Every) / day)
			g.at = g.at.Add(max(gap.Truncate(time.Microsecond), time.Microsecond))
			if !yield(g.next()) {
				return
			}
		}
	}
}

// next is the next event.
func (g *generator) next() *audit.Event {
	g.version += g.r.IntN(3)
	if len(g.watches) > 2000 || len(g.watches) > 0 && g.r.IntN(18) == 0 {
		return g.watchEnds()
	}
	switch n := g.r.IntN(1000); {
	case n < 330:
		return g.kubelet(&g.nodes[g.r.IntN(len(g.nodes))])
	case n < 560:
		return g.controller(&g.controllers[skewed(g.r, len(g.controllers))])
	case n < 930:
		return g.account(&g.accounts[skewed(g.r, len(g.accounts))])
	case n < 998:
		return g.person(&g.people[skewed(g.r, len(g.people))])
	}
	return g.stranger()
}

// object is what a request is for.
type object struct {
	group, version, resource, subresource, namespace, name string
}

func (o object) path() string {
	path := "/api/" + o.version
	if o.group != "" {
		path = "/apis/" + o.group + "/" + o.version
	}
	if o.namespace != "" {
		path += "/namespaces/" + o.namespace
	}
	path += "/" + o.resource
	if o.name != "" {
		path += "/" + o.name
	}
	if o.subresource != "" {
		path += "/" + o.subresource
	}
	return path
}

// event is a request of an actor that was allowed, and answered with a code.
func (g *generator) event(a *actor, verb string, o object, query string, code int32) *audit.Event {
	latency := time.Duration(600+g.r.ExpFloat64()*4000) * time.Microsecond
	e := &audit.Event{
		ID: uuid(g.r), Stage: audit.StageComplete, Level: "Metadata", Time: g.at, Received: g.at.Add(-latency),
		Verb: verb, URI: o.path(), User: a.user, UID: a.uid, Groups: a.groups, Extra: a.extra,
		SourceIPs: []string{a.ip}, UserAgent: a.agent,
		APIGroup: o.group, APIVersion: o.version, Resource: o.resource, Subresource: o.subresource, Namespace: o.namespace, Name: o.name,
		Code: code, Annotations: map[string]string{audit.AnnotationDecision: "allow", audit.AnnotationReason: a.reason}, Source: "serve",
	}
	if query != "" {
		e.URI += "?" + query
	}
	if verb == "update" {
		// What was decoded of the request tells more of the object.
		e.ObjectUID, e.ResourceVersion = uidOf(o), strconv.Itoa(g.version-g.r.IntN(2000))
	}
	if code == 404 || code == 409 {
		e.Status, e.StatusReason = "Failure", map[int32]string{404: "NotFound", 409: "AlreadyExists"}[code]
		e.Message = o.resource + " \"" + o.name + "\" " + map[int32]string{404: "not found", 409: "already exists"}[code]
	}
	return e
}

// uidOf is the UID of an object: the same whenever it is asked for.
func uidOf(o object) string {
	h := fnv.New64a()
	h.Write([]byte(o.path()))
	return uuid(rand.New(rand.NewPCG(h.Sum64(), 1)))
}

// forbidden makes an event one that was refused.
func forbidden(e *audit.Event) *audit.Event {
	e.Code, e.Status, e.StatusReason = 403, "Failure", "Forbidden"
	e.Message = e.Resource + " is forbidden: User \"" + e.User + "\" cannot " + e.Verb + " resource \"" + e.Resource + "\" in API group \"" + e.APIGroup + "\" in the namespace \"" + e.Namespace + "\""
	e.Annotations = map[string]string{audit.AnnotationDecision: "forbid", audit.AnnotationReason: ""}
	return e
}

// watch is the start of a watch, whose end is another event.
func (g *generator) watch(a *actor, o object) *audit.Event {
	e := g.event(a, "watch", o, "allowWatchBookmarks=true&resourceVersion="+strconv.Itoa(g.version)+"&timeout="+strconv.Itoa(5+g.r.IntN(5))+"m"+strconv.Itoa(g.r.IntN(60))+"s&timeoutSeconds="+strconv.Itoa(300+g.r.IntN(300))+"&watch=true", 200)
	e.Stage = audit.StageStarted
	g.watches = append(g.watches, e)
	return e
}

func (g *generator) watchEnds() *audit.Event {
	e := *g.watches[0]
	g.watches = g.watches[1:]
	e.Stage, e.Time = audit.StageComplete, g.at
	return &e
}

// stranger is somebody whose credential is refused.
func (g *generator) stranger() *audit.Event {
	e := g.event(&actor{ip: "198.51.100." + strconv.Itoa(g.r.IntN(250)), agent: []string{"curl/8.14.1", "Go-http-client/2.0", "python-requests/2.32"}[g.r.IntN(3)]}, "list", object{version: "v1", resource: "secrets"}, "", 401)
	e.Stage, e.Status, e.StatusReason, e.Message = audit.StageStarted, "Failure", "Unauthorized", "Authentication failed, attempted: bearer"
	e.Annotations = nil
	return e
}
