package query

import (
	"context"
	"strings"

	"github.com/gatehouse-io/gatehouse/audit"
)

// makes says what a controller makes, for what, and how it calls it.
type makes struct {
	controller string
	child      string // RESOURCE of what is made
	group      string // of the child
	owner      Object // without name and namespace
	// base is the owner's name, from the child's; empty where it cannot be.
	base func(child string) string
}

// made are the objects that controllers name after their owners.
var made = []makes{
	{"replicaset-controller", "pods", "", Object{APIGroup: "apps", Resource: "replicasets"}, withoutRandom},
	{"replication-controller", "pods", "", Object{Resource: "replicationcontrollers"}, withoutRandom},
	{"daemon-set-controller", "pods", "", Object{APIGroup: "apps", Resource: "daemonsets"}, withoutRandom},
	{"job-controller", "pods", "", Object{APIGroup: "batch", Resource: "jobs"}, withoutRandom},
	{"job-controller", "pods", "", Object{APIGroup: "batch", Resource: "jobs"}, func(name string) string { return withoutNumber(withoutRandom(name)) }},
	{"statefulset-controller", "pods", "", Object{APIGroup: "apps", Resource: "statefulsets"}, withoutNumber},
	{"deployment-controller", "replicasets", "apps", Object{APIGroup: "apps", Resource: "deployments"}, withoutHash},
	{"cronjob-controller", "jobs", "batch", Object{APIGroup: "batch", Resource: "cronjobs"}, withoutNumber},
	{"endpointslice-controller", "endpointslices", "discovery.k8s.io", Object{Resource: "services"}, withoutRandom},
	{"endpoint-controller", "endpoints", "", Object{Resource: "services"}, func(name string) string { return name }},
}

// cutLast cuts the last part behind a hyphen from a name, where the part is as it has
// to be.
func cutLast(name string, fits func(part string) bool) string {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 || !fits(name[i+1:]) {
		return ""
	}
	return name[:i]
}

// randomChars are those that Kubernetes makes random parts of names of
// (k8s.io/apimachinery/pkg/util/rand).
const randomChars = "bcdfghjklmnpqrstvwxz2456789"

func consists(text, of string) bool { return strings.Trim(text, of) == "" }

func withoutRandom(name string) string {
	return cutLast(name, func(part string) bool { return len(part) == 5 && consists(part, randomChars) })
}

func withoutHash(name string) string {
	return cutLast(name, func(part string) bool { return len(part) >= 1 && len(part) <= 10 && consists(part, randomChars) })
}

func withoutNumber(name string) string {
	return cutLast(name, func(part string) bool { return part != "" && consists(part, "0123456789") })
}

// inferOwner is what an object is called after, where no body says who its owner is: by
// the controller that made it, or where that is not known by every way in which it can be
// called. An owner that no event knows is a guess.
func inferOwner(ctx context.Context, r audit.Reader, o Object, by Account) (owner Object, known bool, err error) {
	for _, m := range made {
		if m.child != o.Resource || m.group != o.APIGroup || by.Kind == KindController && !isControlPlane(by.Name) && by.shortName() != m.controller {
			continue
		}
		base := m.base(o.Name)
		if base == "" {
			continue
		}
		candidate := m.owner
		candidate.Namespace, candidate.Name = o.Namespace, base
		filter := candidate.filter()
		filter.Resources = append(filter.Resources, candidate.pattern()+"/*")
		for _, err := range r.Scan(ctx, audit.Scan{Filter: filter, Limit: 1}) {
			return candidate, true, err
		}
		if owner.Name == "" {
			owner = candidate
		}
	}
	return owner, false, nil
}
