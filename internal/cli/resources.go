package cli

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// builtIn are the resources of the linked Kubernetes release, for questions about
// files: a line each with group, plural, kind, singular, whether they are in a
// namespace, short names, subresources, preferred version and all versions that are
// served. A test keeps it equal to upstream's discovery documents.
//
//go:embed resources.tsv
var builtIn string

// ofGatehouse are the kinds that the CRDs of Gatehouse add.
const ofGatehouse = `gatehouse.io	guards	Guard	guard	false	gd	status	v1alpha1	v1alpha1
gatehouse.io	revocations	Revocation	revocation	false			v1alpha1	v1alpha1
gatehouse.io	requestreviews	RequestReview	requestreview	false			v1alpha1	v1alpha1
gatehouse.io	subjectsreviews	SubjectsReview	subjectsreview	false			v1alpha1	v1alpha1
gatehouse.io	accesslists	AccessList	accesslist	false			v1alpha1	v1alpha1
gatehouse.io	builtinpolicies	BuiltinPolicies	builtinpolicies	false	bip	status	v1alpha1	v1alpha1
gatehouse.io	exceptions	Exception	exception	false	exc	status	v1alpha1	v1alpha1
`

// ofRules are resources and subresources that stand in rules alone: no discovery
// lists them, those of nodes because kubelets serve them.
const ofRules = `	users			false		
	groups			false		
	nodes	Node	node	false	no	checkpoint,configz,healthz,log,metrics,pods,spec,stats
authentication.k8s.io	uids			false		
authentication.k8s.io	userextras			false		
certificates.k8s.io	signers			false		
`

// resource is a resource as discovery knows it.
type resource struct {
	group, resource, kind, singular string
	// version is the preferred one; empty where it is not known.
	version string
	// versions are all that are served.
	versions            []string
	namespaced          bool
	short, subresources []string
}

func (r *resource) String() string {
	return schema.GroupResource{Group: r.group, Resource: r.resource}.String()
}

// catalog knows resources by all of their names. Where two share one, the earlier
// is meant. It implements guard.Scopes.
type catalog struct{ all []resource }

func builtInCatalog() *catalog {
	c := &catalog{}
	c.addTable(builtIn + ofGatehouse + ofRules)
	return c
}

func (c *catalog) addTable(table string) {
	for line := range strings.Lines(table) {
		f := append(strings.Split(strings.TrimSuffix(line, "\n"), "\t"), "", "")
		at := slices.IndexFunc(c.all, func(have resource) bool { return have.group == f[0] && have.resource == f[1] })
		if at >= 0 {
			c.all[at].subresources = append(c.all[at].subresources, split(f[6])...)
			continue
		}
		c.all = append(c.all, resource{group: f[0], resource: f[1], kind: f[2], singular: f[3], namespaced: f[4] == "true", short: split(f[5]), subresources: split(f[6]), version: f[7], versions: split(f[8])})
	}
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// liveCatalog asks a cluster. Of groups whose server does not answer nothing is
// known; they are named.
func liveCatalog(config *rest.Config) (c *catalog, silent []string, err error) {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, nil, err
	}
	_, lists, err := client.ServerGroupsAndResources()
	if failed, ok := discovery.GroupDiscoveryFailedErrorGroups(err); ok {
		for gv := range failed {
			silent = append(silent, gv.String())
		}
		slices.Sort(silent)
	} else if err != nil {
		return nil, nil, err
	}
	c = &catalog{}
	for _, list := range lists {
		c.addList(list.GroupVersion, list.APIResources)
	}
	c.addTable(ofRules)
	return c, silent, nil
}

// addList enters the resources of one version of a group. The version known first
// is the preferred one, and says what the resource is.
func (c *catalog) addList(groupVersion string, list []metav1.APIResource) {
	gv, err := schema.ParseGroupVersion(groupVersion)
	if err != nil {
		return
	}
	for _, r := range list {
		name, sub, isSub := strings.Cut(r.Name, "/")
		at := slices.IndexFunc(c.all, func(have resource) bool { return have.group == gv.Group && have.resource == name })
		switch {
		case at < 0 && !isSub:
			c.all = append(c.all, resource{group: gv.Group, resource: name, kind: r.Kind, singular: r.SingularName, namespaced: r.Namespaced, short: r.ShortNames, version: gv.Version, versions: []string{gv.Version}})
		case at >= 0 && !isSub && !slices.Contains(c.all[at].versions, gv.Version):
			c.all[at].versions = append(c.all[at].versions, gv.Version)
		case at >= 0 && isSub && !slices.Contains(c.all[at].subresources, sub):
			c.all[at].subresources = append(c.all[at].subresources, sub)
		}
	}
}

var versionPattern = regexp.MustCompile(`^v[0-9]+((alpha|beta)[0-9]+)?$`)

// splitResource splits deployments.apps and deployments.v1.apps.
func splitResource(arg string) (name, group string) {
	name, group, _ = strings.Cut(arg, ".")
	if version, rest, ok := strings.Cut(group, "."); ok && versionPattern.MatchString(version) {
		group = rest
	}
	return name, group
}

// find looks a resource up by its plural, singular, kind or short name, with or
// without its group.
func (c *catalog) find(arg string) (*resource, bool) {
	name, group := splitResource(arg)
	name = strings.ToLower(name)
	if name == "" {
		return nil, false
	}
	for _, matches := range []func(*resource) bool{
		func(r *resource) bool { return r.resource == name },
		func(r *resource) bool { return r.singular == name || r.kind != "" && strings.ToLower(r.kind) == name },
		func(r *resource) bool { return slices.Contains(r.short, name) },
	} {
		for i := range c.all {
			if r := &c.all[i]; matches(r) && (group == "" || r.group == group) {
				return r, true
			}
		}
	}
	return nil, false
}

// ofKind looks a resource up by what its objects say they are.
func (c *catalog) ofKind(group, kind string) (*resource, bool) {
	for i := range c.all {
		if r := &c.all[i]; r.group == group && r.kind == kind {
			return r, true
		}
	}
	return nil, false
}

// Namespaced implements guard.Scopes.
func (c *catalog) Namespaced(group, name string) (namespaced, known bool) {
	for i := range c.all {
		if r := &c.all[i]; r.group == group && r.resource == name {
			return r.namespaced, true
		}
	}
	return false, false
}
