package replay

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/audit"
)

// batch is how many requests a worker takes at once.
const batch = 512

// each hands the distinct requests of a Reader to several workers, each of which is one
// goroutine. A Request that was yielded stays as it is.
func each(ctx context.Context, reader audit.Reader, from, to time.Time, workers int, take func(worker int, r *audit.Request)) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := make(chan []*audit.Request, workers)
	var running sync.WaitGroup
	for worker := range workers {
		running.Go(func() {
			for list := range batches {
				for _, r := range list {
					take(worker, r)
				}
			}
		})
	}
	var failed error
	list := make([]*audit.Request, 0, batch)
	for r, err := range reader.Requests(ctx, from, to) {
		if failed = err; err != nil {
			break
		}
		if list = append(list, r); len(list) == batch {
			batches <- list
			list = make([]*audit.Request, 0, batch)
		}
	}
	batches <- list
	close(batches)
	running.Wait()
	if failed == nil {
		failed = ctx.Err()
	}
	return failed
}

// asked is a distinct request as authorizers take it. One goroutine fills it again and
// again, so that asking costs no memory.
type asked struct {
	attributes authorizer.AttributesRecord
	user       user.DefaultInfo
	// groups says that the groups are all that the user was in.
	groups bool
}

// fill makes it the question of a request.
func (q *asked) fill(r *audit.Request) {
	q.user = user.DefaultInfo{Name: r.User, Groups: r.Groups, Extra: r.Extra}
	q.groups = true
	if r.GroupsUnknown {
		q.user.Groups, q.groups = groupsOf(r.User)
	}
	q.attributes = authorizer.AttributesRecord{User: &q.user, Verb: r.Verb}
	if r.Resource == "" {
		q.attributes.Path = r.Path
		return
	}
	a := &q.attributes
	a.ResourceRequest = true
	a.APIGroup, a.APIVersion, a.Resource, a.Subresource = r.APIGroup, r.APIVersion, r.Resource, r.Subresource
	a.Namespace, a.Name = r.Namespace, r.Name
	if r.NameOmitted {
		a.Name = someName
	}
}

// someName stands for a name that nobody knows: it is no object's, so that rules and
// Guards that name objects are not about it.
const someName = "\x00"

// groupsOf are the groups that a user is in by their name. whole says that there can be
// no others: those of a service account and of an anonymous request are.
func groupsOf(name string) (groups []string, whole bool) {
	if name == user.Anonymous {
		return []string{user.AllUnauthenticated}, true
	}
	if strings.HasPrefix(name, serviceaccount.ServiceAccountUsernamePrefix) {
		if namespace, _, err := serviceaccount.SplitUsername(name); err == nil {
			return append(serviceaccount.MakeGroupNames(namespace), user.AllAuthenticated), true
		}
	}
	return []string{user.AllAuthenticated}, false
}

// Tally counts distinct requests, and how often they were made.
type Tally struct {
	Distinct int64 `json:"distinct"`
	Requests int64 `json:"requests"`
}

func (t *Tally) add(r *audit.Request) {
	t.Distinct++
	t.Requests += times(r)
}

func (t *Tally) merge(other Tally) {
	t.Distinct += other.Distinct
	t.Requests += other.Requests
}

// times is how often a request was made: a watch that goes on was made once.
func times(r *audit.Request) int64 { return max(r.Count, 1) }
