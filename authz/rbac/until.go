package rbac

import (
	"time"

	"k8s.io/apiserver/pkg/authorization/authorizer"
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
