package gatekeeper

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/policy"
)

// Made is what the ExpansionTemplates among some policies make of a request's object.
func Made(ctx context.Context, policies []policy.Policy, r *policy.Request) (all []*unstructured.Unstructured, err error) {
	for _, p := range policies {
		x, ok := p.(*expansion)
		if !ok {
			continue
		}
		made, err := x.made(ctx, r)
		if err != nil {
			return nil, err
		}
		for _, one := range made {
			all = append(all, one.object)
		}
	}
	return all, nil
}
