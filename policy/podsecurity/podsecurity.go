// Package podsecurity asks upstream's Pod Security checks of objects where no API
// server does: of manifests. Under serve and attach the API server's own plugin asks
// them.
//
//	p, err := podsecurity.New(podsecurity.Options{Level: "restricted"})
//	set := policy.NewSet([]policy.Policy{p}, policy.Options{})
//
// A namespace's labels pod-security.kubernetes.io/enforce, warn and audit count as in
// an API server, and Options for what they leave out. The checks, levels and versions
// are those of k8s.io/pod-security-admission.
//
// One thing is different on purpose: an API server lets a Deployment pass whose Pods
// it will refuse. Here it is refused, for that is what a manifest is checked for.
package podsecurity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/pod-security-admission/api"
	checks "k8s.io/pod-security-admission/policy"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// Kind is that of the policy's source.
const Kind = "PodSecurity"

// Options are the defaults of a cluster, each a level or a level and a version:
// "restricted", "baseline:v1.30".
type Options struct {
	// Level is what is enforced where a namespace does not say. Needed.
	Level string
	// Warn is the level that is warned of. Default: privileged, which nothing breaks.
	Warn string
}

// Policy is the standards as one policy.
type Policy struct {
	defaults  api.Policy
	evaluator checks.Evaluator
}

var _ policy.Validator = &Policy{}

// New makes one. An error names the levels there are.
func New(opts Options) (*Policy, error) {
	p := &Policy{defaults: api.Policy{
		Enforce: api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()},
		Audit:   api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()},
		Warn:    api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()},
	}}
	for _, one := range []struct {
		text string
		to   *api.LevelVersion
	}{{opts.Level, &p.defaults.Enforce}, {opts.Warn, &p.defaults.Warn}} {
		if one.text == "" {
			continue
		}
		level, version, versioned := strings.Cut(one.text, ":")
		var err error
		if one.to.Level, err = api.ParseLevel(level); err != nil {
			return nil, fmt.Errorf("%q is none of privileged, baseline and restricted", level)
		}
		if versioned {
			if one.to.Version, err = api.ParseVersion(version); err != nil {
				return nil, fmt.Errorf("%q is no version such as v1.37 or latest", version)
			}
		}
	}
	evaluator, err := checks.NewEvaluator(checks.DefaultChecks(), nil)
	if err != nil {
		return nil, fmt.Errorf("build the Pod Security checks: %w", err)
	}
	p.evaluator = evaluator
	return p, nil
}

// Source implements policy.Policy.
func (p *Policy) Source() gate.Source {
	return gate.Source{Kind: Kind, Name: p.defaults.Enforce.String()}
}

// Selectors implements policy.Policy.
func (p *Policy) Selectors() []policy.Selector {
	writes := []admission.Operation{admission.Create, admission.Update}
	return []policy.Selector{
		{Operations: writes, Groups: []string{""}, Resources: []string{"pods", "pods/ephemeralcontainers", "podtemplates", "replicationcontrollers"}},
		{Operations: writes, Groups: []string{"apps"}, Resources: []string{"deployments", "replicasets", "statefulsets", "daemonsets"}},
		{Operations: writes, Groups: []string{"batch"}, Resources: []string{"jobs", "cronjobs"}},
		{Operations: writes, Groups: []string{"argoproj.io"}, Resources: []string{"rollouts"}},
	}
}

// Validate implements policy.Validator.
func (p *Policy) Validate(ctx context.Context, r *policy.Request) []policy.Result {
	refuse := func(err error) []policy.Result {
		return []policy.Result{{Actions: []policy.Action{policy.Deny}, Err: err}}
	}
	o, err := r.Object()
	if err != nil {
		return refuse(err)
	}
	if o == nil {
		return nil
	}
	content, path := policy.PodSpec(o)
	if content == nil {
		return nil
	}
	levels := p.defaults
	if r.GetNamespace() != "" {
		ns, err := r.Namespace(ctx)
		if err != nil {
			return refuse(fmt.Errorf("look up namespace %s: %w", r.GetNamespace(), err))
		}
		var faults error
		if ns != nil {
			made, list := api.PolicyToEvaluate(ns.Labels, p.defaults)
			levels, faults = made, list.ToAggregate()
		}
		if faults != nil {
			return refuse(faults)
		}
	}
	spec := &corev1.PodSpec{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, spec); err != nil {
		return refuse(errors.New(path + " is no pod's: " + err.Error()))
	}
	for i := range spec.Volumes {
		if spec.Volumes[i].VolumeSource == (corev1.VolumeSource{}) {
			spec.Volumes[i].EmptyDir = &corev1.EmptyDirVolumeSource{} // as the API server has it
		}
	}
	meta := &metav1.ObjectMeta{}
	if of, ok := metadataOf(o.Object, path); ok {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(of, meta); err != nil {
			return refuse(errors.New("the metadata of the pod cannot be read: " + err.Error()))
		}
	}
	var results []policy.Result
	told := map[string]bool{}
	for _, mode := range []struct {
		at     api.LevelVersion
		action policy.Action
	}{{levels.Enforce, policy.Deny}, {levels.Warn, policy.Warn}, {levels.Audit, policy.Audit}} {
		for _, said := range p.evaluator.EvaluatePod(mode.at, meta, spec) {
			if said.Allowed || told[said.ForbiddenReason+said.ForbiddenDetail] {
				continue
			}
			// What refuses need not be warned of besides.
			told[said.ForbiddenReason+said.ForbiddenDetail] = true
			text := said.ForbiddenReason
			if said.ForbiddenDetail != "" {
				text += " (" + said.ForbiddenDetail + ")"
			}
			results = append(results, policy.Result{Actions: []policy.Action{mode.action}, Path: path,
				Message: fmt.Sprintf("violates PodSecurity %q: %s", mode.at.String(), text),
				Sources: []gate.Source{{Kind: Kind, Name: mode.at.String()}}})
		}
	}
	return results
}

// metadataOf is that of the pod whose spec is at a path.
func metadataOf(o map[string]any, path string) (map[string]any, bool) {
	steps := strings.Split(path, ".")
	for _, field := range append(slices.Clip(steps[:len(steps)-1]), "metadata") {
		next, ok := o[field].(map[string]any)
		if !ok {
			return nil, false
		}
		o = next
	}
	return o, true
}
