package cli

import (
	"bytes"
	"context"
	"encoding/json"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/authz/review"
	"github.com/gatehouse-io/gatehouse/check"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/engines"
	"github.com/gatehouse-io/gatehouse/serve"
)

// newJudge makes a Judge of policies over a cluster: what is looked up in it, and
// the authorizers that are asked.
func newJudge(policies []policy.Object, lookups policy.Cluster, kinds *catalog, chain review.Chain) (*check.Judge, error) {
	all, err := engines.All(engines.Options{Namespaced: func(kind schema.GroupVersionKind) (namespaced, known bool, err error) {
		_, namespaced, known = kinds.ResourceOf(kind.GroupKind())
		return namespaced, known, nil
	}})
	if err != nil {
		return nil, coded(exitInternal, err)
	}
	return check.New(check.Options{
		Engines: all, Policies: policies, Cluster: lookups, Kinds: kinds, Chain: chain,
		Prepare: serve.Defaulted, Objects: serve.KnownTypes(),
	}), nil
}

// judgeOfFiles makes a Judge of policies over objects that are all there is.
func judgeOfFiles(ctx context.Context, policies []policy.Object, objects []*unstructured.Unstructured) (*check.Judge, error) {
	known := &cluster.Known{}
	for _, o := range objects {
		prepared, err := serve.Defaulted(o.DeepCopy())
		if err != nil {
			return nil, coded(exitUnreadable, err)
		}
		known.Add(prepared)
	}
	known.Seal()
	w := &world{catalog: builtInCatalog()}
	w.catalog.define(objects)
	var err error
	if w.view, err = viewOfObjects(ctx, objects); err != nil {
		return nil, coded(exitUnreadable, err)
	}
	if err := w.compile(true); err != nil {
		return nil, err
	}
	return newJudge(policies, known, w.catalog, w.chain())
}

// viewOfObjects is what objects say of a cluster's roles and Guards.
func viewOfObjects(ctx context.Context, objects []*unstructured.Unstructured) (*cluster.View, error) {
	if len(objects) == 0 {
		return &cluster.View{}, nil
	}
	list := struct {
		APIVersion string                       `json:"apiVersion"`
		Kind       string                       `json:"kind"`
		Items      []*unstructured.Unstructured `json:"items"`
	}{"v1", "List", objects}
	data, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	return cluster.FromFiles(ctx, []string{"-"}, bytes.NewReader(data), cluster.FileOptions{})
}

// ResourceOf implements check.Kinds.
func (c *catalog) ResourceOf(kind schema.GroupKind) (resource string, namespaced, known bool) {
	r, ok := c.ofKind(kind.Group, kind.Kind)
	if !ok {
		return "", false, false
	}
	return r.resource, r.namespaced, true
}

// KindOf implements check.Kinds.
func (c *catalog) KindOf(of schema.GroupResource) (kind schema.GroupVersionKind, namespaced, known bool) {
	for i := range c.all {
		if r := &c.all[i]; r.group == of.Group && r.resource == of.Resource && r.kind != "" {
			return schema.GroupVersionKind{Group: r.group, Version: r.version, Kind: r.kind}, r.namespaced, true
		}
	}
	return schema.GroupVersionKind{}, false, false
}

// define enters the kinds that CustomResourceDefinitions among objects define.
func (c *catalog) define(objects []*unstructured.Unstructured) {
	for _, o := range objects {
		if o.GroupVersionKind().GroupKind() != apiextensionsv1.Kind("CustomResourceDefinition") {
			continue
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, crd) != nil {
			continue // said where its schema is read
		}
		r := resource{group: crd.Spec.Group, resource: crd.Spec.Names.Plural, kind: crd.Spec.Names.Kind, singular: crd.Spec.Names.Singular,
			namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped, short: crd.Spec.Names.ShortNames}
		for _, v := range crd.Spec.Versions {
			if v.Storage || r.version == "" {
				r.version = v.Name
			}
		}
		if _, known := c.ofKind(r.group, r.kind); !known {
			c.all = append(c.all, r)
		}
	}
}
