package cel

import (
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	v1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
)

// settle is to be called where criteria have been asked for a request. What follows is not
// made of what is read alone where the object may be judged in another version than the
// request's, or would be if the server came to serve one: the versions of a custom
// resource change while the policies stay.
func (v *view) settle(c *criteria, m matched, ok bool, s *server) {
	if c == nil {
		return
	}
	asked := matched{resource: v.attributes.GetResource(), kind: v.attributes.GetKind()}
	exact := c.resources.MatchPolicy == nil || *c.resources.MatchPolicy == v1.Exact
	if ok && m == asked || !ok && (exact || s.types.IsGroupRegistered(asked.resource.Group)) {
		return
	}
	v.request.Unsettle()
}

// settle is to be called where nothing is wrong with a request.
func (r *reads) settle(v *view, of *admission.VersionedAttributes) {
	for i := range r.supposed {
		s := &r.supposed[i]
		if value, ok := v.valueOf(s.Of, of); !ok || !s.holds(value, s.Fields) {
			v.request.Unsettle()
			return
		}
	}
}

// valueOf is the object, or the old one: as the expressions saw it, where they did.
func (v *view) valueOf(which policy.Of, of *admission.VersionedAttributes) (value ref.Val, ok bool) {
	old := which == policy.OfOldObject
	if seen := v.shown.values; seen != nil && v.shown.versioned == of {
		if old {
			return seen.old, true
		}
		return seen.object, true
	}
	object := &of.VersionedObject
	if old {
		object = &of.VersionedOldObject
	}
	value, err := object.CELValue()
	return value, err == nil
}

// holds reports whether what fields lead to is as supposed. What is not there, or null, is
// as good: its Shape says so.
func (s *supposition) holds(value ref.Val, fields []string) bool {
	if len(fields) > 0 {
		switch of := value.(type) {
		case traits.Mapper:
			if fields[0] != policy.Each {
				found, ok := of.Find(types.String(fields[0]))
				return !ok || found == nil || s.holds(found, fields[1:])
			}
			for i := of.Iterator(); i.HasNext() == types.True; {
				if found, ok := of.Find(i.Next()); ok && !s.holds(found, fields[1:]) {
					return false
				}
			}
		case traits.Lister:
			if fields[0] != policy.Each {
				return true // a list has no names
			}
			for i := of.Iterator(); i.HasNext() == types.True; {
				if !s.holds(i.Next(), fields[1:]) {
					return false
				}
			}
		}
		return true
	}
	if value == nil || value == types.NullValue {
		return true
	}
	_, mapping := value.(traits.Mapper)
	_, list := value.(traits.Lister)
	return mapping || list && !s.mapping
}
