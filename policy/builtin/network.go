package builtin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/internal/glob"
	"github.com/gatehouse-io/gatehouse/policy"
)

const ingressClass = "kubernetes.io/ingress.class"

func ingressClassExemption(e entry, given *v1alpha1.BuiltinPolicy) (*entry, error) {
	if given == nil || given.IngressClassExemption == nil || len(given.IngressClassExemption.Classes) == 0 {
		return nil, fmt.Errorf("ingressClassExemption: name classes")
	}
	classes := given.IngressClassExemption.Classes
	e.object = func(_ context.Context, _ *policy.Request, o, _ *unstructured.Unstructured) (found []problem, err error) {
		say := func(at, class string) {
			if class != "" && glob.Any(classes, class) {
				found = append(found, problem{path: at, message: fmt.Sprintf("the class %s needs an exemption: use another one", quoted(class))})
			}
		}
		say("spec.ingressClassName", text(object(o.Object, "spec"), "ingressClassName"))
		say("metadata.annotations["+ingressClass+"]", text(annotations(o), ingressClass))
		return found, nil
	}
	return &e, nil
}

// hosts are those of an Ingress, and where they stand.
func hosts(o *unstructured.Unstructured) (all []string, at []string) {
	for i, r := range list(object(o.Object, "spec"), "rules") {
		rule, _ := r.(map[string]any)
		if host := text(rule, "host"); host != "" && !slices.Contains(all, host) {
			all, at = append(all, host), append(at, fmt.Sprintf("spec.rules[%d].host", i))
		}
	}
	return all, at
}

func uniqueIngressHost(ctx context.Context, r *policy.Request, o, _ *unstructured.Unstructured) ([]problem, error) {
	wanted, at := hosts(o)
	if len(wanted) == 0 {
		return nil, nil
	}
	others, err := r.Cluster.Objects(ctx, ingresses, "")
	if err != nil {
		return nil, fmt.Errorf("look up the Ingresses: %w", err)
	}
	var found []problem
	for i, host := range wanted {
		for _, other := range others {
			if other.GetNamespace() == r.GetNamespace() {
				continue
			}
			if theirs, _ := hosts(other); slices.Contains(theirs, host) {
				found = append(found, problem{path: at[i], message: fmt.Sprintf("the host %s belongs to the namespace %s: use another one", quoted(host), other.GetNamespace())})
				break
			}
		}
	}
	return found, nil
}

func disallowNginxSnippets(_ context.Context, _ *policy.Request, o, _ *unstructured.Unstructured) (found []problem, _ error) {
	var keys []string
	for key := range annotations(o) {
		domain, name, _ := strings.Cut(key, "/")
		if strings.HasSuffix(domain, "nginx.ingress.kubernetes.io") && strings.HasSuffix(name, "-snippet") || domain == "nginx.org" && strings.HasSuffix(name, "-snippets") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		found = append(found, problem{path: "metadata.annotations[" + key + "]", message: fmt.Sprintf("the annotation %s brings configuration for NGINX, which reads what its controller may read: leave it out", quoted(key)),
			fix: remove("metadata", "annotations", key)})
	}
	return found, nil
}

func loadBalancerExemption(e entry, given *v1alpha1.BuiltinPolicy) (*entry, error) {
	var rules []v1alpha1.AnnotationRule
	if given != nil && given.LoadBalancerExemption != nil {
		rules = given.LoadBalancerExemption.Annotations
	}
	e.object = func(_ context.Context, _ *policy.Request, o, _ *unstructured.Unstructured) (found []problem, _ error) {
		if text(object(o.Object, "spec"), "type") != "LoadBalancer" {
			return nil, nil
		}
		if len(rules) == 0 {
			return []problem{{path: "spec.type", message: "a Service of type LoadBalancer needs an exemption"}}, nil
		}
		for _, rule := range rules {
			value, set := annotations(o)[rule.Annotation].(string)
			switch {
			case !set && !rule.AllowMissing:
				found = append(found, problem{path: "metadata.annotations", message: fmt.Sprintf("a Service of type LoadBalancer is annotated %s, with %s", rule.Annotation, quoted(strings.Join(rule.Values, ", ")))})
			case set && !glob.Any(rule.Values, value):
				found = append(found, problem{path: "metadata.annotations[" + rule.Annotation + "]", message: fmt.Sprintf("the annotation %s is %s: allowed is %s", rule.Annotation, quoted(value), quoted(strings.Join(rule.Values, ", ")))})
			}
		}
		return found, nil
	}
	return &e, nil
}

func disallowExternalIPs(_ context.Context, _ *policy.Request, o, old *unstructured.Unstructured) (found []problem, _ error) {
	var before []any
	if old != nil {
		before = list(object(old.Object, "spec"), "externalIPs")
	}
	for i, ip := range list(object(o.Object, "spec"), "externalIPs") {
		if address, _ := ip.(string); !slices.ContainsFunc(before, func(had any) bool { return had == ip }) {
			found = append(found, problem{path: fmt.Sprintf("spec.externalIPs[%d]", i), message: fmt.Sprintf("the Service takes the traffic of %s, which is not its own: leave externalIPs out", quoted(address))})
		}
	}
	return found, nil
}

func virtualServiceGateway(e entry, given *v1alpha1.BuiltinPolicy) (*entry, error) {
	allowed, empty := []string(nil), false
	if given != nil && given.VirtualServiceGateway != nil {
		allowed, empty = given.VirtualServiceGateway.Gateways, given.VirtualServiceGateway.AllowEmpty
	}
	e.object = func(_ context.Context, _ *policy.Request, o, _ *unstructured.Unstructured) (found []problem, _ error) {
		spec := object(o.Object, "spec")
		named := list(spec, "gateways")
		if len(named) == 0 && !empty {
			found = append(found, problem{path: "spec", message: "the VirtualService names no gateway, and is for every sidecar of the mesh: name one that is allowed"})
		}
		say := func(at string, gateways []any) {
			for i, g := range gateways {
				if name, _ := g.(string); !glob.Any(allowed, name) {
					found = append(found, problem{path: fmt.Sprintf("%s.gateways[%d]", at, i), message: fmt.Sprintf("the gateway %s is not allowed", quoted(name))})
				}
			}
		}
		say("spec", named)
		for _, kind := range []string{"http", "tls", "tcp"} {
			for i, r := range list(spec, kind) {
				route, _ := r.(map[string]any)
				for j, m := range list(route, "match") {
					match, _ := m.(map[string]any)
					say(fmt.Sprintf("spec.%s[%d].match[%d]", kind, i, j), list(match, "gateways"))
				}
			}
		}
		return found, nil
	}
	return &e, nil
}
