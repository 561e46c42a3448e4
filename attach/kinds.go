package attach

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/klog/v2"
)

// served asks the API server which resources there are.
type served struct {
	discovery discovery.CachedDiscoveryInterface
}

// Resources implements kinds. What cannot be found out is left out, and said.
func (s served) Resources(kind schema.GroupKind) []string {
	_, lists, err := s.discovery.ServerGroupsAndResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		klog.ErrorS(err, "The kinds of the cluster cannot be discovered")
	}
	found := map[string]bool{}
	var all []string
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range list.APIResources {
			group := version.Group
			if r.Group != "" {
				group = r.Group
			}
			_, sub, divided := strings.Cut(r.Name, "/")
			if r.Kind != kind.Kind || group != kind.Group || version.Group != kind.Group && !divided || sub == "status" || found[r.Name] {
				continue
			}
			found[r.Name] = true
			all = append(all, r.Name)
		}
	}
	return all
}
