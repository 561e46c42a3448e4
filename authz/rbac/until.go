package rbac

import (
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/gate"
)

// Until says how long the requester will be allowed a request as things are: until
// the last binding that allows it ends, or with the zero time for good. allowed is
// false where nothing allows it now.
func (x *Index) Until(a authorizer.Attributes) (end time.Time, allowed bool) {
	u := a.GetUser()
	if u == nil {
		return time.Time{}, false
	}
	var q query
	q.fill(a)
	last, lasting := int64(0), false
	x.now.Load().holdings(u, scopesOf(q.namespace), x.unix(), func(b held) {
		rules := b.role.rules.Load()
		if rules == nil || rules.allows(&q) == nil {
			return
		}
		allowed = true
		if b.expires == never {
			lasting = true
		}
		last = max(last, b.expires)
	})
	if !allowed || lasting {
		return time.Time{}, allowed
	}
	return time.Unix(last, 0), true
}

// Ended returns a binding of u in the cluster or in a namespace that is there and
// counts no longer; false where there is none.
func (x *Index) Ended(u user.Info, namespace string) (ended gate.Source, found bool) {
	now := x.unix()
	x.now.Load().subjects(u, func(who *subject) {
		for _, scope := range scopesOf(namespace) {
			for g := range who.in(scope) {
				g.each(func(b held) bool {
					if !b.counts(now) {
						ended, found = b.describe(), true
					}
					return !found
				})
			}
		}
	})
	return ended, found
}
