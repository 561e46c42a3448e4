package cli

import (
	"bytes"
	"context"
	"encoding/json"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/review"
	"github.com/gatehouse-io/gatehouse/check"
	"github.com/gatehouse-io/gatehouse/check/manifest"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
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

// judge makes a Judge of the policies of the cluster or the files; nil where there are
// none, or they may not be read, which is noted.
func (w *world) judge(ctx context.Context) (*check.Judge, error) {
	all, err := engines.All(engines.Options{})
	if err != nil {
		return nil, coded(exitInternal, err)
	}
	var policies []policy.Object
	var lookups policy.Cluster
	known := &cluster.Known{}
	if w.config != nil {
		live, err := newLiveCluster(w.config)
		if err != nil {
			return nil, coded(exitInternal, err)
		}
		if policies, err = live.policies(ctx, all); err != nil {
			w.note("policies are not asked: %v", err)
			return nil, nil
		}
		lookups = live
	} else {
		opts := manifest.Options{Stdin: bytes.NewReader(w.stdin)}
		// What cannot be read has been told already.
		objects, err := check.Collect(ctx, w.from, opts, func(kind schema.GroupKind) bool { return isPolicy(all, kind) || describes(kind) })
		if err != nil && !check.Unreadable(err) {
			return nil, coded(exitInternal, err)
		}
		for _, o := range objects {
			if isPolicy(all, o.GroupVersionKind().GroupKind()) {
				policies = append(policies, o)
				continue
			}
			known.Add(o.Unstructured)
		}
		w.catalog.define(check.Plain(objects))
		lookups = known
	}
	known.Seal()
	if len(policies) == 0 {
		return nil, nil
	}
	j, err := newJudge(policies, lookups, w.catalog, w.chain())
	if err != nil {
		return nil, err
	}
	for _, p := range j.Loaded.Problems {
		w.note("%s: %s", p.Source.String(), p.Message)
	}
	if w.config == nil {
		// What policies look up, and what is deleted, is among the files.
		objects, err := check.Collect(ctx, w.from, manifest.Options{Stdin: bytes.NewReader(w.stdin)}, func(kind schema.GroupKind) bool { return !isPolicy(all, kind) && !describes(kind) })
		if err != nil && !check.Unreadable(err) {
			return nil, coded(exitInternal, err)
		}
		for _, o := range objects {
			if prepared, err := serve.Defaulted(o.Unstructured); err == nil {
				known.Add(prepared)
			}
		}
		known.Seal()
	}
	return j, nil
}

// explain puts a request before the authorizers, and before the policies where there
// are any.
func (w *world) explain(ctx context.Context, j *check.Judge, spec *v1alpha1.RequestReviewSpec) (*gate.Trace, error) {
	if j == nil {
		return w.chain().Request(ctx, spec)
	}
	verdict, err := j.Ask(ctx, spec)
	if err != nil {
		return nil, err
	}
	return verdict.Trace, nil
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
			if v.Served {
				r.versions = append(r.versions, v.Name)
			}
		}
		if have, known := c.ofKind(r.group, r.kind); known {
			have.versions = r.versions
			continue
		}
		c.all = append(c.all, r)
	}
}
