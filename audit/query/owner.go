package query

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/audit"
)

// owner looks for what an object stands for, and adds to the hop how it knows. It is
// not found where the object has no owner, or none can be told.
func (s *search) owner(hop *Hop) (owner Object, found bool, err error) {
	o := hop.Object
	// What a controller did to an object on its own account has its reason elsewhere.
	switch hop.By.shortName() {
	case "horizontal-pod-autoscaler":
		return s.autoscaler(hop)
	case "namespace-controller":
		if s.opts.Deleted && o.Namespace != "" && o.Resource != "namespaces" {
			hop.Evidence = append(hop.Evidence, "the namespace controller deletes what is in a namespace that was deleted")
			return Object{Resource: "namespaces", Namespace: o.Namespace, Name: o.Namespace}, true, nil
		}
	}
	body, where, err := s.bodyOf(hop)
	if err != nil {
		return Object{}, false, err
	}
	if body != nil {
		owner, found = ownerOf(body.GetOwnerReferences(), o.Namespace)
		if !found {
			hop.Evidence = append(hop.Evidence, where+" has no ownerReferences")
			return Object{}, false, nil
		}
		hop.Evidence = append(hop.Evidence, "ownerReferences in "+where)
		return owner, true, nil
	}
	maker := hop.By
	if s.opts.Deleted {
		maker = Account{} // who deletes need not be who made
	}
	owner, known, err := inferOwner(s.ctx, s.r, o, maker)
	if err != nil || owner.Name == "" {
		if err == nil && hop.Lacks == "" {
			hop.Lacks = fmt.Sprintf("no body of %s is recorded: level Request for %s would have shown ownerReferences", o, o.Kind())
		}
		return Object{}, false, err
	}
	certainty, says := Guess, "though no event names it"
	if known {
		certainty, says = Likely, "which other events name"
	}
	hop.Certainty = hop.Certainty.weaker(certainty)
	by := "its name is"
	if hop.By.Kind == KindController && !isControlPlane(hop.By.Name) {
		by = "made by " + hop.By.shortName() + ", with a name"
	}
	hop.Evidence = append(hop.Evidence, fmt.Sprintf("%s as those of %s, %s", by, owner, says))
	if hop.Lacks == "" {
		hop.Lacks = fmt.Sprintf("no body of %s is recorded: level Request for %s would have shown ownerReferences", o, o.Kind())
	}
	return owner, true, nil
}

// bodyOf is a body of a hop's object with its metadata, and where it stands.
func (s *search) bodyOf(hop *Hop) (*unstructured.Unstructured, string, error) {
	usable := func(e *audit.Event) (*unstructured.Unstructured, string) {
		if e.Subresource != "" && e.Subresource != "status" {
			return nil, "" // of another kind
		}
		if body := objectBody(e.Response); body != nil && (body.GetName() == hop.Object.Name || body.GetName() == "") && hop.Object.sameUID(body) {
			return body, "responseObject of event " + e.ID
		}
		// A patch may leave out what it does not change, and so may not say who owns.
		if body := objectBody(e.Request); body != nil && e.Verb != "delete" && (e.Verb != "patch" || len(body.GetOwnerReferences()) > 0) {
			return body, "requestObject of event " + e.ID
		}
		return nil, ""
	}
	if hop.Event != nil {
		if body, where := usable(hop.Event); body != nil {
			return body, where, nil
		}
	}
	filter := hop.Object.filter()
	filter.Resources = append(filter.Resources, hop.Object.pattern()+"/status")
	if hop.Event != nil && !s.opts.Deleted {
		filter.From = hop.Event.Time.Add(-prompt)
	}
	for e, err := range s.r.Scan(s.ctx, audit.Scan{Filter: filter, Order: audit.NewestFirst, Bodies: true, Limit: maxLookBack}) {
		if err != nil {
			return nil, "", err
		}
		if e.Code >= 300 {
			continue
		}
		if body, where := usable(e); body != nil {
			return body, where, nil
		}
	}
	if !s.opts.Deleted || hop.Event == nil {
		return nil, "", nil
	}
	// Who deleted it is known; that it was made by a request without its name may tell more.
	made, err := creation(s.ctx, s.r, hop.Object, hop.Event.Time)
	if err != nil || made.event == nil || made.certainty != Sure {
		return nil, "", err
	}
	body, where := usable(made.event)
	return body, where, nil
}

// autoscaler looks for the HorizontalPodAutoscaler that scaled an object.
func (s *search) autoscaler(hop *Hop) (Object, bool, error) {
	filter := audit.Filter{Resources: []string{"horizontalpodautoscalers.autoscaling"}, Namespaces: []string{hop.Object.Namespace},
		Verbs: []string{"create", "update", "patch"}, To: hop.Event.Time}
	candidates := map[string]bool{}
	var last string
	for e, err := range s.r.Scan(s.ctx, audit.Scan{Filter: filter, Order: audit.NewestFirst, Bodies: true, Limit: maxSearched}) {
		if err != nil {
			return Object{}, false, err
		}
		if !succeeded(e) {
			continue
		}
		for _, data := range [][]byte{e.Response, e.Request} {
			body := objectBody(data)
			if body == nil {
				continue
			}
			target, _, _ := unstructured.NestedString(body.Object, "spec", "scaleTargetRef", "name")
			if target == hop.Object.Name {
				hop.Evidence = append(hop.Evidence, "scaleTargetRef in the body of event "+e.ID)
				o := ObjectOf(e)
				o.UID = ""
				return o, true, nil
			}
		}
		if e.Request == nil && e.Response == nil && e.Name != "" {
			candidates[e.Name], last = true, e.Name
		}
	}
	hop.Lacks = "level Request for horizontalpodautoscalers.autoscaling would have shown which one scales " + hop.Object.String()
	if len(candidates) != 1 {
		return Object{}, false, nil
	}
	hop.Certainty = hop.Certainty.weaker(Guess)
	hop.Evidence = append(hop.Evidence, "it is the one HorizontalPodAutoscaler of the namespace that events name")
	return Object{APIGroup: "autoscaling", Resource: "horizontalpodautoscalers", Namespace: hop.Object.Namespace, Name: last}, true, nil
}

// trigger looks for a pod of the same owner that somebody took away just before: a
// controller then makes another.
func (s *search) trigger(o, owner Object, made time.Time) error {
	if o.Resource != "pods" || o.APIGroup != "" || s.opts.Deleted || len(s.actor.Hops) != 1 || s.actor.Hops[0].Event == nil {
		return nil
	}
	filter := audit.Filter{Resources: []string{"pods.", "pods./eviction"}, Namespaces: []string{o.Namespace}, Names: []string{owner.Name + "-*"},
		Verbs: []string{"delete", "create"}, From: made.Add(-prompt), To: made}
	for e, err := range s.r.Scan(s.ctx, audit.Scan{Filter: filter, Order: audit.NewestFirst, Limit: maxSearched}) {
		if err != nil {
			return err
		}
		by := AccountOf(e).Kind
		if succeeded(e) && (e.Verb == "delete" || e.Subresource == "eviction") && (by == KindUser || by == KindAccount) &&
			!strings.Contains(strings.TrimPrefix(e.Name, owner.Name+"-"), "-") {
			s.actor.Trigger = e
			return nil
		}
	}
	return nil
}

// Last is who began or ended what was asked for: the last hop, where there is one.
func (a *Actor) Last() *Hop {
	if len(a.Hops) == 0 {
		return nil
	}
	return &a.Hops[len(a.Hops)-1]
}
