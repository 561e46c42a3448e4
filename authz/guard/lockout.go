package guard

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// Holder is somebody who may delete Guards as far as grants go. Leave out the
// accounts that no person acts as: a controller that may delete everything (the
// garbage collector) mends no lock-out.
type Holder struct {
	// Kind is User, Group or ServiceAccount, as in a binding.
	Kind string

	// Namespace of a service account.
	Namespace string

	Name string
}

func (h Holder) String() string {
	if h.Kind == rbacv1.ServiceAccountKind {
		return h.Kind + " " + h.Namespace + "/" + h.Name
	}
	return h.Kind + " " + h.Name
}

// LockOutError says that a Guard would leave Guards that nobody could delete.
type LockOutError struct {
	// Guard that would do it.
	Guard string

	// Stuck are the Guards that nobody could delete, in order.
	Stuck []string

	// Holders who could not, each with the Guard that would refuse them first;
	// empty where nobody may delete Guards at all.
	Holders []RefusedHolder
}

// RefusedHolder is a Holder, and the Guard that would refuse it.
type RefusedHolder struct {
	Holder
	By string
}

func (e *LockOutError) Error() string {
	if len(e.Holders) == 0 {
		return fmt.Sprintf("Guard %s would stay for good: nobody may delete Guards; grant somebody delete on guards.gatehouse.io first", e.Guard)
	}
	const shown = 5
	var who []string
	for _, h := range e.Holders[:min(shown, len(e.Holders))] {
		who = append(who, fmt.Sprintf("%s (refused by Guard %s)", h.Holder, h.By))
	}
	if more := len(e.Holders) - shown; more > 0 {
		who = append(who, fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("Guard %s would leave nobody who could delete Guard %s: %s; name one of them in spec.except",
		e.Guard, strings.Join(e.Stuck[:min(shown, len(e.Stuck))], ", "), strings.Join(who, ", "))
}

// LockOut reports, as a *LockOutError, that with the candidate in force there
// would be Guards that none of the holders could ever delete, and that without it
// there are not. all are the Guards in force; one of the candidate's name is what
// the candidate replaces. It is a pure function.
//
// A Guard may protect another: what counts is that the holders can take all of
// them down, one after the other, in some order. The worst is assumed: windows
// are open and conditions true, and of a holder that is a group a member who is in
// no other group but those everybody is in, and whom no Guard excepts by name. A
// Guard of mode audit refuses nobody. Guards that do not compile are judged as
// far as they are in force.
func LockOut(candidate *v1alpha1.Guard, all []v1alpha1.Guard, holders []Holder) error {
	added, err := compile(candidate, nil)
	if added == nil {
		return refusal(candidate.Name, err)
	}
	var before, others []*rule
	for i := range all {
		r, _ := compile(&all[i], nil)
		if r == nil {
			continue
		}
		before = append(before, r)
		if r.name != added.name {
			others = append(others, r)
		}
	}
	if len(holders) == 0 {
		return &LockOutError{Guard: added.name, Stuck: []string{added.name}}
	}
	stuckBefore := stuck(before, holders)
	now := stuck(append(others, added), holders)
	fresh := slices.DeleteFunc(slices.Clone(now), func(r *rule) bool {
		return slices.ContainsFunc(stuckBefore, func(b *rule) bool { return b.name == r.name })
	})
	if len(fresh) == 0 {
		return nil
	}
	out := &LockOutError{Guard: added.name}
	for _, r := range fresh {
		out.Stuck = append(out.Stuck, r.name)
	}
	for _, h := range holders {
		q := h.deletion(out.Stuck[0])
		at := slices.IndexFunc(now, func(r *rule) bool { return !r.audit && r.touches(&q) })
		out.Holders = append(out.Holders, RefusedHolder{h, now[at].name})
	}
	return out
}

// stuck are the rules left when the holders have deleted every Guard they can,
// and then those they can with the first ones gone, and so on; in order of names.
func stuck(rules []*rule, holders []Holder) []*rule {
	left := slices.SortedFunc(slices.Values(rules), func(a, b *rule) int { return strings.Compare(a.name, b.name) })
	for {
		// Most Guards are about something else, and refuse nobody here.
		about := slices.DeleteFunc(slices.Clone(left), func(r *rule) bool { return !r.aboutDeletion() })
		var kept [][]*rule // by holder who is refused some Guards and not all: what refuses them
		for _, h := range holders {
			by := refusers(about, h)
			if len(by) == 0 {
				return nil
			}
			if !slices.ContainsFunc(by, func(r *rule) bool { return !r.objects.limited() }) {
				kept = append(kept, by)
			}
		}
		next := slices.DeleteFunc(slices.Clone(left), func(r *rule) bool {
			return slices.ContainsFunc(kept, func(by []*rule) bool {
				return !slices.ContainsFunc(by, func(keeper *rule) bool { return keeper.objects.has(r.name) })
			})
		})
		if len(next) == len(left) {
			return left
		}
		left = next
	}
}

// refusers are the rules that refuse a holder the deletion of some Guard.
func refusers(rules []*rule, h Holder) []*rule {
	q := h.deletion("")
	var out []*rule
	for _, r := range rules {
		if !r.audit && r.touches(&q) {
			out = append(out, r)
		}
	}
	return out
}

// aboutDeletion reports that the rule refuses somebody the deletion of some Guard.
func (r *rule) aboutDeletion() bool {
	q := Holder{}.deletion("")
	return !r.audit && r.onResources && !r.inNamespaces() && r.hasVerb(&q) && r.hasResource(&q)
}

// deletion is the request of the holder that deletes a Guard.
func (h Holder) deletion(guard string) request {
	q := request{verb: "delete", isResource: true, group: v1alpha1.GroupName, resource: "guards", name: guard}
	switch h.Kind {
	case rbacv1.GroupKind:
		q.groups = []string{h.Name}
		if h.Name != user.AllUnauthenticated {
			q.groups = append(q.groups, user.AllAuthenticated)
		}
	case rbacv1.ServiceAccountKind:
		q.user, q.account = serviceaccount.MakeUsername(h.Namespace, h.Name), h.Namespace
		q.groups = append(serviceaccount.MakeGroupNames(h.Namespace), user.AllAuthenticated)
	default:
		q.user, q.account = h.Name, accountNamespace(h.Name)
		if h.Name == user.Anonymous {
			q.groups = []string{user.AllUnauthenticated}
		} else {
			q.groups = []string{user.AllAuthenticated}
		}
	}
	return q
}
