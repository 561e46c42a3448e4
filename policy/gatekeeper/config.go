package gatekeeper

import (
	"encoding/json"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/policy"
)

// exclusions are the namespaces that Configs leave out, by process.
type exclusions struct{ admission, audit, mutation []Wildcard }

// add reads a Config, and returns the kinds that it has synced.
func (x *exclusions) add(o policy.Object) ([]schema.GroupVersionKind, error) {
	var config struct {
		Spec struct {
			Match []struct {
				ExcludedNamespaces []Wildcard
				Processes          []string
			}
			Sync struct {
				SyncOnly []struct{ Group, Version, Kind string }
			}
		}
	}
	data, err := o.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(data, &config)
	}
	if err != nil {
		return nil, err
	}
	for _, m := range config.Spec.Match {
		if slices.Contains(m.Processes, "*") || slices.Contains(m.Processes, "webhook") {
			x.admission = append(x.admission, m.ExcludedNamespaces...)
		}
		if slices.Contains(m.Processes, "*") || slices.Contains(m.Processes, "mutation-webhook") {
			x.mutation = append(x.mutation, m.ExcludedNamespaces...)
		}
		if slices.Contains(m.Processes, "*") || slices.Contains(m.Processes, "audit") {
			x.audit = append(x.audit, m.ExcludedNamespaces...)
		}
	}
	var synced []schema.GroupVersionKind
	for _, s := range config.Spec.Sync.SyncOnly {
		synced = append(synced, schema.GroupVersionKind{Group: s.Group, Version: s.Version, Kind: s.Kind})
	}
	return synced, nil
}

// syncSet is the kinds that a SyncSet has synced.
func syncSet(o policy.Object) ([]schema.GroupVersionKind, error) {
	var set struct {
		Spec struct {
			GVKs []struct{ Group, Version, Kind string }
		}
	}
	data, err := o.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(data, &set)
	}
	if err != nil {
		return nil, err
	}
	var synced []schema.GroupVersionKind
	for _, s := range set.Spec.GVKs {
		synced = append(synced, schema.GroupVersionKind(s))
	}
	return synced, nil
}

// covers reports whether a request is in a namespace that is left out.
func (x *exclusions) covers(a *asked, r *policy.Request) bool {
	if r.Background {
		return covers(x.audit, a, r)
	}
	return covers(x.admission, a, r)
}

// coversMutation is covers for mutators.
func (x *exclusions) coversMutation(a *asked, r *policy.Request) bool {
	return covers(x.mutation, a, r)
}

func covers(list []Wildcard, a *asked, r *policy.Request) bool {
	if len(list) == 0 {
		return false
	}
	name := r.GetNamespace()
	if kind := r.GetKind(); kind.Group == "" && kind.Kind == "Namespace" {
		name = r.GetName()
		if name == "" && a.object != nil {
			name = a.object.GetName()
		}
	}
	return name != "" && slices.ContainsFunc(list, func(w Wildcard) bool { return w.Matches(name) })
}

// notServed reports whether an error says that the cluster has no such kind: then there
// are no objects of it.
func notServed(err error) bool { return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) }
